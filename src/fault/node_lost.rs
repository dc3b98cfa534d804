//! The fault that takes a node of the cluster away, by its power switch or its network cable, until it is lifted.
//!
//! It took effect when the API no longer reaches the node's agent. The node's own condition stays `Ready` for a grace
//! period of the cluster (40 s and more by default), so it cannot date the onset.

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::client::kubernetes::{COMPONENT, NamespaceClient, cannot, nodes, pods};
use crate::environment::{Inventory, Permission, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt, Verdict};
use crate::node::read;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(200);

/// `node-lost: { carries: mlflow, spares: postgres, how: power }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "node-lost",
    about: "Takes away a node that carries a component, until it is lifted.",
    example: "node-lost: { carries: mlflow, spares: postgres, how: power }",
    schema: |g| g.subschema_for::<NodeLost>(),
    parse: |n, p| read::<NodeLost>(n, p).map(|k| Box::new(k) as _),
};

/// Takes a node away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NodeLost {
    /// The component of which a pod runs on the node.
    carries: String,
    /// The component, or a list of them, of which none does; none is spared by default.
    #[serde(default)]
    spares: SparedComponents,
    /// What happens to it; `power` by default.
    #[serde(default)]
    how: NodeLoss,
}

/// One component or several.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "OneOrMore")]
struct SparedComponents(Vec<String>);

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a component or a list of components")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for SparedComponents {
    fn from(written: OneOrMore) -> Self {
        match written {
            OneOrMore::One(component) => Self(vec![component]),
            OneOrMore::More(components) => Self(components),
        }
    }
}

impl JsonSchema for SparedComponents {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Spared".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "How")]
enum NodeLoss {
    /// Its power is cut: all that runs on it ends at once.
    #[default]
    Power,
    /// Its network is cut: all that runs on it goes on, and nothing reaches it.
    Cable,
}

/// Which node was taken away, and what of the platform was on it.
#[derive(Debug, Serialize, Deserialize)]
struct LostNodes {
    node: String,
    uid: String,
    how: NodeLoss,
    pods: Vec<CarriedPod>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CarriedPod {
    name: String,
    uid: String,
    /// After how many seconds it leaves a node that cannot be reached; never, if it does not say.
    tolerates_seconds: Option<i64>,
}

#[async_trait]
impl Fault for NodeLost {
    fn nature(&self) -> Nature {
        Nature::Condition
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster, Power::Nodes]
    }
    fn permissions(&self) -> Vec<Permission> {
        vec![
            Permission::within("list", "", "pods"),
            Permission::everywhere("get", "", "nodes"),
            Permission::everywhere("get", "", "nodes/proxy"),
        ]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let there = |component: &String| inventory.components.contains(component);
        if !there(&self.carries) || !self.spares.0.iter().all(there) || self.spares.0.contains(&self.carries) {
            return vec![];
        }
        let but =
            if self.spares.0.is_empty() { String::new() } else { format!(" and not {}", self.spares.0.join(", ")) };
        vec![format!("1 node, the first that carries {}{but}", self.carries)]
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let namespace = platform.cluster()?.namespace();
        let all = pods::list(namespace, "").await?;
        let node = &choose(&self.carries, &self.spares.0, &all)?;
        let there = namespace.everywhere::<Node>().get(node).await;
        let uid = there.map_err(cannot(format!("cannot read the node `{node}`")))?.uid().unwrap_or_default();
        let reached = nodes::reaches(&namespace.client, node).await;
        if reached.verdict != Verdict::Met {
            let why = reached.reason.unwrap_or_default();
            return Err(Error::new(format!("it would not be seen whether `{node}` is lost"), why));
        }
        let on_it = |pod: &&Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == Some(node);
        let carried = |pod: &Pod| CarriedPod {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            tolerates_seconds: pods::tolerates(pod),
        };
        let pods = all.iter().filter(on_it).map(carried).collect();
        Ok(Receipt(serde_json::json!(LostNodes { node: node.clone(), uid, how: self.how, pods })))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let (nodes, lost) = (platform.nodes()?, recall::<LostNodes>(receipt)?);
        match lost.how {
            NodeLoss::Power => nodes.power_off(&lost.node).await,
            NodeLoss::Cable => nodes.cut_off(&lost.node).await,
        }
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let (cluster, lost) = match (platform.cluster(), recall::<LostNodes>(receipt)) {
            (Ok(cluster), Ok(lost)) => (cluster, lost),
            (Err(error), _) | (_, Err(error)) => return Finding::unknown(error.to_string()),
        };
        let reached = nodes::reaches(&cluster.namespace().client, &lost.node).await;
        match reached.verdict {
            Verdict::Met => Finding::missed(format!("`{}` is still reached", lost.node)),
            Verdict::Unknown => reached,
            Verdict::Missed => {
                let stays = |pod: &CarriedPod| pod.tolerates_seconds.map_or("for ever".into(), |s| format!("{s} s"));
                let finding = Finding { reason: reached.reason, ..Finding::met() }.figure("node", &lost.node);
                lost.pods.iter().fold(finding, |f, pod| f.figure(format!("{} tolerates", pod.name), stays(pod)))
            }
        }
    }
    async fn lift(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let (nodes, namespace, lost) =
            (platform.nodes()?, platform.cluster()?.namespace(), recall::<LostNodes>(receipt)?);
        match lost.how {
            NodeLoss::Power => nodes.power_on(&lost.node).await?,
            NodeLoss::Cable => nodes.connect(&lost.node).await?,
        }
        is_back(namespace, &lost).await
    }
}

/// Waits until the node is reached and ready. The caller bounds the time.
async fn is_back(namespace: &NamespaceClient, lost: &LostNodes) -> Result<(), Error> {
    let api = namespace.everywhere::<Node>();
    loop {
        let node = api.get_opt(&lost.node).await;
        match node.map_err(cannot(format!("cannot read the node `{}`", lost.node)))? {
            Some(node) if !nodes::ready(&node) => {}
            Some(_) if nodes::reaches(&namespace.client, &lost.node).await.verdict == Verdict::Met => return Ok(()),
            None if lost.how == NodeLoss::Cable => {
                let why = "it was deleted meanwhile, and its agent makes its node only when it starts";
                return Err(Error::new(format!("the node `{}`", lost.node), why).hint("restart its agent"));
            }
            _ => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The first node by name that carries the one component and none of the spared ones. A component whose node is not
/// known cannot be spared.
fn choose(carried: &str, spared: &[String], pods: &[Pod]) -> Result<String, Error> {
    let of = |component: &str| {
        let its = |pod: &&Pod| pod.labels().get(COMPONENT).is_some_and(|it| it == component);
        let nodes = pods::nodes_of(pods.iter().filter(its));
        let none = || Error::new("cannot choose a node", format!("no pod of `{component}` is on any"));
        if nodes.is_empty() { Err(none()) } else { Ok(nodes) }
    };
    let carriers = of(carried)?;
    let spared_nodes: Vec<_> = spared.iter().map(|it| of(it)).collect::<Result<Vec<_>, _>>()?.concat();
    carriers.iter().find(|node| !spared_nodes.contains(node)).cloned().ok_or_else(|| {
        let what = format!("no node carries `{carried}` and spares {}", spared.join(", "));
        Error::new(what, format!("the one is on {}, the rest on {}", carriers.join(", "), spared_nodes.join(", ")))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_and_spared_must_be_there_and_differ() {
        let lost = |text: &str| read::<NodeLost>(&crate::node::parse(text).unwrap(), &mut vec![]).unwrap();
        let aims = |text| lost(text).targets(&Inventory::of(["mlflow", "postgres", "s3"]));
        assert_eq!(aims("{ carries: mlflow }"), ["1 node, the first that carries mlflow"]);
        assert_eq!(
            aims("{ carries: mlflow, spares: postgres }"),
            ["1 node, the first that carries mlflow and not postgres"]
        );
        let two = "{ carries: mlflow, spares: [postgres, s3], how: cable }";
        assert_eq!(aims(two), ["1 node, the first that carries mlflow and not postgres, s3"]);
        assert_eq!(lost(two).how, NodeLoss::Cable);
        for wrong in ["{ carries: mlfow }", "{ carries: mlflow, spares: db }", "{ carries: mlflow, spares: mlflow }"] {
            assert!(aims(wrong).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn the_first_node_by_name_is_taken_that_spares_the_others() {
        let pod = |component: &str, node: &str| -> Pod {
            let labels = serde_json::json!({ COMPONENT: component });
            serde_json::from_value(serde_json::json!({ "metadata": { "name": "x", "labels": labels },
                "spec": { "nodeName": node, "containers": [] }, "status": { "phase": "Running" } }))
            .unwrap()
        };
        let pods = [pod("mlflow", "c"), pod("postgres", "a"), pod("mlflow", "a"), pod("mlflow", "b")];
        let chosen = |spared: &[&str]| {
            let spared: Vec<_> = spared.iter().map(|it| (*it).to_owned()).collect();
            choose("mlflow", &spared, &pods).map_err(|error| error.to_string())
        };
        assert_eq!(chosen(&[]).unwrap(), "a");
        assert_eq!(chosen(&["postgres"]).unwrap(), "b");
        assert!(chosen(&["s3"]).unwrap_err().contains("no pod of `s3`"), "what is not seen cannot be spared");
        assert!(chosen(&["mlflow"]).unwrap_err().contains("the one is on a, b, c"));
    }
}
