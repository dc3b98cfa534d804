//! What components are made of, taken away for real: a container, a disk, a share of the processors; and what of it is
//! there again when the component is started.
//!
//! Without an engine or a cluster these tests say so and pass, unless they are required.

use crate::beside::beside;
use crate::disks::lost_for_good;
use crate::fixture::Fixture;
use crate::services;
use crate::strike::{fault, strike};
use crate::volumes;
use lifeboat::client::mlflow::Mlflow;
use lifeboat::environment::Platform;
use lifeboat::model::Verdict;
use serde_json::json;
use std::time::Duration;
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::VolumeCreateRequest;
use testcontainers::bollard::query_parameters::RemoveVolumeOptions;
use tokio::time::sleep;

async fn make_run(platform: &dyn Platform) -> String {
    let body = json!({ "experiment_id": "0", "start_time": 1, "run_name": "x" });
    let answer = client(platform).post("runs/create", &body).await.unwrap();
    answer["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

fn client(platform: &dyn Platform) -> Mlflow {
    Mlflow::fresh(platform.endpoints().mlflow.as_ref().unwrap(), Duration::from_secs(5)).unwrap()
}

async fn reads(platform: &dyn Platform, run: &str) -> bool {
    client(platform).get("runs/get", &[("run_id", run)]).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_of_a_container_is_made_anew_and_a_lost_disk_is_empty() {
    let Some(docker) = services::engine().await else { return };
    let fixture = Fixture::new("test-disks", "containers: { images: built, restart: no }");
    let platform = fixture.provision().await;
    let platform = platform.as_ref();
    let run = make_run(platform).await;
    let all = services::on_engine(&docker, fixture.run()).await;

    containers(platform, &run).await;
    beside(platform, async || volumes::helper(&docker, fixture.run()).await).await;
    assert_eq!(fault("disk-lost: { component: mlflow }").intend(platform).await.unwrap_err().why, "it has none");
    let before = platform.disks().unwrap().disks("postgres").await.unwrap();
    strike(platform, "disk-lost: { component: postgres }").await;
    let step_context = platform.components().unwrap();
    assert!(step_context.alive("postgres").await.reason.unwrap().contains("is gone"));
    step_context.start("postgres").await.unwrap();
    lost_for_good(platform, &before).await;
    step_context.stop("mlflow").await.unwrap();
    step_context.start("mlflow").await.unwrap();
    assert!(!reads(platform, &run).await, "it was on the disk that was lost");
    make_run(platform).await;

    processors(platform).await;
    what_ends_stays_away(platform).await;
    somebody_elses(platform, &docker, fixture.run()).await;
    strike(platform, "disk-lost: { component: s3 }").await;
    step_context.start("s3").await.unwrap();
    let buckets = platform.objects().unwrap().s3().list_buckets().send().await.unwrap();
    assert!(buckets.buckets().is_empty(), "{buckets:?}");
    assert_eq!(services::on_engine(&docker, fixture.run()).await.len(), all.len(), "the names are as they were");
    volumes::lost(platform, &docker, fixture.run()).await;
    assert_eq!(platform.remove().await, Vec::<String>::new());
    assert_eq!(services::on_engine(&docker, fixture.run()).await, Vec::<String>::new());
}

/// Containers are removed; their disks, names, ports and networks stay.
async fn containers(platform: &dyn Platform, run: &str) {
    let (step_context, removal, disks) =
        (platform.components().unwrap(), platform.removal().unwrap(), platform.disks().unwrap());
    let meant = fault("removed: { component: mlflow }");
    let receipt = meant.intend(platform).await.unwrap();
    step_context.kill("mlflow").await.unwrap();
    assert_eq!(meant.confirm(platform, &receipt).await.verdict, Verdict::Missed, "who was killed is not removed");
    step_context.start("mlflow").await.unwrap();
    for component in ["mlflow", "postgres"] {
        let (container, held) =
            (removal.container(component).await.unwrap().unwrap(), disks.disks(component).await.unwrap());
        strike(platform, &format!("removed: {{ component: {component} }}")).await;
        assert!(step_context.alive(component).await.reason.unwrap().contains("is gone"));
        assert!(!reads(platform, run).await);
        step_context.start(component).await.unwrap();
        let now = removal.container(component).await.unwrap().unwrap();
        assert_ne!(now, container);
        removal.remove_container(component, &container).await.unwrap();
        assert_eq!(removal.container(component).await.unwrap(), Some(now), "another was removed than was meant");
        assert_eq!(disks.disks(component).await.unwrap(), held);
    }
    // MLflow's connections ended with the old server: the first answers may be errors.
    let mut tries = 0;
    while !reads(platform, run).await {
        tries += 1;
        assert!(tries < 50, "what was written before is not there");
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(platform.network().unwrap().reaches("mlflow", "s3").await.verdict, Verdict::Met);
}

/// A limit takes effect who wants more, and is taken away again.
async fn processors(platform: &dyn Platform) {
    let (cpu, exec) = (platform.cpu().unwrap(), platform.exec().unwrap());
    assert_eq!(cpu.cpu("s3").await.unwrap().limit, None);
    let ample = fault("throttled: { component: s3, cpus: 2 }");
    let receipt = ample.intend(platform).await.unwrap();
    ample.inject(platform, &receipt).await.unwrap();
    let finding = ample.confirm(platform, &receipt).await;
    assert!(finding.reason.as_ref().is_some_and(|why| why.contains("never held back")), "{finding:?}");
    let busy = exec.exec("s3", &["timeout", "5", "sh", "-c", "while :; do :; done"]).await.unwrap();
    strike(platform, "throttled: { component: s3, cpus: 0.1 }").await;
    assert_eq!(cpu.cpu("s3").await.unwrap().limit, Some(2000), "what it might take before");
    ample.lift(platform, &receipt).await.unwrap();
    ample.lift(platform, &receipt).await.unwrap();
    assert_eq!(cpu.cpu("s3").await.unwrap().limit, None);
    busy.finish().await.unwrap();
    let step_context = platform.components().unwrap();
    step_context.stop("s3").await.unwrap();
    step_context.start("s3").await.unwrap();
    assert_eq!(cpu.cpu("s3").await.unwrap().limit, None);
}

/// With the setting `restart: no`.
async fn what_ends_stays_away(platform: &dyn Platform) {
    let step_context = platform.components().unwrap();
    platform.exec().unwrap().exec("mlflow", &["bash", "-c", "kill -TERM 1"]).await.unwrap().finish().await.unwrap();
    let mut tries = 0;
    while step_context.instance("mlflow").await.unwrap().is_some() {
        tries += 1;
        assert!(tries < 100, "it does not end");
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(step_context.instance("mlflow").await.unwrap(), None, "it came back by itself");
    step_context.start("mlflow").await.unwrap();
}

/// A volume of the right name that the run did not make is not touched.
async fn somebody_elses(platform: &dyn Platform, docker: &Docker, run: &str) {
    strike(platform, "disk-lost: { component: s3 }").await;
    let name = format!("{run}-s3-0");
    let request = VolumeCreateRequest { name: Some(name.clone()), ..Default::default() };
    docker.create_volume(request).await.unwrap();
    let disks = platform.disks().unwrap();
    let foreign = disks.disks("s3").await.unwrap();
    let error = disks.lose("s3", &foreign).await.unwrap_err();
    assert!(error.why.contains("so it stays"), "{error}");
    assert_eq!(disks.disks("s3").await.unwrap(), foreign);
    docker.remove_volume(&name, None::<RemoveVolumeOptions>).await.unwrap();
    platform.components().unwrap().start("s3").await.unwrap();
}
