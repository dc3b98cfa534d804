//! What faults and steps ask of a cluster's API alike: a component's pods and workload, a node's health.
//!
//! Apart from the power `Cluster`, which is what a place gives: this is what can be had by it, the same in each place
//! that has it. Every error is one sentence; the API's own words are kept.

use super::{COMPONENT, Cluster, Permission, RUN};
use crate::client::{Error, chain};
use crate::model::Finding;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::Request;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::time::Duration;

/// Whoever does not answer within this time is not reached.
const REACH: Duration = Duration::from_secs(1);

/// What taking a component's disk away asks of a cluster.
pub const LOSING_A_DISK: [Permission; 3] = [
    Permission::within("list", "", "persistentvolumeclaims"),
    Permission::within("delete", "", "persistentvolumeclaims"),
    Permission::within("delete", "", "pods"),
];

/// The label of a node that was cordoned for a run, with the run's name: the drill uncordons only what it cordoned.
pub const CORDONED: &str = "lifeboat.dev/cordoned-by";

/// Cordons a node and labels it with the run; a node that is cordoned already keeps its owner.
pub async fn cordon(cluster: &dyn Cluster, name: &str) -> Result<(), Error> {
    let what = format!("cannot cordon the node `{name}`");
    let nodes = Api::<Node>::all(cluster.client());
    let node = nodes.get(name).await.map_err(cannot(&what))?;
    if node.spec.is_some_and(|spec| spec.unschedulable == Some(true)) {
        return Ok(());
    }
    let mark =
        json!({ "metadata": { "labels": { CORDONED: cluster.labels().get(RUN) } }, "spec": { "unschedulable": true } });
    nodes.patch(name, &PatchParams::default(), &Patch::Merge(mark)).await.map(drop).map_err(cannot(what))
}

/// Uncordons a node and removes the label.
pub async fn uncordon(client: &Client, name: &str) -> Result<(), Error> {
    let open = json!({ "metadata": { "labels": { CORDONED: null } }, "spec": { "unschedulable": null } });
    let opened = Api::<Node>::all(client.clone()).patch(name, &PatchParams::default(), &Patch::Merge(open)).await;
    opened.map(drop).map_err(cannot(format!("cannot uncordon the node `{name}`")))
}

/// Does a pod run, as far as the cluster knows? Whether it serves is another question.
pub fn running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// Why the API refused or did not answer, in its own words.
pub fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("the API answers {} {}", status.code, status.reason),
        other => chain(other),
    }
}

/// The error of an act that the API refused.
pub fn cannot(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    let what = what.into();
    move |error| Error::new(what, why(&error))
}

/// Did the API answer with this code?
pub fn says(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// The selector of a component's things.
pub fn of_component(component: &str) -> String {
    format!("{COMPONENT}={component}")
}

/// The pods of the platform's namespace that a selector meets, in the order of their names; all for an empty one.
pub async fn pods(cluster: &dyn Cluster, selector: &str) -> Result<Vec<Pod>, Error> {
    let api: Api<Pod> = Api::namespaced(cluster.client(), cluster.namespace());
    let listed = api.list(&ListParams::default().labels(selector)).await;
    let mut pods = listed.map_err(cannot(format!("cannot list the pods `{selector}`")))?.items;
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}

/// Has it not ended, and is it not about to?
pub fn lives(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// The names of the nodes on which a component's pods live, in their order, each once.
pub fn carriers<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Vec<String> {
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let mut nodes: Vec<_> = pods.into_iter().filter(|pod| lives(pod)).filter_map(node).collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// What runs a component's pods: a `Deployment` or a `StatefulSet`.
pub struct Workload {
    /// Its kind in small letters.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    api: Api<DynamicObject>,
}

impl Workload {
    /// The one workload that carries the component's label.
    pub async fn of(cluster: &dyn Cluster, component: &str) -> Result<Self, Error> {
        let what = || format!("the workload of `{component}`");
        let mut found = vec![];
        for (kind, resource) in [
            ("deployment", ApiResource::erase::<Deployment>(&())),
            ("statefulset", ApiResource::erase::<StatefulSet>(&())),
        ] {
            let api: Api<DynamicObject> = Api::namespaced_with(cluster.client(), cluster.namespace(), &resource);
            let listed =
                api.list(&ListParams::default().labels(&of_component(component))).await.map_err(cannot(what()))?;
            found.extend(listed.items.iter().map(|it| Self { kind, name: it.name_any(), api: api.clone() }));
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Error::new(what(), format!("nothing in `{}` has its label", cluster.namespace()))),
            n => Err(Error::new(what(), format!("{n} workloads have its label"))),
        }
    }

    /// As it is now.
    pub async fn look(&self) -> Result<DynamicObject, Error> {
        self.api.get(&self.name).await.map_err(cannot(format!("cannot read {self}")))
    }

    /// Changes parts of it, like `kubectl patch --type merge`.
    pub async fn change(&self, patch: Value) -> Result<(), Error> {
        let patched = self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(cannot(format!("cannot change {self}")))
    }

    /// Asks for new pods in place of all the old ones, like `kubectl rollout restart`.
    pub async fn restart(&self) -> Result<(), Error> {
        let now = json!({ "kubectl.kubernetes.io/restartedAt": crate::clock::wall().to_string() });
        self.change(json!({ "spec": { "template": { "metadata": { "annotations": now } } } })).await
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "`{}/{}`", self.kind, self.name)
    }
}

/// Has all that was asked of a workload happened? What is missing, if not.
pub fn rolled_out(workload: &DynamicObject) -> Result<(), String> {
    let at = |path: &str| workload.data.pointer(path).and_then(Value::as_i64).unwrap_or_default();
    let generation = workload.metadata.generation.unwrap_or_default();
    if at("/status/observedGeneration") < generation {
        return Err("its controller has not seen the change yet".into());
    }
    let wanted = workload.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let (all, updated) = (at("/status/replicas"), at("/status/updatedReplicas"));
    let ready = at("/status/readyReplicas");
    if updated != wanted || all != wanted {
        return Err(format!("{updated} of {wanted} pods are new, {all} are there"));
    }
    if ready == wanted { Ok(()) } else { Err(format!("{ready} of {wanted} pods are ready")) }
}

/// Does the cluster call the node ready? It goes on saying so for a grace period after the node's death.
pub fn ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default().iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

/// After how many seconds each pod leaves a node that cannot be reached; never, for one that does not say.
pub fn tolerates(pod: &Pod) -> Option<i64> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let lost = |key: &Option<String>| key.as_deref() == Some("node.kubernetes.io/unreachable");
    tolerations.iter().find(|it| lost(&it.key)).and_then(|it| it.toleration_seconds)
}

/// Met if the API reaches the node's agent at this moment; missed if it does not, with the reason. The node's own
/// condition would say so only after a grace period.
pub async fn reaches(cluster: &dyn Cluster, node: &str) -> Finding {
    let request = match Request::new("/api/v1/nodes").get_subresource("proxy/healthz", node) {
        Ok(request) => request,
        Err(error) => return Finding::unknown(error.to_string()),
    };
    let answer = tokio::time::timeout(REACH, cluster.client().request_text(request)).await;
    match answer {
        Ok(Ok(_)) => Finding::met(),
        // The API's own refusals say nothing of the node; what it says of its way there does.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 500 | 502..=504) => Finding::missed(status.message),
        Ok(Err(error)) => Finding::unknown(why(&error)),
        Err(_) => match tokio::time::timeout(REACH, cluster.client().apiserver_version()).await {
            Ok(Ok(_)) => Finding::missed(format!("`{node}` does not answer within {REACH:?}")),
            _ => Finding::unknown("the cluster's API does not answer"),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn workload(generation: i64, spec: &Value, status: &Value) -> DynamicObject {
        let object = json!({ "metadata": { "name": "x", "generation": generation }, "spec": spec, "status": status });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_rollout_is_over_when_every_pod_is_new_and_ready_and_no_old_one_is_left() {
        let whole = json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2 });
        let two = json!({ "replicas": 2 });
        assert_eq!(rolled_out(&workload(2, &two, &whole)), Ok(()));
        assert!(rolled_out(&workload(3, &two, &whole)).unwrap_err().contains("not seen"));
        for (key, value, said) in [
            ("replicas", 3, "3 are there"),
            ("updatedReplicas", 1, "1 of 2 pods are new"),
            ("readyReplicas", 1, "1 of 2 pods are ready"),
        ] {
            let mut status = whole.clone();
            status[key] = value.into();
            assert!(rolled_out(&workload(2, &two, &status)).unwrap_err().contains(said), "{key}");
        }
    }

    #[test]
    fn none_wanted_is_over_when_none_is_there_and_one_is_wanted_if_nothing_is_said() {
        let none = json!({ "observedGeneration": 1 });
        assert_eq!(rolled_out(&workload(1, &json!({ "replicas": 0 }), &none)), Ok(()));
        assert!(rolled_out(&workload(1, &json!({}), &none)).is_err());
    }

    fn pod(node: &str, phase: &str, deleted: bool) -> Pod {
        let mut pod = json!({ "metadata": { "name": "x" }, "spec": { "containers": [], "nodeName": node },
            "status": { "phase": phase } });
        if deleted {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_pod_runs_when_the_cluster_says_so() {
        assert!(running(&pod("node1", "Running", false)));
        assert!(!running(&pod("node1", "Pending", false)) && !running(&Pod::default()));
    }

    #[test]
    fn only_pods_that_live_are_carried_and_nodes_come_in_the_order_of_their_names() {
        let pods = [
            pod("node3", "Running", false),
            pod("node1", "Running", true),
            pod("node2", "Running", false),
            pod("node3", "Pending", false),
            pod("node0", "Failed", false),
        ];
        assert_eq!(carriers(&pods), ["node2", "node3"]);
    }
}
