//! The local platform for real: set up, hurt in every way, removed; and removed when its maker is gone.

use crate::notes::Notes;
use lifeboat::check::CHECKS;
use lifeboat::client::mlflow::Mlflow;
use lifeboat::client::{Error, process, s3, tasks};
use lifeboat::environment::{Environment, Platform, RunContext, local};
use lifeboat::kind::pick;
use lifeboat::model::Verdict;
use lifeboat::workload::seed;
use lifeboat::{node, store};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct Fixture {
    environment: Box<dyn Environment>,
    run_context: RunContext,
    notes: Arc<Notes>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = (local::KIND.parse)(&node::parse("{}").unwrap(), &mut vec![]).unwrap();
        let run_context = RunContext { run: format!("{name}-{}", std::process::id()), folder: folder.path().into() };
        Self { environment, run_context, notes: Arc::default(), _folder: folder }
    }

    async fn provision(&self) -> Arc<dyn Platform> {
        let survey = self.environment.survey(&[]).await;
        assert!(survey.problems.is_empty(), "{:?}", survey.problems);
        let journal = Arc::clone(&self.notes);
        self.environment.provision(&self.run_context, journal).await.map_err(|e| e.to_string()).unwrap()
    }

    fn assert_nothing_left(&self) {
        let left = process::marked("LIFEBOAT_RUN", &self.run_context.run, "LIFEBOAT_COMPONENT");
        assert!(left.is_empty(), "{left:?}");
        for receipt in self.notes.0.lock().unwrap().iter() {
            let identity: Option<process::ProcessIdentity> = serde_json::from_value(receipt.0["process"].clone()).ok();
            assert!(!identity.is_some_and(process::ProcessIdentity::lives), "{receipt:?}");
        }
        assert!(!store::state().join(&self.run_context.run).exists());
    }
}

async fn make_run(mlflow: &Mlflow) -> String {
    let body = json!({ "experiment_id": "0", "start_time": 1, "run_name": "x" });
    let answer = mlflow.post("runs/create", &body).await.unwrap();
    answer["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

async fn read_run(mlflow: &Mlflow, id: &str) -> Result<Value, Error> {
    mlflow.get("runs/get", &[("run_id", id)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_survives_what_is_done_to_it_and_leaves_nothing() {
    let fixture = Fixture::new("test-survives");
    let platform = fixture.provision().await;
    let step_context = platform.components().unwrap();
    let within = |seconds: u64| {
        Mlflow::fresh(platform.endpoints().mlflow.as_ref().unwrap(), Duration::from_secs(seconds)).unwrap()
    };
    let (mlflow, hasty) = (within(20), within(3)); // a busy machine is slow, and who is frozen never answers
    let scratch = tasks::experiment(&mlflow, "scratch").await.unwrap();
    mlflow.post("experiments/delete", &json!({ "experiment_id": scratch })).await.unwrap();
    assert_eq!(tasks::experiment(&mlflow, "scratch").await.unwrap(), scratch);
    tasks::round_trip(&mlflow, &scratch, "in a restored experiment").await.unwrap();
    let run = make_run(&mlflow).await;
    let path = format!("0/{run}/artifacts/a.txt");
    mlflow.put_artifact(&path, b"bytes".to_vec()).await.unwrap();
    let objects = platform.objects().unwrap();
    let keys = s3::list(objects.s3(), objects.bucket(), objects.prefix()).await.unwrap();
    assert_eq!(keys, [(format!("{}/{path}", objects.prefix()), 5)]);
    assert_eq!(s3::get(objects.s3(), objects.bucket(), &keys[0].0).await.unwrap(), b"bytes");

    for component in ["mlflow", "postgres", "s3"] {
        let before = step_context.instance(component).await.unwrap().unwrap();
        step_context.kill(component).await.unwrap();
        step_context.kill(component).await.unwrap();
        assert_eq!(step_context.alive(component).await.verdict, Verdict::Missed);
        assert_eq!(step_context.instance(component).await.unwrap(), None);
        step_context.start(component).await.unwrap();
        step_context.start(component).await.unwrap();
        assert_eq!(step_context.alive(component).await.verdict, Verdict::Met);
        assert_ne!(step_context.instance(component).await.unwrap().unwrap(), before);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    read_run(&mlflow, &run).await.unwrap();
    assert_eq!(mlflow.artifact(&path).await.unwrap(), b"bytes");

    for component in ["postgres", "mlflow"] {
        step_context.pause(component).await.unwrap();
        assert_eq!(step_context.alive(component).await.verdict, Verdict::Missed);
        assert!(read_run(&hasty, &run).await.is_err());
        step_context.resume(component).await.unwrap();
        step_context.resume(component).await.unwrap();
        read_run(&mlflow, &run).await.unwrap();
    }
    step_context.stop("mlflow").await.unwrap();
    step_context.stop("postgres").await.unwrap();
    step_context.start("postgres").await.unwrap();
    step_context.start("mlflow").await.unwrap();
    read_run(&mlflow, &run).await.unwrap();

    let sql = platform.sql().unwrap();
    let rows = sql.connect(sql.database()).await.unwrap().query("select 1 from runs", &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
    let dump = sql.tool("pg_dump", &["--schema-only"]).await.unwrap().finish().await.unwrap();
    assert!(dump.0.success() && dump.1.len() > 1000, "{}", dump.0);

    what_the_registry_says_and_the_bucket_holds_are_compared_by_name(&*platform).await;
    step_context.pause("postgres").await.unwrap(); // and removed while frozen
    assert_eq!(platform.remove().await, Vec::<String>::new());
    assert_eq!(platform.remove().await, Vec::<String>::new());
    fixture.assert_nothing_left();
}

async fn what_the_registry_says_and_the_bucket_holds_are_compared_by_name(platform: &dyn Platform) {
    seed::plant(platform, 0.1).await.unwrap();
    let check = pick("check", CHECKS, &node::parse("registry-artifacts").unwrap(), &mut vec![]).unwrap().it;
    let planted = check.plant(platform, "run").await.unwrap();
    let reason = async || {
        let finding = check.verify(platform, &planted, None).await;
        (finding.verdict, finding.reason.unwrap_or_default())
    };
    assert_eq!(reason().await, (Verdict::Met, String::new()));

    let (sql, objects) = (platform.sql().unwrap(), platform.objects().unwrap());
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
    let why = reason().await.1;
    assert!(why.contains("seed-model-01@champion: there is no seed-model-01 version 99"), "{why}");
    platform.components().unwrap().kill("s3").await.unwrap();
    assert_eq!(reason().await.0, Verdict::Unknown, "what cannot be looked at is never met");
    client.batch_execute("DROP TABLE registered_model_aliases").await.unwrap();
    assert_eq!(reason().await.1, "the table `registered_model_aliases` is gone");
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
    let endpoint = said.split("the platform stays up: MLflow http://").nth(1).and_then(|text| text.split(',').next());
    let up = || std::net::TcpStream::connect(endpoint.unwrap()).is_ok();
    assert!(up(), "{said}");
    let (code, said) = lifeboat(&["cleanup"]);
    assert_eq!((code, up()), (Some(0), true), "it was kept on purpose: {said}");
    let (code, said) = lifeboat(&["cleanup", "--kept"]);
    assert_eq!((code, up()), (Some(0), false), "{said}");
    assert!(said.contains("all is gone"), "{said}");
    assert!(lifeboat(&["cleanup"]).1.contains("nothing to clean up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_runs_platform_is_removed_by_its_receipts_alone() {
    let fixture = Fixture::new("test-dead");
    let platform = fixture.provision().await;
    platform.components().unwrap().pause("mlflow").await.unwrap();
    std::mem::forget(platform);
    let receipts = fixture.notes.0.lock().unwrap().clone();
    assert_eq!(fixture.environment.remove(&fixture.run_context, &receipts).await, Vec::<String>::new());
    fixture.assert_nothing_left();
    assert_eq!(fixture.environment.remove(&fixture.run_context, &receipts).await, Vec::<String>::new());
}
