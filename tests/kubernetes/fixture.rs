//! An environment and its platform in the test cluster, without a run.
#![allow(clippy::disallowed_methods)] // reads the clock itself

use crate::notes::Notes;
use crate::services;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::api::ListParams;
use kube::{Api, Client};
use lifeboat::client::Error;
use lifeboat::client::mlflow::Mlflow;
use lifeboat::environment::{Environment, Platform, RunContext, kubernetes};
use lifeboat::{node, store};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Fixture {
    pub environment: Box<dyn Environment>,
    pub run_context: RunContext,
    pub notes: Arc<Notes>,
    pub client: Client,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub async fn new(name: &str, settings: &str) -> Option<Self> {
        let kubeconfig = services::kubeconfig()?;
        let folder = tempfile::tempdir().unwrap();
        let environment = environment(&kubeconfig, settings);
        let run_context =
            RunContext { run: format!("{name}-{:04x}", rand::random::<u16>()), folder: folder.path().into() };
        let client = services::cluster().await?;
        Some(Self { environment, run_context, notes: Arc::default(), client, _folder: folder })
    }

    pub async fn provision(&self) -> Arc<dyn Platform> {
        let survey = self.environment.survey(&[]).await;
        assert!(survey.problems.is_empty(), "{:?}", survey.problems);
        let (journal, started) = (Arc::clone(&self.notes), Instant::now());
        let platform = self.environment.provision(&self.run_context, journal).await.map_err(|e| e.to_string()).unwrap();
        println!("provisioned in {:.1} s", started.elapsed().as_secs_f64());
        platform
    }

    pub fn namespace(&self) -> String {
        format!("lifeboat-{}", self.run_context.run)
    }

    pub async fn assert_nothing_left(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in [self.namespace(), self.namespace() + "-store"] {
            assert!(namespaces.get_opt(&name).await.unwrap().is_none(), "{name}");
        }
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        for volume in volumes.list(&ListParams::default()).await.unwrap() {
            let claim = volume.spec.unwrap().claim_ref.unwrap().namespace.unwrap();
            assert!(!claim.starts_with(&self.namespace()), "{claim}");
        }
        assert!(!store::state().join(&self.run_context.run).exists());
    }
}

/// Of use only when a test has failed.
impl Drop for Fixture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let receipts = self.notes.0.lock().unwrap().clone();
        let clean = async { self.environment.remove(&self.run_context, &receipts).await };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(clean));
    }
}

pub fn environment(kubeconfig: &Path, settings: &str) -> Box<dyn Environment> {
    let text = format!("{{ kubeconfig: {}, images: built, {settings} }}", kubeconfig.display());
    let mut problems = vec![];
    let environment = (kubernetes::KIND.parse)(&node::parse(&text).unwrap(), &mut problems);
    environment.unwrap_or_else(|| panic!("{problems:?}"))
}

pub async fn make_run(mlflow: &Mlflow) -> String {
    let body = json!({ "experiment_id": "0", "start_time": 1, "run_name": "x" });
    let answer = mlflow.post("runs/create", &body).await.unwrap();
    answer["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

pub async fn read_run(mlflow: &Mlflow, id: &str) -> Result<Value, Error> {
    mlflow.get("runs/get", &[("run_id", id)]).await
}

/// Waits until a run can be read, as a client does.
pub async fn served(mlflow: &Mlflow, id: &str) -> f64 {
    let started = Instant::now();
    while let Err(error) = read_run(mlflow, id).await {
        assert!(started.elapsed() < Duration::from_mins(2), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    started.elapsed().as_secs_f64()
}

/// The test cluster's kubeconfig with somebody else's token.
pub fn with_token(token: &str) -> tempfile::NamedTempFile {
    changed(|config| config["users"][0]["user"] = json!({ "token": token }))
}

pub fn changed(change: impl Fn(&mut Value)) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(services::kubeconfig().unwrap()).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    change(&mut config);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    file
}
