//! Nodes of a real cluster are lost, by cable and by power: each loss takes effect and is mended, and a node that is given up
//! holds nobody up.
//!
//! The cluster is the one that `LIFEBOAT_TEST_KUBECONFIG` names, and `LIFEBOAT_TEST_NODES` is the switch of its nodes;
//! without either this says so and passes, unless `LIFEBOAT_TEST_CLUSTER=require`. In a program of its own: no other
//! test may need the nodes meanwhile.

use crate::fixture::Fixture;
use crate::services;
use crate::steps::mend;
use crate::strike::{onset, strike};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lifeboat::client::kubernetes::{nodes, pods};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Whose turn it is to take nodes away.
pub static TURN: Mutex<()> = Mutex::const_new(());

/// the cluster itself force-deletes the pods of a node that was deleted, but not before.
const QUARANTINE: Duration = Duration::from_secs(40);

/// Two of MLflow, which leave a lost node soon, and a disk that follows its pod.
fn environment() -> Option<String> {
    let (config, switch) = (services::kubeconfig()?, services::switch()?);
    let verb = |verb: &str| format!("{switch} {verb} \"$LIFEBOAT_NODE\"");
    let nodes =
        json!({ "power_off": verb("kill"), "power_on": verb("up"), "cut_off": verb("cut"), "connect": verb("heal") });
    let mlflow = json!({ "replicas": 2, "toleration": "5s" });
    let environment = json!({ "kubernetes": { "kubeconfig": config, "images": "built", "access": "forward",
        "storage_class": "network", "mlflow": mlflow, "nodes": nodes } });
    Some(environment.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_lost_comes_back_and_one_that_is_given_up_holds_nobody_up() {
    let Some(environment) = environment() else { return };
    let _turn = TURN.lock().await;
    let fixture = Fixture::new("test-nodes", &environment);
    let platform = fixture.provision().await;
    let (platform, folder) = (platform.as_ref(), fixture.folder());
    let cluster = platform.cluster().unwrap().namespace();

    strike(platform, "node-lost: { carries: mlflow, spares: postgres, how: cable }").await;
    mend(platform, folder, "wait-for: { healthy: mlflow, within: 2m }").await;

    let (fault, receipt) = onset(platform, "node-lost: { carries: postgres, how: power }").await;
    let drained = mend(platform, folder, "drain: { carries: postgres }").await;
    let node = drained.figures.iter().find(|(figure, _)| figure == "node").unwrap().1.clone();
    let began = Instant::now();
    mend(platform, folder, &format!("delete-node: {{ node: {node} }}")).await;
    let pods = pods::list(cluster, "").await.unwrap();
    let left = pods.iter().find(|pod| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&node));
    assert_eq!(left.map(ResourceExt::name_any), None, "it is still on `{node}`");
    assert!(cluster.everywhere::<Node>().get_opt(&node).await.unwrap().is_none());
    mend(platform, folder, "wait-for: { healthy: postgres, within: 2m }").await;
    mend(platform, folder, "stop: { component: mlflow }").await;
    assert!(began.elapsed() < QUARANTINE, "{:?}: the cluster had to force-delete its pods", began.elapsed());

    fault.lift(platform, &receipt).await.unwrap();
    let back = cluster.everywhere::<Node>().get(&node).await.unwrap();
    assert!(nodes::ready(&back), "{back:?}");
    assert_eq!(platform.remove().await, Vec::<String>::new());
}
