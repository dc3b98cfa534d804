//! Faults and steps of a cluster, one after the other on a real platform: each takes effect, and each is mended.
//!
//! The cluster is the one that `LIFEBOAT_TEST_KUBECONFIG` names; without it this says so and passes, unless
//! `LIFEBOAT_TEST_CLUSTER=require`. Nodes are lost in `alone/nodes.rs`.

use super::fixture::Fixture;
use crate::services;
use crate::steps::{carry_out, mend};
use crate::strike::strike;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use lifeboat::client::kubernetes::nodes::CORDONED;
use lifeboat::environment::Platform;
use lifeboat::model::Verdict;
use std::path::Path;

async fn uids(platform: &dyn Platform, component: &str) -> Vec<String> {
    let cluster = platform.cluster().unwrap().namespace();
    let pods: Api<Pod> = cluster.api();
    let its = ListParams::default().labels(&format!("app.kubernetes.io/component={component}"));
    pods.list(&its).await.unwrap().iter().map(|pod| pod.uid().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_takes_effect_and_each_step_mends() {
    let Some(fixture) = Fixture::new("test-faults", "access: forward").await else { return };
    let platform = fixture.provision().await;
    let (platform, folder) = (platform.as_ref(), fixture.run_context.folder.as_path());
    let cluster = platform.cluster().unwrap().namespace();

    let before = uids(platform, "mlflow").await;
    strike(platform, "pod-kill: { component: mlflow }").await;
    mend(platform, folder, "wait-for: { condition: Available, of: deployment/mlflow, within: 2m }").await;
    let after = uids(platform, "mlflow").await;
    assert!(!after.is_empty() && after.iter().all(|uid| !before.contains(uid)), "{before:?} {after:?}");
    let late =
        carry_out(platform, folder, "wait-for: { condition: Available, of: deployment/other, within: 1s }").await;
    assert_eq!(late.verdict, Verdict::Missed, "what is not there is never available");

    mend(platform, folder, "rollout-restart: { component: mlflow }").await;
    assert!(uids(platform, "mlflow").await.iter().any(|uid| !after.contains(uid)), "none is new");
    mend(platform, folder, "scale: { component: mlflow, replicas: 0 }").await;
    assert!(uids(platform, "mlflow").await.is_empty());

    strike(platform, "config-lost: { config_map: mlflow, key: DO_NOT_TRACK, value: '0' }").await;
    strike(platform, "config-lost: { secret: platform }").await;
    mend(platform, folder, "recreate-namespace: {}").await;
    let secrets: Api<Secret> = cluster.api();
    assert!(secrets.get_opt("platform").await.unwrap().is_some());
    assert_eq!(uids(platform, "mlflow").await.len(), 1, "what was scaled down is put right, too");

    let namespaces: Api<Namespace> = cluster.everywhere();
    let first = namespaces.get(&cluster.name).await.unwrap().uid();
    strike(platform, "namespace-removed: {}").await;
    mend(platform, folder, "recreate-namespace: { hold: [mlflow] }").await;
    assert_ne!(namespaces.get(&cluster.name).await.unwrap().uid(), first);
    assert!(uids(platform, "mlflow").await.is_empty(), "it is held back");
    assert_eq!(uids(platform, "postgres").await.len(), 1);
    mend(platform, folder, "start: { component: mlflow }").await;

    let drained = drain(platform, folder).await;
    assert_eq!(platform.remove().await, Vec::<String>::new());
    let nodes: Api<Node> = Api::all(fixture.client.clone());
    if let Some(name) = drained {
        let node = nodes.get(&name).await.unwrap();
        assert!(
            !cordoned(&node) && !node.labels().contains_key(CORDONED),
            "a node that the run cordoned stays cordoned"
        );
    }
}

/// Empties the node under MLflow, if another can take it; answers the node that is cordoned now.
async fn drain(platform: &dyn Platform, folder: &Path) -> Option<String> {
    let cluster = platform.cluster().unwrap().namespace();
    let nodes: Api<Node> = cluster.everywhere();
    let open = nodes.list(&ListParams::default()).await.unwrap().iter().filter(|node| !cordoned(node)).count();
    if open < 2 {
        services::skipped("the draining of a node: there is only one");
        return None;
    }
    let (before, drained) =
        (uids(platform, "mlflow").await, carry_out(platform, folder, "drain: { carries: mlflow }").await);
    assert_eq!(drained.verdict, Verdict::Met, "{drained:?}");
    let name = drained.figures.iter().find(|(figure, _)| figure == "node").unwrap().1.clone();
    let node = nodes.get(&name).await.unwrap();
    assert!(cordoned(&node) && node.labels().contains_key(CORDONED), "{:?}", node.labels());
    mend(platform, folder, "wait-for: { healthy: mlflow, within: 2m }").await;
    assert!(uids(platform, "mlflow").await.iter().all(|uid| !before.contains(uid)), "it has not moved");
    Some(name)
}

fn cordoned(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true))
}
