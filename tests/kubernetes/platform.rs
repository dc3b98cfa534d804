//! The whole life of a platform.
#![allow(clippy::disallowed_methods)] // reads the clock itself

use super::fixture::{Fixture, make_run, read_run, served};
use crate::beside::beside;
use crate::disks::lost_for_good;
use crate::strike::{fault, strike};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use lifeboat::client::mlflow::Mlflow;
use lifeboat::client::s3;
use lifeboat::clock::Clock;
use lifeboat::engine::{ENGINES, EngineContext, Goal};
use lifeboat::environment::Platform;
use lifeboat::kind::pick;
use lifeboat::model::Verdict;
use lifeboat::node;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_survives_what_is_done_to_it_and_leaves_nothing() {
    let Some(fixture) = Fixture::new("test-survives", "").await else { return };
    let platform = fixture.provision().await;
    let step_context = platform.components().unwrap();
    let within = |seconds: u64| {
        Mlflow::fresh(platform.endpoints().mlflow.as_ref().unwrap(), Duration::from_secs(seconds)).unwrap()
    };
    let (mlflow, hasty) = (within(20), within(3)); // a busy machine is slow, and who is frozen never answers
    let run = make_run(&mlflow).await;
    let path = format!("0/{run}/artifacts/a.txt");
    mlflow.put_artifact(&path, b"bytes".to_vec()).await.unwrap();
    let objects = platform.objects().unwrap();
    let keys = s3::list(objects.s3(), objects.bucket(), objects.prefix()).await.unwrap();
    assert_eq!(keys, [(format!("{}/{path}", objects.prefix()), 5)]);

    for component in ["mlflow", "postgres", "s3"] {
        let before = step_context.instance(component).await.unwrap().unwrap();
        assert_eq!(step_context.alive(component).await.verdict, Verdict::Met);
        step_context.kill(component).await.unwrap();
        assert_ne!(step_context.instance(component).await.unwrap().as_ref(), Some(&before));
        step_context.start(component).await.unwrap(); // nobody has to: the cluster starts it again by itself
        println!("{component} killed: served again after {:.1} s", served(&mlflow, &run).await);
        assert_ne!(step_context.instance(component).await.unwrap().unwrap(), before);
        while step_context.alive(component).await.verdict != Verdict::Met {}
    }
    assert_eq!(artifact_again(&hasty, &path).await, b"bytes");

    for component in ["postgres", "mlflow"] {
        step_context.pause(component).await.unwrap();
        let alive = step_context.alive(component).await;
        assert_eq!((alive.verdict, alive.reason), (Verdict::Missed, Some(format!("`{component}` is frozen"))));
        assert!(read_run(&hasty, &run).await.is_err());
        step_context.resume(component).await.unwrap();
        step_context.resume(component).await.unwrap();
        served(&mlflow, &run).await;
    }
    step_context.stop("mlflow").await.unwrap();
    step_context.stop("postgres").await.unwrap();
    step_context.stop("postgres").await.unwrap();
    assert_eq!(step_context.instance("postgres").await.unwrap(), None);
    assert_eq!(step_context.alive("postgres").await.verdict, Verdict::Missed);
    step_context.start("postgres").await.unwrap();
    step_context.start("mlflow").await.unwrap();
    step_context.start("mlflow").await.unwrap();
    read_run(&mlflow, &run).await.unwrap();

    commands(&*platform).await;
    there_and_back(&platform, &run).await;
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace());
    beside(&*platform, async || pods.get_opt("postgres-helper").await.unwrap().is_some()).await;
    lost_claims(&*platform, &mlflow, &run).await;

    step_context.pause("postgres").await.unwrap(); // and removed while frozen
    let started = Instant::now();
    assert_eq!(platform.remove().await, Vec::<String>::new());
    println!("removed in {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(platform.remove().await, Vec::<String>::new());
    fixture.assert_nothing_left().await;
    let logs = std::fs::read_dir(fixture.run_context.folder.join("logs")).unwrap().count();
    assert_eq!(logs, 4, "each pod's log is kept, and the private server's");
}

/// The artifact, as soon as MLflow serves it again: the store's pod may have been started later than MLflow answers.
async fn artifact_again(mlflow: &Mlflow, path: &str) -> Vec<u8> {
    let started = Instant::now();
    loop {
        match mlflow.artifact(path).await {
            Ok(bytes) => return bytes,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(90), "not served again: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Commands inside take input and end.
async fn commands(platform: &dyn Platform) {
    let inside = platform.exec().unwrap();
    let mut cat = inside.exec("postgres", &["sh", "-c", "cat; echo bad >&2; exit 3"]).await.unwrap();
    let sent = vec![7_u8; 3 << 20];
    let writing = sent.clone();
    let writer = tokio::spawn(async move {
        cat.input.write_all(&writing).await.unwrap();
        drop(cat.input);
    });
    let mut got = vec![];
    let (read, ended) = tokio::join!(cat.output.read_to_end(&mut got), cat.ended);
    read.unwrap();
    writer.await.unwrap();
    let ended = ended.unwrap();
    assert_eq!((got == sent, ended.code, ended.said.trim()), (true, Some(3), "bad"));
    let mut deaf = inside.exec("postgres", &["true"]).await.unwrap();
    assert_eq!(deaf.ended.await.unwrap().code, Some(0));
    let broken = async { while deaf.input.write_all(&sent).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), broken).await.expect("writing to what has ended fails");
}

/// A dump goes there and back.
async fn there_and_back(platform: &Arc<dyn Platform>, run: &str) {
    let mlflow = Mlflow::fresh(platform.endpoints().mlflow.as_ref().unwrap(), Duration::from_secs(10)).unwrap();
    let sql = platform.sql().unwrap();
    let client = sql.connect(sql.database()).await.unwrap();
    client
        .batch_execute("CREATE TABLE ballast AS SELECT g, repeat(md5(g::text), 20) t FROM generate_series(1, 60000) g")
        .await
        .unwrap();
    drop(client);
    let engine =
        pick("engine", ENGINES, &node::parse("builtin: { postgres: logical }").unwrap(), &mut vec![]).unwrap().it;
    let repository = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let context = EngineContext {
        platform: Arc::clone(platform),
        folder: repository.path().into(),
        clock: Clock::start(),
        known: vec![],
        reader: None,
        repository: None,
    };
    let session = engine.open(context).await.unwrap();
    session.backup("one").await.unwrap();
    println!("a dump of about 40 MB took {:.1} s", started.elapsed().as_secs_f64());
    let client = sql.connect(sql.database()).await.unwrap();
    client.batch_execute("DELETE FROM runs CASCADE; DROP TABLE ballast").await.unwrap_err();
    client.batch_execute("DROP TABLE ballast; UPDATE runs SET name = 'changed'").await.unwrap();
    drop(client);
    let started = Instant::now();
    let finding = session.restore(&session.plan(&Goal::Latest(None)).await.unwrap()).await;
    assert_eq!(finding.verdict, Verdict::Met, "{finding:?}");
    println!("its restore took {:.1} s: {:?}", started.elapsed().as_secs_f64(), finding.figures);
    served(&mlflow, run).await;
    assert_eq!(read_run(&mlflow, run).await.unwrap()["run"]["info"]["run_name"], "x");
}

/// Disks are lost one after the other, and each comes back empty with its pod.
async fn lost_claims(platform: &dyn Platform, mlflow: &Mlflow, run: &str) {
    assert!(platform.removal().is_err(), "its pods are deleted by a fault of their own");
    assert_eq!(fault("disk-lost: { component: mlflow }").intend(platform).await.unwrap_err().why, "it has none");

    let (step_context, disks) = (platform.components().unwrap(), platform.disks().unwrap());
    for component in ["s3", "postgres"] {
        let before = disks.disks(component).await.unwrap();
        assert_eq!(before.len(), 1, "{before:?}");
        let instance = step_context.instance(component).await.unwrap().unwrap();
        if component == "postgres" {
            platform.volumes().unwrap().make_side("postgres").await.unwrap(); // in a pod that has the claim too
        }
        strike(platform, &format!("disk-lost: {{ component: {component} }}")).await;
        step_context.start(component).await.unwrap();
        assert_ne!(step_context.instance(component).await.unwrap(), Some(instance));
        if component == "postgres" {
            lost_for_good(platform, &before).await;
        }
    }
    let buckets = platform.objects().unwrap().s3().list_buckets().send().await.unwrap();
    assert!(buckets.buckets().is_empty(), "{buckets:?}");
    step_context.stop("mlflow").await.unwrap();
    step_context.start("mlflow").await.unwrap();
    assert!(read_run(mlflow, run).await.is_err(), "it was on the disk that was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_runs_platform_is_found_and_removed_by_its_receipts_alone() {
    let Some(fixture) = Fixture::new("test-dead", "").await else { return };
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    let other: Namespace =
        serde_json::from_value(json!({ "metadata": { "generateName": "lifeboat-other-" } })).unwrap();
    let other = namespaces.create(&PostParams::default(), &other).await.unwrap().metadata.name.unwrap();
    let config: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), &other);
    let precious = serde_json::from_value(json!({ "metadata": { "name": "precious" } })).unwrap();
    config.create(&PostParams::default(), &precious).await.unwrap();

    let platform = fixture.provision().await;
    platform.components().unwrap().pause("mlflow").await.unwrap();
    let endpoint = platform.endpoints().mlflow.clone().unwrap();
    std::mem::forget(platform);
    let mut receipts = fixture.notes.0.lock().unwrap().clone();
    assert!(!json!(receipts).to_string().contains("password"));
    let found =
        fixture.environment.open(&fixture.run_context, &receipts, fixture.notes.clone()).await.unwrap().unwrap();
    found.components().unwrap().resume("mlflow").await.unwrap();
    let mlflow = Mlflow::fresh(&endpoint, Duration::from_secs(20)).unwrap();
    make_run(&mlflow).await;
    let sql = found.sql().unwrap();
    assert_eq!(sql.connect("mlflow").await.unwrap().query("select 1 from runs", &[]).await.unwrap().len(), 1);

    let mut forged = receipts[0].clone();
    forged.0["namespace"] = json!(other);
    receipts.push(forged);
    let left = fixture.environment.remove(&fixture.run_context, &receipts).await;
    assert!(left.len() == 1 && left[0].contains(&other) && left[0].contains("so it stays"), "{left:?}");
    receipts.pop();
    assert_eq!(fixture.environment.remove(&fixture.run_context, &receipts).await, Vec::<String>::new());
    fixture.assert_nothing_left().await;
    assert!(config.get_opt("precious").await.unwrap().is_some(), "what is not ours stays");
    namespaces.delete(&other, &DeleteParams::default()).await.unwrap();
}
