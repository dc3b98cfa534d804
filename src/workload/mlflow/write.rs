//! Sends a mark to MLflow: which requests it consists of, and when it is acknowledged.

use crate::client::{Error, mlflow::Mlflow, tasks};
use crate::clock;
use crate::model::ledger::Operation;
use crate::model::{Mark, Part};
use crate::workload::subjects::WriteRequest;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// The tag that names the subject of a run.
pub const SUBJECT: &str = "lifeboat.subject";

/// The tag that carries a mark's value: of a run with an artifact, the artifact's digest.
pub fn tag(mark: &Mark) -> &'static str {
    if mark.parts.contains(&Part::Object) { "lifeboat.digest" } else { "lifeboat.value" }
}

/// The path of the artifact of a subject with the id `EXPERIMENT/RUN`.
pub fn artifact(at: &str) -> String {
    format!("{at}/artifacts/{}", tasks::MARK_FILE)
}

/// A client that writes to one experiment.
pub struct Client {
    mlflow: Mlflow,
    name: String,
    experiment: Mutex<String>,
}

impl Client {
    /// A client for the experiment of this name and id.
    pub fn new(mlflow: Mlflow, name: String, experiment: String) -> Self {
        Self { mlflow, name, experiment: Mutex::new(experiment) }
    }

    /// Writes a mark; returns the id of its subject when all parts are acknowledged.
    pub async fn write(&self, write: &WriteRequest) -> Result<String, Error> {
        match (write.mark.operation, &write.mark.at) {
            (Operation::Create, _) => self.create(write).await,
            (operation, Some(at)) => self.change(write, operation, at).await.map(|()| at.clone()),
            (_, None) => Err(Error::new(format!("cannot change `{}`", write.mark.subject), "it has no id")),
        }
    }

    async fn create(&self, write: &WriteRequest) -> Result<String, Error> {
        let (mark, now) = (&write.mark, clock::unix_milliseconds());
        let experiment = self.experiment.lock().await.clone();
        let body = json!({
            "experiment_id": experiment, "run_name": mark.subject, "start_time": now,
            "tags": [{ "key": tag(mark), "value": mark.value }, { "key": SUBJECT, "value": mark.subject }],
        });
        let made = self.mlflow.post("runs/create", &body).await;
        if made.as_ref().is_err_and(tasks::missing) {
            // A restore went back to a time before the experiment: this write is lost, and the next ones need it again.
            self.find_again(&experiment).await;
        }
        let run = tasks::text(&made?["run"]["info"]["run_id"], "runs/create")?;
        let at = format!("{experiment}/{run}");
        if write.bytes.is_empty() {
            self.mlflow.post("runs/log-batch", &batch(&run, mark.number, now)).await?;
        } else {
            self.mlflow.put_artifact(&artifact(&at), write.bytes.clone()).await?;
        }
        Ok(at)
    }

    async fn change(&self, write: &WriteRequest, operation: Operation, at: &str) -> Result<(), Error> {
        let (mark, run) = (&write.mark, at.rsplit('/').next().unwrap_or_default());
        let with_object = mark.parts.contains(&Part::Object);
        // The row is written first: if the run is gone, no object is written for it.
        if operation == Operation::Delete {
            if with_object {
                // MLflow answers 200 to the delete of an artifact that is not there, so the download comes first.
                self.mlflow.artifact(&artifact(at)).await?;
            }
            self.mlflow.post("runs/delete", &json!({ "run_id": run })).await?;
            if with_object {
                self.mlflow.delete_artifact(&artifact(at)).await?;
            }
            return Ok(());
        }
        self.mlflow.post("runs/set-tag", &json!({ "run_id": run, "key": tag(mark), "value": mark.value })).await?;
        if with_object {
            self.mlflow.put_artifact(&artifact(at), write.bytes.clone()).await?;
        }
        Ok(())
    }

    async fn find_again(&self, gone: &str) {
        let mut experiment = self.experiment.lock().await;
        if *experiment == gone
            && let Ok(id) = tasks::experiment(&self.mlflow, &self.name).await
        {
            *experiment = id;
        }
    }
}

/// The params and metrics of the run that a mark creates.
pub struct RunData {
    /// By key.
    pub params: Vec<(String, String)>,
    /// By key; whole numbers, which a database keeps exactly.
    pub metrics: Vec<(String, u64)>,
}

impl RunData {
    /// Those of the mark of this number.
    pub fn of(number: u64) -> Self {
        Self {
            params: (1..=3).map(|n| (format!("param-{n}"), (number * n).to_string())).collect(),
            metrics: (1..=5).map(|n| (format!("metric-{n}"), number * n)).collect(),
        }
    }
}

fn batch(run: &str, number: u64, now: i64) -> Value {
    let data = RunData::of(number);
    let metric = |(key, value): &(String, u64)| json!({ "key": key, "value": value, "timestamp": now, "step": 0 });
    let param = |(key, value): &(String, String)| json!({ "key": key, "value": value });
    let (metrics, params): (Vec<_>, Vec<_>) =
        (data.metrics.iter().map(metric).collect(), data.params.iter().map(param).collect());
    json!({ "run_id": run, "metrics": metrics, "params": params })
}
