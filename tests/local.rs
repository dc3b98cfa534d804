//! The local platform for real: set up, hurt in every way, removed; and removed when its maker is gone.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/notes.rs"]
mod notes;

use lifeboat::check::CHECKS;
use lifeboat::client::mlflow::Mlflow;
use lifeboat::client::{Trouble, canary, process, s3};
use lifeboat::environment::{Environment, Lent, Place, local};
use lifeboat::kind::pick;
use lifeboat::model::Verdict;
use lifeboat::workload::seed;
use lifeboat::{node, store};
use notes::Notes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct Stage {
    place: Box<dyn Place>,
    lent: Lent,
    notes: Arc<Notes>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = (local::KIND.parse)(&node::parse("{}").unwrap(), &mut vec![]).unwrap();
        let lent = Lent { run: format!("{name}-{}", std::process::id()), folder: folder.path().into() };
        Self { place, lent, notes: Arc::default(), _folder: folder }
    }

    async fn provision(&self) -> Arc<dyn Environment> {
        let survey = self.place.survey(&[]).await;
        assert!(survey.problems.is_empty(), "{:?}", survey.problems);
        let journal = Arc::clone(&self.notes);
        self.place.provision(&self.lent, journal).await.map_err(|e| e.to_string()).unwrap()
    }

    fn assert_nothing_left(&self) {
        let left = process::marked("LIFEBOAT_RUN", &self.lent.run, "LIFEBOAT_COMPONENT");
        assert!(left.is_empty(), "{left:?}");
        for receipt in self.notes.0.lock().unwrap().iter() {
            let born: Option<process::Born> = serde_json::from_value(receipt.0["process"].clone()).ok();
            assert!(!born.is_some_and(process::Born::lives), "{receipt:?}");
        }
        assert!(!store::state().join(&self.lent.run).exists());
    }
}

async fn make_run(mlflow: &Mlflow) -> String {
    let body = json!({ "experiment_id": "0", "start_time": 1, "run_name": "x" });
    let answer = mlflow.post("runs/create", &body).await.unwrap();
    answer["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

async fn read_run(mlflow: &Mlflow, id: &str) -> Result<Value, Trouble> {
    mlflow.get("runs/get", &[("run_id", id)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_survives_what_is_done_to_it_and_leaves_nothing() {
    let stage = Stage::new("test-survives");
    let env = stage.provision().await;
    let hands = env.components().unwrap();
    let mlflow = Mlflow::fresh(env.doors().mlflow.as_ref().unwrap(), Duration::from_secs(3)).unwrap();
    let scratch = canary::experiment(&mlflow, "scratch").await.unwrap();
    mlflow.post("experiments/delete", &json!({ "experiment_id": scratch })).await.unwrap();
    assert_eq!(canary::experiment(&mlflow, "scratch").await.unwrap(), scratch);
    canary::round_trip(&mlflow, &scratch, "in a restored experiment").await.unwrap();
    let run = make_run(&mlflow).await;
    let path = format!("0/{run}/artifacts/a.txt");
    mlflow.put_artifact(&path, b"bytes".to_vec()).await.unwrap();
    let objects = env.objects().unwrap();
    let keys = s3::list(objects.s3(), objects.bucket(), objects.prefix()).await.unwrap();
    assert_eq!(keys, [(format!("{}/{path}", objects.prefix()), 5)]);
    assert_eq!(s3::get(objects.s3(), objects.bucket(), &keys[0].0).await.unwrap(), b"bytes");

    for component in ["mlflow", "postgres", "s3"] {
        let before = hands.instance(component).await.unwrap().unwrap();
        hands.kill(component).await.unwrap();
        hands.kill(component).await.unwrap();
        assert_eq!(hands.alive(component).await.verdict, Verdict::Missed);
        assert_eq!(hands.instance(component).await.unwrap(), None);
        hands.start(component).await.unwrap();
        hands.start(component).await.unwrap();
        assert_eq!(hands.alive(component).await.verdict, Verdict::Met);
        assert_ne!(hands.instance(component).await.unwrap().unwrap(), before);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    read_run(&mlflow, &run).await.unwrap();
    assert_eq!(mlflow.artifact(&path).await.unwrap(), b"bytes");

    for component in ["postgres", "mlflow"] {
        hands.pause(component).await.unwrap();
        assert_eq!(hands.alive(component).await.verdict, Verdict::Missed);
        assert!(read_run(&mlflow, &run).await.is_err());
        hands.resume(component).await.unwrap();
        hands.resume(component).await.unwrap();
        read_run(&mlflow, &run).await.unwrap();
    }
    hands.stop("mlflow").await.unwrap();
    hands.stop("postgres").await.unwrap();
    hands.start("postgres").await.unwrap();
    hands.start("mlflow").await.unwrap();
    read_run(&mlflow, &run).await.unwrap();

    let sql = env.sql().unwrap();
    let rows = sql.connect(sql.database()).await.unwrap().query("select 1 from runs", &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
    let dump = sql.tool("pg_dump", &["--schema-only"]).await.unwrap().finish().await.unwrap();
    assert!(dump.0.success() && dump.1.len() > 1000, "{}", dump.0);

    hands.pause("postgres").await.unwrap(); // and removed while frozen
    assert_eq!(env.remove().await, Vec::<String>::new());
    assert_eq!(env.remove().await, Vec::<String>::new());
    stage.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_registry_says_and_the_bucket_holds_are_compared_by_name() {
    let stage = Stage::new("test-registry");
    let env = stage.provision().await;
    seed::plant(&*env, 0.1).await.unwrap();
    let check = pick("check", CHECKS, &node::parse("registry-artifacts").unwrap(), &mut vec![]).unwrap().it;
    let planted = check.plant(&*env, "run").await.unwrap();
    let reason = async || {
        let finding = check.verify(&*env, &planted).await;
        (finding.verdict, finding.reason.unwrap_or_default())
    };
    assert_eq!(reason().await, (Verdict::Met, String::new()));

    let (sql, objects) = (env.sql().unwrap(), env.objects().unwrap());
    let client = sql.connect(sql.database()).await.unwrap();
    let keys = s3::list(objects.s3(), objects.bucket(), objects.prefix()).await.unwrap();
    let model = &keys.iter().find(|(key, _)| key.ends_with("/model/MLmodel")).unwrap().0;
    let bytes = s3::get(objects.s3(), objects.bucket(), model).await.unwrap();
    objects.s3().delete_object().bucket(objects.bucket()).key(model).send().await.unwrap();
    let (verdict, why) = reason().await;
    assert!(verdict == Verdict::Missed && why.ends_with(&format!("the object `{model}` is gone")), "{why}");
    s3::put(objects.s3(), objects.bucket(), model, b"encrypted in place".to_vec()).await.unwrap();
    let (verdict, why) = reason().await;
    assert!(verdict == Verdict::Missed && why.ends_with(&format!("the object `{model}` has other bytes")), "{why}");
    s3::put(objects.s3(), objects.bucket(), model, bytes).await.unwrap();
    assert_eq!(reason().await.0, Verdict::Met);

    client
        .batch_execute("UPDATE registered_model_aliases SET version = 99 WHERE name = 'seed-model-01'")
        .await
        .unwrap();
    assert_eq!(reason().await.1, "seed-model-01@champion: there is no seed-model-01 version 99");
    env.components().unwrap().kill("s3").await.unwrap();
    assert_eq!(reason().await.0, Verdict::Unknown, "what cannot be looked at is never met");
    client.batch_execute("DROP TABLE registered_model_aliases").await.unwrap();
    assert_eq!(reason().await.1, "the table `registered_model_aliases` is gone");
    assert_eq!(env.remove().await, Vec::<String>::new());
    stage.assert_nothing_left();
}

const KEPT: &str = "drill: kept\nscenario: ./nothing.yaml\nenvironment: { local: { keep: true } }\nscale: 0.02\n\
    probes: [mlflow: { depth: health, every: 200ms }]\nlimits: { baseline: 1s }\nstable: 1s\n";
const NOTHING: &str = "scenario: nothing\nfaults: [kill: { component: s3 }]\nrecovery: [start: { component: s3 }]\n";

#[test]
fn a_platform_that_is_kept_stays_up_until_it_is_cleaned_up() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kept.yaml"), KEPT).unwrap();
    std::fs::write(folder.path().join("nothing.yaml"), NOTHING).unwrap();
    let lifeboat = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args).arg("--reports").arg(folder.path().join("reports")).current_dir(folder.path());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = lifeboat(&["run", "kept.yaml"]);
    assert_eq!(code, Some(0), "{said}");
    let door = said.split("the platform stays up: MLflow http://").nth(1).and_then(|text| text.split(',').next());
    let up = || std::net::TcpStream::connect(door.unwrap()).is_ok();
    assert!(up(), "{said}");
    let (code, said) = lifeboat(&["cleanup"]);
    assert_eq!((code, up()), (Some(0), false), "{said}");
    assert!(said.contains("all is gone"), "{said}");
    assert!(lifeboat(&["cleanup"]).1.contains("nothing to clean up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_runs_platform_is_removed_by_its_receipts_alone() {
    let stage = Stage::new("test-dead");
    let env = stage.provision().await;
    env.components().unwrap().pause("mlflow").await.unwrap();
    std::mem::forget(env);
    let receipts = stage.notes.0.lock().unwrap().clone();
    assert_eq!(stage.place.remove(&stage.lent, &receipts).await, Vec::<String>::new());
    stage.assert_nothing_left();
    assert_eq!(stage.place.remove(&stage.lent, &receipts).await, Vec::<String>::new());
}
