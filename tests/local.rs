//! The local platform for real: set up, hurt in every way, removed; and removed when its maker is gone.

#![allow(clippy::unwrap_used, missing_docs)]

use async_trait::async_trait;
use lifeboat::client::mlflow::Mlflow;
use lifeboat::client::{Trouble, process, s3};
use lifeboat::environment::{Environment, Journal, Lent, Place, local};
use lifeboat::model::{Receipt, Verdict};
use lifeboat::{node, store};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
struct Notes(Mutex<Vec<Receipt>>);

#[async_trait]
impl Journal for Notes {
    async fn creating(&self, receipt: Receipt) -> Result<(), Trouble> {
        self.0.lock().unwrap().push(receipt);
        Ok(())
    }
    fn progress(&self, text: &str) {
        eprintln!("{text}");
    }
}

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
        let survey = self.place.survey().await;
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
    assert_eq!(rows.len(), 1);
    let dump = sql.tool("pg_dump").arg("--schema-only").output().await.unwrap();
    assert!(dump.status.success() && dump.stdout.len() > 1000, "{}", String::from_utf8_lossy(&dump.stderr));

    hands.pause("postgres").await.unwrap(); // and removed while frozen
    assert_eq!(env.remove().await, Vec::<String>::new());
    assert_eq!(env.remove().await, Vec::<String>::new());
    stage.assert_nothing_left();
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
