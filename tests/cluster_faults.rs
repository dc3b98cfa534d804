//! Faults and steps of a cluster, one after the other on a real platform: each bites, and each is mended.
//!
//! The cluster is the one that `LIFEBOAT_TEST_KUBECONFIG` names; without it this says so and passes, unless
//! `LIFEBOAT_TEST_CLUSTER=require`. Nodes are lost in `nodes.rs`.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/notes.rs"]
mod notes;
#[path = "support/places.rs"]
mod places;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/steps.rs"]
mod steps;
#[path = "support/strike.rs"]
mod strike;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use lifeboat::environment::Environment;
use lifeboat::environment::cluster::CLOSED;
use lifeboat::model::Verdict;
use stage::Stage;
use std::path::Path;
use steps::{carry_out, mend};
use strike::strike;

async fn uids(env: &dyn Environment, component: &str) -> Vec<String> {
    let cluster = env.cluster().unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster.client(), cluster.namespace());
    let its = ListParams::default().labels(&format!("app.kubernetes.io/component={component}"));
    pods.list(&its).await.unwrap().iter().map(|pod| pod.uid().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_bites_and_each_step_mends() {
    let Some(config) = places::kubeconfig() else { return };
    let place = format!("kubernetes: {{ kubeconfig: {}, images: built, doors: forward }}", config.display());
    let stage = Stage::new("test-faults", &place);
    let env = stage.provision().await;
    let (env, folder) = (env.as_ref(), stage.folder());
    let cluster = env.cluster().unwrap();

    let before = uids(env, "mlflow").await;
    strike(env, "pod-kill: { component: mlflow }").await;
    mend(env, folder, "wait-for: { condition: Available, of: deployment/mlflow, within: 2m }").await;
    let after = uids(env, "mlflow").await;
    assert!(!after.is_empty() && after.iter().all(|uid| !before.contains(uid)), "{before:?} {after:?}");
    let late = carry_out(env, folder, "wait-for: { condition: Available, of: deployment/other, within: 1s }").await;
    assert_eq!(late.verdict, Verdict::Missed, "what is not there is never available");

    mend(env, folder, "rollout-restart: { component: mlflow }").await;
    assert!(uids(env, "mlflow").await.iter().any(|uid| !after.contains(uid)), "none is new");
    mend(env, folder, "scale: { component: mlflow, replicas: 0 }").await;
    assert!(uids(env, "mlflow").await.is_empty());

    strike(env, "config-lost: { config_map: mlflow, key: DO_NOT_TRACK, value: '0' }").await;
    strike(env, "config-lost: { secret: platform }").await;
    mend(env, folder, "recreate-namespace: {}").await;
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), cluster.namespace());
    assert!(secrets.get_opt("platform").await.unwrap().is_some());
    assert_eq!(uids(env, "mlflow").await.len(), 1, "what was scaled down is put right, too");

    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let first = namespaces.get(cluster.namespace()).await.unwrap().uid();
    strike(env, "namespace-removed: {}").await;
    mend(env, folder, "recreate-namespace: { hold: [mlflow] }").await;
    assert_ne!(namespaces.get(cluster.namespace()).await.unwrap().uid(), first);
    assert!(uids(env, "mlflow").await.is_empty(), "it is held back");
    assert_eq!(uids(env, "postgres").await.len(), 1);
    mend(env, folder, "start: { component: mlflow }").await;

    let drained = drain(env, folder).await;
    assert_eq!(env.remove().await, Vec::<String>::new());
    let nodes: Api<Node> = Api::all(places::cluster().await.unwrap());
    if let Some(name) = drained {
        let node = nodes.get(&name).await.unwrap();
        assert!(!closed(&node) && !node.labels().contains_key(CLOSED), "a node that the run closed stays closed");
    }
}

/// Empties the node under MLflow, if another can take it; answers the node that is closed now.
async fn drain(env: &dyn Environment, folder: &Path) -> Option<String> {
    let cluster = env.cluster().unwrap();
    let nodes: Api<Node> = Api::all(cluster.client());
    let open = nodes.list(&ListParams::default()).await.unwrap().iter().filter(|node| !closed(node)).count();
    if open < 2 {
        places::skipped("the draining of a node: there is only one");
        return None;
    }
    let (before, drained) = (uids(env, "mlflow").await, carry_out(env, folder, "drain: { carries: mlflow }").await);
    assert_eq!(drained.verdict, Verdict::Met, "{drained:?}");
    let name = drained.figures.iter().find(|(figure, _)| figure == "node").unwrap().1.clone();
    let node = nodes.get(&name).await.unwrap();
    assert!(closed(&node) && node.labels().contains_key(CLOSED), "{:?}", node.labels());
    mend(env, folder, "wait-for: { healthy: mlflow, within: 2m }").await;
    assert!(uids(env, "mlflow").await.iter().all(|uid| !before.contains(uid)), "it has not moved");
    Some(name)
}

fn closed(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true))
}
