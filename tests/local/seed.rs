//! The seed on a real platform: something in every table, MLflow serves it, and each version of a model predicts its own.

use crate::notes::Notes;
use lifeboat::client::mlflow::Mlflow;
use lifeboat::environment::{Environment, Platform, RunContext, local};
use lifeboat::node::parse;
use lifeboat::store;
use lifeboat::workload::seed;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_fills_every_table_and_each_of_its_models_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let environment: Box<dyn Environment> = (local::KIND.parse)(&parse("{}").unwrap(), &mut vec![]).unwrap();
    let run_context = RunContext { run: format!("test-seed-{}", std::process::id()), folder: folder.path().into() };
    let provisioned = environment.provision(&run_context, Arc::new(Notes::default())).await;
    let platform = provisioned.map_err(|e| e.to_string()).unwrap();
    let seeded = seed::plant(&*platform, 0.1).await.map_err(|e| e.to_string()).unwrap();
    assert_eq!((seeded.runs, seeded.versions, seeded.objects), (200, 100, 500));
    something_is_in_every_table_or_the_reason_is_known(&*platform).await;
    mlflow_serves_what_was_written_without_it(&*platform).await;
    mlflow_starts_again_on_it(&*platform).await;
    each_version_predicts_numbers_of_its_own(&*platform, folder.path().join("models")).await;
    assert_eq!(platform.remove().await, Vec::<String>::new());
}

async fn something_is_in_every_table_or_the_reason_is_known(platform: &dyn Platform) {
    let sql = platform.sql().unwrap();
    let client = sql.connect(sql.database()).await.unwrap();
    let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let mut empty = BTreeSet::new();
    for row in client.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        if client.query(&format!("SELECT FROM {table} LIMIT 1"), &[]).await.unwrap().is_empty() {
            empty.insert(table);
        }
    }
    let known: BTreeSet<_> = seed::EMPTY.iter().map(|(table, _)| (*table).to_owned()).collect();
    assert_eq!(empty, known);
}

/// A server checks its database when it starts, and refuses what another version or another setting would have made.
async fn mlflow_starts_again_on_it(platform: &dyn Platform) {
    let components = platform.components().unwrap();
    components.stop("mlflow").await.unwrap();
    components.start("mlflow").await.unwrap();
    mlflow_serves_what_was_written_without_it(platform).await;
}

async fn mlflow_serves_what_was_written_without_it(platform: &dyn Platform) {
    let mlflow = Mlflow::pooled(platform.endpoints().mlflow.as_deref().unwrap(), Duration::from_secs(30)).unwrap();
    let count = |answer: &Value, key: &str| answer[key].as_array().map_or(0, Vec::len);
    let hidden = json!({ "max_results": 100, "view_type": "DELETED_ONLY" });
    assert_eq!(count(&mlflow.post("experiments/search", &hidden).await.unwrap(), "experiments"), 1);
    let one = json!({ "experiment_ids": ["1"], "max_results": 100 });
    let runs = mlflow.post("runs/search", &one).await.unwrap();
    assert!(count(&runs, "runs") >= 38, "{}", count(&runs, "runs"));
    let inputs = runs["runs"].as_array().unwrap().iter().filter(|run| count(&run["inputs"], "dataset_inputs") == 1);
    assert_eq!(inputs.count(), 5);
    let models = mlflow.post("logged-models/search", &one).await.unwrap();
    assert_eq!(count(&models, "models"), 2, "{models}");
    let traces = mlflow.get("traces", &[("experiment_ids", "1")]).await.unwrap();
    assert_eq!(count(&traces, "traces"), 2, "{traces}");
    let aliased =
        mlflow.get("registered-models/alias", &[("name", "seed-model-07"), ("alias", "champion")]).await.unwrap();
    assert_eq!(aliased["model_version"]["version"], "4", "{aliased}");
}

/// Loads and asks models with the Python of the platform's own MLflow.
const PREDICT: &str = "
import sys, skops.io
for path in sys.argv[1:]:
    print(int(skops.io.load(path).predict([[5.1, 3.5, 1.4, 0.2]])[0]))
";

async fn each_version_predicts_numbers_of_its_own(platform: &dyn Platform, folder: PathBuf) {
    let mlflow = Mlflow::pooled(platform.endpoints().mlflow.as_deref().unwrap(), Duration::from_secs(30)).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let versions = [("seed-model-01", 4), ("seed-model-02", 4), ("seed-model-20", 4), ("seed-model-20", 5)];
    let mut paths = vec![];
    for (name, version) in versions {
        let query = [("name", name), ("version", &version.to_string())];
        let uri = mlflow.get("model-versions/get-download-uri", &query).await.unwrap();
        let root = uri["artifact_uri"].as_str().unwrap().strip_prefix("mlflow-artifacts:/").unwrap().to_owned();
        let path = folder.join(format!("{name}-{version}.skops"));
        std::fs::write(&path, mlflow.artifact(&format!("{root}/model.skops")).await.unwrap()).unwrap();
        paths.push(path);
    }
    let installed = std::fs::read_dir(store::cache()).unwrap().flatten().map(|entry| entry.path());
    let python =
        installed.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mlflow-")));
    let python = python.map(|path| path.join("bin/python")).find(|python| python.exists()).unwrap();
    let output = Command::new(python).args(["-c", PREDICT]).args(&paths).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let predicted: Vec<i64> = said.lines().map(|line| line.parse().unwrap()).collect();
    let own: Vec<_> = versions.iter().map(|(name, version)| seed::first_class(name, *version)).collect();
    assert_eq!(predicted, own, "{}", String::from_utf8_lossy(&output.stderr));
}
