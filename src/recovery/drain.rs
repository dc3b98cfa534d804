//! The steps for nodes: drain a node, delete it, or uncordon it.
//!
//! Only the platform's own pods are moved: whatever else runs on the node belongs to somebody else. A pod on a lost node
//! cannot be evicted, because nothing is there to end it. It is force-deleted instead, but only when the cluster itself
//! calls the node lost: until then the cluster sends the platform's requests to that node.

use super::rollout::{LOOK, finding, two_minutes};
use super::text::Text;
use super::{Step, StepContext};
use crate::client::kubernetes::{NamespaceClient, cannot, nodes, of_component, pods, says, why};
use crate::client::{Error, until};
use crate::environment::{Permission, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt, Span};
use crate::node::read;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, EvictParams, Preconditions};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// `drain: { carries: mlflow }`
pub const DRAIN: Kind<dyn Step> = Kind {
    name: "drain",
    about: "Cordons a node until the drill's end, and evicts the platform's pods from it as far as disruption budgets \
            allow; force-deletes them if the cluster calls the node lost.",
    example: "drain: { carries: mlflow }",
    schema: |g| g.subschema_for::<DrainFile>(),
    parse: |n, p| read::<Drain>(n, p).map(|k| Box::new(k) as _),
};

/// `delete-node: { node: node2 }`
pub const DELETE: Kind<dyn Step> = Kind {
    name: "delete-node",
    about: "Deletes the Node object of a node that carried the platform; `drain` it first, because the cluster force-deletes the pods that are still on it \
            only after 40 s or more.",
    example: "delete-node: { node: '${steps.drain-postgres.outputs.node}' }",
    schema: |g| g.subschema_for::<DeleteNode>(),
    parse: |n, p| read::<DeleteNode>(n, p).map(|k| Box::new(k) as _),
};

/// `uncordon: { node: node2 }`
pub const UNCORDON: Kind<dyn Step> = Kind {
    name: "uncordon",
    about: "Uncordons a node, so that it takes new pods again before the drill's end.",
    example: "uncordon: { node: '${steps.drain-mlflow.outputs.node}' }",
    schema: |g| g.subschema_for::<Uncordon>(),
    parse: |n, p| read::<Uncordon>(n, p).map(|k| Box::new(k) as _),
};

/// Drains a node. Its output: `node`, the node's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Drain")]
struct DrainFile {
    /// The node's name; this or `carries`.
    node: Option<Text>,
    /// The component of which a pod is on the node: one that is not ready before one that is, else the first by name.
    carries: Option<String>,
    /// How long to wait for the pods' end; 2 minutes by default.
    #[serde(default = "two_minutes")]
    within: Span,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "DrainFile")]
struct Drain {
    which: NodeChoice,
    within: Span,
}

/// Deletes a Node object. It is given by name: after `drain` its component is on another.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteNode {
    /// The node's name.
    node: Text,
}

/// Uncordons a node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Uncordon {
    /// The node's name.
    node: Text,
}

/// Which node is meant.
#[derive(Debug)]
enum NodeChoice {
    Named(Text),
    Carries(String),
}

impl TryFrom<DrainFile> for Drain {
    type Error = String;
    fn try_from(DrainFile { node, carries, within }: DrainFile) -> Result<Self, String> {
        Ok(Self { which: NodeChoice::of(node, carries)?, within })
    }
}

impl NodeChoice {
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

    async fn find(&self, namespace: &NamespaceClient, context: &StepContext<'_>) -> Result<String, Error> {
        let component = match self {
            Self::Named(node) => return Ok(node.plain(context.outputs)),
            Self::Carries(component) => component,
        };
        let carriers = pods::nodes_of(&pods::list(namespace, &of_component(component)).await?);
        let api = namespace.everywhere::<Node>();
        for name in &carriers {
            let node = api.get_opt(name).await.map_err(cannot(format!("cannot read the node `{name}`")))?;
            if !node.is_some_and(|node| nodes::ready(&node)) {
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
            let namespace = context.platform.cluster()?.namespace();
            Ok::<_, Error>((namespace, self.which.find(namespace, context).await?))
        };
        let (namespace, node) = match found.await {
            Ok(found) => found,
            Err(error) => return Finding::missed(error.to_string()),
        };
        let drained = async {
            let there = namespace.everywhere::<Node>().get(&node).await;
            let there = there.map_err(cannot(format!("cannot read the node `{node}`")))?;
            context.record("drain", &node, there.uid()).await?;
            context.journal.creating(Receipt(json!({ "cordon": node }))).await?;
            nodes::cordon(namespace, &node).await?;
            let emptied = until(self.within.0, LOOK, || empty(namespace, &node)).await;
            emptied.map_err(|late| Error::new(format!("the node `{node}` is not empty"), late))
        };
        finding(drained.await).figure("node", node)
    }
}

/// Is no pod of the platform left on the node? Evicts each that is, and says which it waits for.
async fn empty(namespace: &NamespaceClient, name: &str) -> Result<(), String> {
    let api: Api<Pod> = namespace.api();
    let mut pods = pods::list(namespace, "").await.map_err(|error| error.to_string())?;
    pods.retain(|pod| is_to_move(pod, name));
    if pods.is_empty() {
        return Ok(());
    }
    let node = namespace.everywhere::<Node>().get_opt(name).await.map_err(|error| why(&error))?;
    let dead = !node.is_some_and(|node| nodes::ready(&node));
    let mut reasons = vec![];
    for pod in &pods {
        let (name, leaving) = (pod.name_any(), pod.metadata.deletion_timestamp.is_some());
        let asked = match (dead, leaving) {
            (true, _) => force_delete(&api, pod).await,
            (false, false) => api.evict(&name, &EvictParams::default()).await.map(drop),
            (false, true) => Ok(()),
        };
        match asked {
            Err(error) if !says(&error, 404) => reasons.push(format!("`{name}`: {}", why(&error))),
            _ => reasons.push(format!("`{name}` has not ended")),
        }
    }
    Err(reasons.join("; "))
}

/// Force-deletes a pod: its node is lost, so nothing can end it in good order.
async fn force_delete(api: &Api<Pod>, pod: &Pod) -> kube::Result<()> {
    let this = Preconditions { uid: pod.uid(), resource_version: None };
    let at_once = DeleteParams::default().grace_period(0).preconditions(this);
    match api.delete(&pod.name_any(), &at_once).await {
        Err(error) if says(&error, 404) => Ok(()),
        other => other.map(drop),
    }
}

/// Is it on the node, and to be moved? A `DaemonSet`'s pod would come back at once; one that has ended needs no move.
fn is_to_move(pod: &Pod, node: &str) -> bool {
    let on_it = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node);
    let stays = pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet" || owner.kind == "Node");
    on_it && !stays && (pods::lives(pod) || pod.metadata.deletion_timestamp.is_some())
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
            let cluster = context.platform.cluster()?;
            let Some(uid) = cluster.carried().remove(&name) else {
                let why = "it carried nothing of the platform when the disaster struck, so it is not deleted";
                return Err(Error::new(format!("the node `{name}`"), why));
            };
            let this = Preconditions { uid: Some(uid.clone()), resource_version: None };
            context.record("delete-node", &name, Some(uid)).await?;
            let nodes = cluster.namespace().everywhere::<Node>();
            match nodes.delete(&name, &DeleteParams::default().preconditions(this)).await {
                Err(error) if says(&error, 404) => Ok(()),
                other => other.map(drop).map_err(cannot(format!("cannot delete the node `{name}`"))),
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
        let uncordoned = async {
            let name = self.node.plain(context.outputs);
            nodes::uncordon(&context.platform.cluster()?.namespace().client, &name).await?;
            context.record("uncordon", &name, None).await // after the act: then its cordon is gone
        };
        finding(uncordoned.await)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;

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
    fn a_pod_of_a_daemon_set_and_one_that_has_ended_are_left() {
        let pod = |node: &str, owner: &str, phase: &str| -> Pod {
            let owners = json!([{ "apiVersion": "x", "kind": owner, "name": "x", "uid": "x" }]);
            let pod = json!({ "metadata": { "name": "x", "ownerReferences": owners },
                "spec": { "nodeName": node, "containers": [] }, "status": { "phase": phase } });
            serde_json::from_value(pod).unwrap()
        };
        assert!(is_to_move(&pod("n", "ReplicaSet", "Running"), "n"));
        assert!(is_to_move(&pod("n", "ReplicaSet", "Pending"), "n"));
        assert!(!is_to_move(&pod("other", "ReplicaSet", "Running"), "n"));
        assert!(!is_to_move(&pod("n", "DaemonSet", "Running"), "n"));
        assert!(!is_to_move(&pod("n", "Job", "Succeeded"), "n"));
    }
}
