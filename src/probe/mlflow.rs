//! The probe `mlflow`: a client at MLflow's endpoint, at one of four depths.
//!
//! `/health` stays 200 with the database gone, and `runs/get` stays 200 with the table of metrics gone (seen with
//! MLflow 3.17): so reading compares a param and also the history of a metric.

use super::{Probe, Question, TIMEOUT};
use crate::client::{Error, experiments, mlflow::Mlflow, tasks};
use crate::environment::Platform;
use crate::kind::Kind;
use crate::model::{Depth, Period, Watch};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// A client of MLflow.
pub const KIND: Kind<dyn Probe> = Kind {
    name: "mlflow",
    about: "A client of MLflow that asks for its health, reads a known run, writes a run or downloads a model.",
    example: "mlflow: { depth: read, every: 100ms, timeout: 2s }",
    schema: |g| g.subschema_for::<MlflowProbe>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Depth, interval and timeout of the probe.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MlflowProbe {
    /// How much an answer proves: health, read, write or artifact.
    depth: Depth,
    /// From one question to the next: 100ms for health and read, 1s for write and artifact.
    #[serde(default)]
    every: Option<Period>,
    /// How long an answer may take: 2s.
    #[serde(default)]
    timeout: Option<Period>,
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<MlflowProbe> {
    let asked: MlflowProbe = read(node, problems)?;
    let mut refuse = |key: &str, text: &str, hint: &str| {
        problems.push(Problem::new(node.get(key).unwrap_or(node), text).hint(hint));
    };
    if asked.depth == Depth::Predict {
        refuse("depth", "the probe `mlflow` does not offer the depth `predict`", "the deepest it offers is artifact");
        return None;
    }
    Some(asked)
}

#[async_trait]
impl Probe for MlflowProbe {
    fn watch(&self) -> Watch {
        let often = matches!(self.depth, Depth::Health | Depth::Read);
        let every = self.every.unwrap_or(if often { Period::milliseconds(100) } else { Period::seconds(1) });
        Watch { depth: self.depth, every, timeout: self.timeout.unwrap_or(TIMEOUT) }
    }

    async fn learn(&self, platform: Arc<dyn Platform>, run: &str) -> Result<Arc<dyn Question>, Error> {
        let base = platform.endpoints().mlflow.as_deref();
        let base = base.ok_or_else(|| Error::new("cannot ask `mlflow`", "the environment has no such endpoint"))?;
        // The first reading may be slow; an answer may not.
        let slow_client = Mlflow::fresh(base, Duration::from_secs(30))?;
        let mlflow = Mlflow::fresh(base, self.watch().timeout.0)?;
        Ok(match self.depth {
            Depth::Health => Arc::new(HealthQuestion(mlflow)),
            Depth::Read => Arc::new(ReadQuestion::learn(mlflow, &slow_client).await?),
            Depth::Write => {
                let name = experiments::probe(run);
                let experiment = tasks::experiment(&slow_client, &name).await?;
                Arc::new(WriteQuestion { mlflow, name, experiment: Mutex::new(Some(experiment)) })
            }
            Depth::Artifact | Depth::Predict => Arc::new(ArtifactQuestion::learn(mlflow, &slow_client).await?),
        })
    }
}

struct HealthQuestion(Mlflow);

#[async_trait]
impl Question for HealthQuestion {
    async fn ask(&self) -> Result<(), String> {
        self.0.health().await.map_err(|error| tasks::short(&error))
    }
}

/// A known run, by its id: its params and the latest values of its metrics must be as before.
struct ReadQuestion {
    mlflow: Mlflow,
    run: String,
    params: Value,
    metrics: Value,
}

impl ReadQuestion {
    async fn learn(mlflow: Mlflow, slow_client: &Mlflow) -> Result<Self, Error> {
        let what = "cannot find a run to read";
        // A standing platform has no seed, but runs of its own.
        let experiments = match tasks::known_experiment(slow_client, "seed-00001").await? {
            Some(seed) => vec![seed],
            None => all_experiments(slow_client).await?,
        };
        let body = json!({ "experiment_ids": experiments, "max_results": OLDEST,
            "filter": "attributes.status = 'FINISHED'", "order_by": ["attributes.start_time ASC"] });
        let found = slow_client.post("runs/search", &body).await?;
        let known = |run: &Value| {
            let (params, metrics) = (by_key(&run["data"]["params"]), by_key(&run["data"]["metrics"]));
            let id = run["info"]["run_id"].as_str()?.to_owned();
            (!params.is_null() && !metrics.is_null()).then_some((id, params, metrics))
        };
        let (run, params, metrics) =
            found["runs"].as_array().into_iter().flatten().find_map(known).ok_or_else(|| {
                let why = format!("none of the {OLDEST} oldest runs that have ended has params and metrics");
                Error::new(what, why).hint("log one run with a param and a metric, and end it")
            })?;
        Ok(Self { mlflow, run, params, metrics })
    }

    async fn answer(&self) -> Result<(), Error> {
        let read = self.mlflow.get("runs/get", &[("run_id", &self.run)]).await?;
        let data = &read["run"]["data"];
        for (what, known) in [("params", &self.params), ("metrics", &self.metrics)] {
            if by_key(&data[what]) != *known {
                return Err(tasks::wrong("runs/get", &format!("the {what} of a known run are others")));
            }
        }
        Ok(())
    }
}

/// Among how many of the oldest ended runs one is looked for.
const OLDEST: u32 = 100;

/// The ids of the oldest experiments, of so many as a search takes.
async fn all_experiments(mlflow: &Mlflow) -> Result<Vec<String>, Error> {
    let body = json!({ "max_results": 1000, "order_by": ["creation_time ASC"] });
    let found = mlflow.post("experiments/search", &body).await?;
    let ids = found["experiments"].as_array().into_iter().flatten();
    ids.map(|it| tasks::text(&it["experiment_id"], "experiments/search")).collect()
}

/// The entries of a list of `{"key", "value"}` by key, since their order in an answer does not matter; null if there
/// are none.
fn by_key(list: &Value) -> Value {
    let list = list.as_array().into_iter().flatten();
    let all: serde_json::Map<_, _> =
        list.filter_map(|entry| Some((entry["key"].as_str()?.to_owned(), entry["value"].clone()))).collect();
    if all.is_empty() { Value::Null } else { Value::Object(all) }
}

#[async_trait]
impl Question for ReadQuestion {
    async fn ask(&self) -> Result<(), String> {
        self.answer().await.map_err(|error| tasks::short(&error))
    }
}

/// Creates a run of its own and reads it back.
struct WriteQuestion {
    mlflow: Mlflow,
    /// The experiment in which it creates its runs.
    name: String,
    experiment: Mutex<Option<String>>,
}

#[async_trait]
impl Question for WriteQuestion {
    async fn ask(&self) -> Result<(), String> {
        let known = self.experiment.lock().await.clone();
        let experiment = match known {
            Some(id) => Ok(id),
            None => tasks::experiment(&self.mlflow, &self.name).await,
        }
        .map_err(|error| tasks::short(&error))?;
        // The id is kept only after a success: a restore may have removed the experiment, and an answer may never come.
        *self.experiment.lock().await = None;
        tasks::round_trip(&self.mlflow, &experiment, "probe").await.map_err(|error| tasks::short(&error))?;
        *self.experiment.lock().await = Some(experiment);
        Ok(())
    }
}

/// Downloads a file of a model in production through MLflow.
struct ArtifactQuestion {
    mlflow: Mlflow,
    path: String,
    digest: blake3::Hash,
}

impl ArtifactQuestion {
    async fn learn(mlflow: Mlflow, slow_client: &Mlflow) -> Result<Self, Error> {
        let path = tasks::production_file(slow_client).await?;
        let digest = blake3::hash(&slow_client.artifact(&path).await?);
        Ok(Self { mlflow, path, digest })
    }
}

#[async_trait]
impl Question for ArtifactQuestion {
    async fn ask(&self) -> Result<(), String> {
        let bytes = self.mlflow.artifact(&self.path).await.map_err(|error| tasks::short(&error))?;
        if blake3::hash(&bytes) == self.digest { Ok(()) } else { Err("wrong content: another digest".to_owned()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<Watch>, Vec<Problem>) {
        let mut problems = vec![];
        let asked = parse(&crate::node::parse(text).unwrap(), &mut problems);
        (asked.map(|asked| asked.watch()), problems)
    }

    #[test]
    fn a_probe_that_writes_asks_less_often_by_default() {
        assert_eq!(parsed("{ depth: read }").0.unwrap().every, Period::milliseconds(100));
        assert_eq!(parsed("{ depth: write }").0.unwrap().every, Period::seconds(1));
        assert_eq!(parsed("{ depth: write, every: 2s }").0.unwrap().every, Period::seconds(2));
    }

    #[test]
    fn a_depth_that_is_not_offered_is_refused_at_its_line_and_column() {
        let (watch, problems) = parsed("depth: predict");
        assert!(watch.is_none());
        assert!(problems[0].to_string().contains("predict") && problems[0].position.is_some_and(|at| at.column == 8));
        assert!(parsed("{}").0.is_none());
        assert!(parsed("{ depth: read, every: 0ms }").0.is_none());
    }

    #[test]
    fn the_order_of_entries_does_not_matter() {
        let a = json!([{ "key": "a", "value": "1" }, { "key": "b", "value": "2" }]);
        let b = json!([{ "key": "b", "value": "2" }, { "key": "a", "value": "1" }]);
        assert_eq!(by_key(&a), by_key(&b));
        assert!(by_key(&json!([])).is_null() && by_key(&Value::Null).is_null());
    }
}
