//! What components are made of, taken away for real: a container, a disk, a share of the processors; and what of it is
//! there again when the component is started.
//!
//! Without an engine or a cluster these tests say so and pass, unless they are required.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/notes.rs"]
mod notes;
#[path = "support/places.rs"]
mod places;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/strike.rs"]
mod strike;

use lifeboat::client::mlflow::Mlflow;
use lifeboat::environment::Environment;
use lifeboat::model::Verdict;
use serde_json::json;
use stage::Stage;
use std::time::Duration;
use strike::{fault, strike};
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::VolumeCreateRequest;
use testcontainers::bollard::query_parameters::RemoveVolumeOptions;
use tokio::time::sleep;

async fn make_run(env: &dyn Environment) -> String {
    let body = json!({ "experiment_id": "0", "start_time": 1, "run_name": "x" });
    let answer = client(env).post("runs/create", &body).await.unwrap();
    answer["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

fn client(env: &dyn Environment) -> Mlflow {
    Mlflow::fresh(env.doors().mlflow.as_ref().unwrap(), Duration::from_secs(5)).unwrap()
}

async fn reads(env: &dyn Environment, run: &str) -> bool {
    client(env).get("runs/get", &[("run_id", run)]).await.is_ok()
}

async fn tables(env: &dyn Environment) -> i64 {
    let sql = env.sql().unwrap();
    let client = sql.connect(sql.database()).await.unwrap();
    let count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    client.query_one(count, &[]).await.unwrap().get(0)
}

/// What was lost is another one by now, and what it held is gone; the old one's name does no more harm.
async fn lost_for_good(env: &dyn Environment, before: &[String]) {
    assert_eq!(tables(env).await, 0, "the server is empty");
    let disks = env.disks().unwrap();
    let now = disks.disks("postgres").await.unwrap();
    assert!(now.len() == before.len() && now.iter().all(|disk| !before.contains(disk)), "{before:?} {now:?}");
    disks.lose("postgres", before).await.unwrap();
    assert_eq!(disks.disks("postgres").await.unwrap(), now, "another disk was lost than the one that was meant");
    assert_eq!(tables(env).await, 0, "and the server lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_of_a_container_is_made_anew_and_a_lost_disk_is_empty() {
    let Some(docker) = places::engine().await else { return };
    let stage = Stage::new("test-disks", "containers: { images: built, restart: no }");
    let env = stage.provision().await;
    let env = env.as_ref();
    let run = make_run(env).await;
    let all = places::on_engine(&docker, stage.run()).await;

    containers(env, &run).await;
    assert_eq!(fault("disk-lost: { component: mlflow }").intend(env).await.unwrap_err().why, "it has none");
    let before = env.disks().unwrap().disks("postgres").await.unwrap();
    strike(env, "disk-lost: { component: postgres }").await;
    let hands = env.components().unwrap();
    assert!(hands.alive("postgres").await.reason.unwrap().contains("is gone"));
    hands.start("postgres").await.unwrap();
    lost_for_good(env, &before).await;
    hands.stop("mlflow").await.unwrap();
    hands.start("mlflow").await.unwrap();
    assert!(!reads(env, &run).await, "it was on the disk that was lost");
    make_run(env).await;

    processors(env).await;
    what_ends_stays_away(env).await;
    somebody_elses(env, &docker, stage.run()).await;
    strike(env, "disk-lost: { component: s3 }").await;
    hands.start("s3").await.unwrap();
    let buckets = env.objects().unwrap().s3().list_buckets().send().await.unwrap();
    assert!(buckets.buckets().is_empty(), "{buckets:?}");
    assert_eq!(places::on_engine(&docker, stage.run()).await.len(), all.len(), "the names are as they were");
    strike(env, "disk-lost: { component: postgres }").await;
    assert_eq!(env.remove().await, Vec::<String>::new());
    assert_eq!(places::on_engine(&docker, stage.run()).await, Vec::<String>::new());
}

/// Containers are removed; their disks, names, ports and networks stay.
async fn containers(env: &dyn Environment, run: &str) {
    let (hands, removal, disks) = (env.components().unwrap(), env.removal().unwrap(), env.disks().unwrap());
    let meant = fault("removed: { component: mlflow }");
    let receipt = meant.intend(env).await.unwrap();
    hands.kill("mlflow").await.unwrap();
    assert_eq!(meant.confirm(env, &receipt).await.verdict, Verdict::Missed, "who was killed is not removed");
    hands.start("mlflow").await.unwrap();
    for component in ["mlflow", "postgres"] {
        let (container, held) =
            (removal.container(component).await.unwrap().unwrap(), disks.disks(component).await.unwrap());
        strike(env, &format!("removed: {{ component: {component} }}")).await;
        assert!(hands.alive(component).await.reason.unwrap().contains("is gone"));
        assert!(!reads(env, run).await);
        hands.start(component).await.unwrap();
        let now = removal.container(component).await.unwrap().unwrap();
        assert_ne!(now, container);
        removal.remove_container(component, &container).await.unwrap();
        assert_eq!(removal.container(component).await.unwrap(), Some(now), "another was removed than was meant");
        assert_eq!(disks.disks(component).await.unwrap(), held);
    }
    // MLflow's connections ended with the old server: the first answers may be errors.
    let mut tries = 0;
    while !reads(env, run).await {
        tries += 1;
        assert!(tries < 50, "what was written before is not there");
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(env.network().unwrap().reaches("mlflow", "s3").await.verdict, Verdict::Met);
}

/// A limit bites who wants more, and is taken away again.
async fn processors(env: &dyn Environment) {
    let (cpu, exec) = (env.cpu().unwrap(), env.exec().unwrap());
    assert_eq!(cpu.cpu("s3").await.unwrap().limit, None);
    let ample = fault("throttled: { component: s3, cpus: 2 }");
    let receipt = ample.intend(env).await.unwrap();
    ample.inject(env, &receipt).await.unwrap();
    let finding = ample.confirm(env, &receipt).await;
    assert!(finding.reason.as_ref().is_some_and(|why| why.contains("never held back")), "{finding:?}");
    let busy = exec.exec("s3", &["timeout", "5", "sh", "-c", "while :; do :; done"]).await.unwrap();
    strike(env, "throttled: { component: s3, cpus: 0.1 }").await;
    assert_eq!(cpu.cpu("s3").await.unwrap().limit, Some(2000), "what it might take before");
    ample.lift(env, &receipt).await.unwrap();
    ample.lift(env, &receipt).await.unwrap();
    assert_eq!(cpu.cpu("s3").await.unwrap().limit, None);
    busy.finish().await.unwrap();
    let hands = env.components().unwrap();
    hands.stop("s3").await.unwrap();
    hands.start("s3").await.unwrap();
    assert_eq!(cpu.cpu("s3").await.unwrap().limit, None);
}

/// With the setting `restart: no`.
async fn what_ends_stays_away(env: &dyn Environment) {
    let hands = env.components().unwrap();
    env.exec().unwrap().exec("mlflow", &["bash", "-c", "kill -TERM 1"]).await.unwrap().finish().await.unwrap();
    let mut tries = 0;
    while hands.instance("mlflow").await.unwrap().is_some() {
        tries += 1;
        assert!(tries < 100, "it does not end");
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(hands.instance("mlflow").await.unwrap(), None, "it came back by itself");
    hands.start("mlflow").await.unwrap();
}

/// A volume of the right name that the run did not make is not touched.
async fn somebody_elses(env: &dyn Environment, docker: &Docker, run: &str) {
    strike(env, "disk-lost: { component: s3 }").await;
    let name = format!("{run}-s3-0");
    let request = VolumeCreateRequest { name: Some(name.clone()), ..Default::default() };
    docker.create_volume(request).await.unwrap();
    let disks = env.disks().unwrap();
    let foreign = disks.disks("s3").await.unwrap();
    let trouble = disks.lose("s3", &foreign).await.unwrap_err();
    assert!(trouble.why.contains("so it stays"), "{trouble}");
    assert_eq!(disks.disks("s3").await.unwrap(), foreign);
    docker.remove_volume(&name, None::<RemoveVolumeOptions>).await.unwrap();
    env.components().unwrap().start("s3").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_claim_comes_back_empty_with_its_pod() {
    let (Some(kubeconfig), Some(client)) = (places::kubeconfig(), places::cluster().await) else { return };
    let place = format!("kubernetes: {{ kubeconfig: {}, images: built }}", kubeconfig.display());
    let stage = Stage::new("test-disks", &place);
    let env = stage.provision().await;
    let env = env.as_ref();
    let run = make_run(env).await;
    assert!(env.removal().is_err(), "its pods are deleted by a fault of their own");
    assert_eq!(fault("disk-lost: { component: mlflow }").intend(env).await.unwrap_err().why, "it has none");

    let (hands, disks) = (env.components().unwrap(), env.disks().unwrap());
    for component in ["s3", "postgres"] {
        let before = disks.disks(component).await.unwrap();
        assert_eq!(before.len(), 1, "{before:?}");
        let instance = hands.instance(component).await.unwrap().unwrap();
        strike(env, &format!("disk-lost: {{ component: {component} }}")).await;
        hands.start(component).await.unwrap();
        assert_ne!(hands.instance(component).await.unwrap(), Some(instance));
        if component == "postgres" {
            lost_for_good(env, &before).await;
        }
    }
    let buckets = env.objects().unwrap().s3().list_buckets().send().await.unwrap();
    assert!(buckets.buckets().is_empty(), "{buckets:?}");
    hands.stop("mlflow").await.unwrap();
    hands.start("mlflow").await.unwrap();
    assert!(!reads(env, &run).await, "it was on the disk that was lost");
    assert_eq!(env.remove().await, Vec::<String>::new());
    assert_eq!(places::in_cluster(&client, stage.run()).await, Vec::<String>::new());
}
