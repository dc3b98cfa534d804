//! The steps for nodes: drain a node, delete it, or uncordon it.
//!
//! Only the platform's own pods are moved: whatever else runs on the node belongs to somebody else. A pod on a node
//! that is dead cannot be evicted, because nobody is there to end it; it is forgotten instead, once the cluster itself
//! calls the node lost. Not earlier: until then the cluster sends the platform's requests to that node.

use super::rollout::{finding, two_minutes};
use super::text::Text;
use super::until::until;
use super::{Step, StepContext};
use crate::client::Error;
use crate::environment::{Cluster, Permission, Power, cluster};
use crate::kind::Kind;
use crate::model::{Finding, Span};
use crate::node::read;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, EvictParams, Preconditions};
use schemars::JsonSchema;
use serde::Deserialize;

/// `drain: { carries: mlflow }`
pub const DRAIN: Kind<dyn Step> = Kind {
    name: "drain",
    about: "Closes a node for new pods until the drill's end, and moves the platform's pods off it, as far as disruption \
            budgets allow; they are forgotten where the cluster calls the node lost.",
    example: "drain: { carries: mlflow }",
    schema: |g| g.subschema_for::<DrainFile>(),
    parse: |n, p| read::<Drain>(n, p).map(|k| Box::new(k) as _),
};

/// `delete-node: { node: node2 }`
pub const DELETE: Kind<dyn Step> = Kind {
    name: "delete-node",
    about: "Deletes a Node object; `drain` it first, because the cluster force-deletes the pods that are still on it \
            only after 40 s or more.",
    example: "delete-node: { node: '${steps.drain-postgres.outputs.node}' }",
    schema: |g| g.subschema_for::<DeleteNode>(),
    parse: |n, p| read::<DeleteNode>(n, p).map(|k| Box::new(k) as _),
};

/// `uncordon: { node: node2 }`
pub const UNCORDON: Kind<dyn Step> = Kind {
    name: "uncordon",
    about: "Opens a node for new pods again, before the drill's end.",
    example: "uncordon: { node: '${steps.drain-mlflow.outputs.node}' }",
    schema: |g| g.subschema_for::<Uncordon>(),
    parse: |n, p| read::<Uncordon>(n, p).map(|k| Box::new(k) as _),
};

/// Empties a node. Its output: `node`, the node's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Drain")]
struct DrainFile {
    /// The node's name; this or `carries`.
    node: Option<Text>,
    /// The component of which a pod is on the node: one that is not ready before one that is, else the first by name.
    carries: Option<String>,
    /// How long to wait for the pods' end; 2 minutes if nothing is said.
    #[serde(default = "two_minutes")]
    within: Span,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "DrainFile")]
struct Drain {
    which: Which,
    within: Span,
}

/// Deletes a Node object. It is given by name: after `drain` its component is on another.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteNode {
    /// The node's name.
    node: Text,
}

/// Opens a node again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Uncordon {
    /// The node's name.
    node: Text,
}

/// Which node is meant.
#[derive(Debug)]
enum Which {
    Named(Text),
    Carries(String),
}

impl TryFrom<DrainFile> for Drain {
    type Error = String;
    fn try_from(DrainFile { node, carries, within }: DrainFile) -> Result<Self, String> {
        Ok(Self { which: Which::of(node, carries)?, within })
    }
}

impl Which {
    fn of(node: Option<Text>, carries: Option<String>) -> Result<Self, String> {
        match (node, carries) {
            (Some(node), None) => Ok(Self::Named(node)),
            (None, Some(component)) => Ok(Self::Carries(component)),
            _ => Err("exactly one of `node` and `carries` says which node".into()),
        }
    }

    fn component(&self) -> Option<&str> {
        if let Self::Carries(component) = self { Some(component) } else { None }
    }

    fn texts(&self) -> Vec<(&'static str, &Text)> {
        if let Self::Named(node) = self { vec![("node", node)] } else { vec![] }
    }

    async fn find(&self, cluster: &dyn Cluster, context: &StepContext<'_>) -> Result<String, Error> {
        let component = match self {
            Self::Named(node) => return Ok(node.plain(context.outputs)),
            Self::Carries(component) => component,
        };
        let carriers = cluster::carriers(&cluster::pods(cluster, &cluster::of_component(component)).await?);
        let api = Api::<Node>::all(cluster.client());
        for name in &carriers {
            let node = api.get_opt(name).await.map_err(cluster::cannot(format!("cannot read the node `{name}`")))?;
            if !node.is_some_and(|node| cluster::ready(&node)) {
                return Ok(name.clone());
            }
        }
        let none = || Error::new("cannot choose a node", format!("no pod of `{component}` is on any"));
        carriers.into_iter().next().ok_or_else(none)
    }
}

#[async_trait]
impl Step for Drain {
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn permissions(&self) -> Vec<Permission> {
        vec![
            Permission::everywhere("get", "", "nodes"),
            Permission::everywhere("patch", "", "nodes"),
            Permission::within("list", "", "pods"),
            Permission::within("delete", "", "pods"),
            Permission::within("create", "", "pods/eviction"),
        ]
    }
    fn component(&self) -> Option<&str> {
        self.which.component()
    }
    fn outputs(&self) -> &'static [&'static str] {
        &["node"]
    }
    fn texts(&self) -> Vec<(&'static str, &Text)> {
        self.which.texts()
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let found = async {
            let cluster = context.platform.cluster()?;
            Ok::<_, Error>((cluster, self.which.find(cluster, context).await?))
        };
        let (cluster, node) = match found.await {
            Ok(found) => found,
            Err(error) => return Finding::missed(error.to_string()),
        };
        let drained = async {
            cluster::cordon(cluster, &node).await?;
            let emptied = until(self.within, || empty(cluster, &node)).await;
            emptied.map_err(|why| Error::new(format!("the node `{node}` is not empty"), why))
        };
        finding(drained.await).figure("node", node)
    }
}

/// Is no pod of the platform left on the node? Asks each that is to go, and says whom it waits for.
async fn empty(cluster: &dyn Cluster, name: &str) -> Result<(), String> {
    let api: Api<Pod> = Api::namespaced(cluster.client(), cluster.namespace());
    let mut pods = cluster::pods(cluster, "").await.map_err(|error| error.to_string())?;
    pods.retain(|pod| goes(pod, name));
    if pods.is_empty() {
        return Ok(());
    }
    let node = Api::<Node>::all(cluster.client()).get_opt(name).await.map_err(|error| cluster::why(&error))?;
    let dead = !node.is_some_and(|node| cluster::ready(&node));
    let mut reasons = vec![];
    for pod in &pods {
        let (name, leaving) = (pod.name_any(), pod.metadata.deletion_timestamp.is_some());
        let asked = match (dead, leaving) {
            (true, _) => force_delete(&api, pod).await,
            (false, false) => api.evict(&name, &EvictParams::default()).await.map(drop),
            (false, true) => Ok(()),
        };
        match asked {
            Err(error) if !cluster::says(&error, 404) => reasons.push(format!("`{name}`: {}", cluster::why(&error))),
            _ => reasons.push(format!("`{name}` has not ended")),
        }
    }
    Err(reasons.join("; "))
}

/// Force-deletes a pod: its node is gone, so nobody can end it in good order.
async fn force_delete(api: &Api<Pod>, pod: &Pod) -> kube::Result<()> {
    let this = Preconditions { uid: pod.uid(), resource_version: None };
    let at_once = DeleteParams::default().grace_period(0).preconditions(this);
    match api.delete(&pod.name_any(), &at_once).await {
        Err(error) if cluster::says(&error, 404) => Ok(()),
        other => other.map(drop),
    }
}

/// Is it on the node, and to be moved? A `DaemonSet`'s pod would come back at once; one that has ended holds nobody up.
fn goes(pod: &Pod, node: &str) -> bool {
    let on_it = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node);
    let stays = pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet" || owner.kind == "Node");
    on_it && !stays && (cluster::lives(pod) || pod.metadata.deletion_timestamp.is_some())
}

#[async_trait]
impl Step for DeleteNode {
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn permissions(&self) -> Vec<Permission> {
        vec![Permission::everywhere("delete", "", "nodes")]
    }
    fn texts(&self) -> Vec<(&'static str, &Text)> {
        vec![("node", &self.node)]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let deleted = async {
            let name = self.node.plain(context.outputs);
            let nodes = Api::<Node>::all(context.platform.cluster()?.client());
            match nodes.delete(&name, &DeleteParams::default()).await {
                Err(error) if cluster::says(&error, 404) => Ok(()),
                other => other.map(drop).map_err(cluster::cannot(format!("cannot delete the node `{name}`"))),
            }
        };
        finding(deleted.await)
    }
}

#[async_trait]
impl Step for Uncordon {
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn permissions(&self) -> Vec<Permission> {
        vec![Permission::everywhere("patch", "", "nodes")]
    }
    fn texts(&self) -> Vec<(&'static str, &Text)> {
        vec![("node", &self.node)]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let opened = async {
            let name = self.node.plain(context.outputs);
            cluster::uncordon(&context.platform.cluster()?.client(), &name).await
        };
        finding(opened.await)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;
    use serde_json::json;

    #[test]
    fn one_way_of_saying_which_node_is_needed() {
        for text in ["{}", "{ node: a, carries: mlflow }"] {
            let mut problems = vec![];
            assert!((DRAIN.parse)(&parse(text).unwrap(), &mut problems).is_none());
            assert!(problems[0].text.contains("exactly one of `node` and `carries`"), "{problems:?}");
        }
        let step = (DRAIN.parse)(&parse("{ carries: mlflow }").unwrap(), &mut vec![]).unwrap();
        assert_eq!((step.component(), step.outputs()), (Some("mlflow"), &["node"][..]));
    }

    #[test]
    fn a_node_is_deleted_by_its_name_alone() {
        let mut problems = vec![];
        assert!((DELETE.parse)(&parse("{ carries: postgres }").unwrap(), &mut problems).is_none());
        assert!(problems.iter().any(|problem| problem.text.contains("carries")), "{problems:?}");
    }

    #[test]
    fn a_daemons_pod_and_one_that_has_ended_are_left() {
        let pod = |node: &str, owner: &str, phase: &str| -> Pod {
            let owners = json!([{ "apiVersion": "x", "kind": owner, "name": "x", "uid": "x" }]);
            let pod = json!({ "metadata": { "name": "x", "ownerReferences": owners },
                "spec": { "nodeName": node, "containers": [] }, "status": { "phase": phase } });
            serde_json::from_value(pod).unwrap()
        };
        assert!(goes(&pod("n", "ReplicaSet", "Running"), "n"));
        assert!(goes(&pod("n", "ReplicaSet", "Pending"), "n"));
        assert!(!goes(&pod("other", "ReplicaSet", "Running"), "n"));
        assert!(!goes(&pod("n", "DaemonSet", "Running"), "n"));
        assert!(!goes(&pod("n", "Job", "Succeeded"), "n"));
    }
}
