//! The probe `mlflow`: a client at MLflow's endpoint, at one of four depths.
//!
//! `/health` stays 200 with the database gone, and `runs/get` stays 200 with the table of metrics gone (seen with
//! MLflow 3.17): so reading compares params and metrics of runs, and also the history of a metric.

use super::{Probe, Question, TIMEOUT};
use crate::client::{Error, experiments, mlflow::Mlflow, tasks};
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Depth, Period, Watch};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

    fn needs(&self) -> &'static [Power] {
        &[Power::Mlflow]
    }

    fn rests_on(&self) -> Option<String> {
        let timeout = self.watch().timeout;
        (self.depth > Depth::Read).then(|| format!("mlflow: {{ depth: read, timeout: {timeout} }}"))
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

/// How many runs the probe of depth `read` reads, one after the other.
const SAMPLE: u32 = 3;

/// A run as it was before the fault.
struct KnownRun {
    id: String,
    params: Value,
    metrics: Value,
    /// A metric and its history, if it has one.
    history: Option<(String, Value)>,
}

impl KnownRun {
    /// Reads it. The params come from one table, the latest metrics from another, and the history from a third.
    async fn read(mlflow: &Mlflow, id: &str, key: Option<&str>) -> Result<Self, Error> {
        let query = [("run_id", id)];
        let history = async {
            let Some(key) = key else { return Ok(None) };
            let query = [("run_id", id), ("metric_key", key), ("max_results", "100")];
            let mut found = mlflow.get("metrics/get-history", &query).await?;
            Ok(Some((key.to_owned(), found["metrics"].take())))
        };
        let (run, history) = futures::future::try_join(mlflow.get("runs/get", &query), history).await?;
        let data = &run["run"]["data"];
        let (params, metrics) = (by_key(&data["params"]), by_key(&data["metrics"]));
        Ok(Self { id: id.to_owned(), params, metrics, history })
    }

    /// What is not as it was; none if all is.
    fn difference(&self, now: &Self) -> Option<&'static str> {
        let parts = [
            ("params", self.params == now.params),
            ("metrics", self.metrics == now.metrics),
            ("metric history", self.history == now.history),
        ];
        parts.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
    }
}

/// Runs that had ended before the fault, the oldest ones, read in turn: they must be as they were.
struct ReadQuestion {
    mlflow: Mlflow,
    runs: Vec<KnownRun>,
    next: AtomicUsize,
}

impl ReadQuestion {
    async fn learn(mlflow: Mlflow, slow_client: &Mlflow) -> Result<Self, Error> {
        let what = "cannot find a run to read";
        let mut found = tasks::ended_runs(slow_client, 50).await?;
        // Those that say most come first; of the same, the oldest.
        let tells =
            |run: &Value| ["metrics", "params"].iter().filter(|list| !by_key(&run["data"][list]).is_null()).count();
        found.sort_by_key(|run| std::cmp::Reverse(tells(run)));
        let mut runs = vec![];
        for run in found.iter().take(SAMPLE as usize) {
            let id = tasks::text(&run["info"]["run_id"], what)?;
            let key = run["data"]["metrics"][0]["key"].as_str();
            runs.push(KnownRun::read(slow_client, &id, key).await?);
        }
        if runs.is_empty() {
            let error = Error::new(what, "no run of any experiment has ended with the status FINISHED");
            return Err(error.hint("log one, or probe at the depth `health`"));
        }
        Ok(Self { mlflow, runs, next: AtomicUsize::new(0) })
    }

    async fn answer(&self) -> Result<(), Error> {
        let known = &self.runs[self.next.fetch_add(1, Ordering::Relaxed) % self.runs.len()];
        let key = known.history.as_ref().map(|(key, _)| key.as_str());
        let now = KnownRun::read(&self.mlflow, &known.id, key).await?;
        match known.difference(&now) {
            None => Ok(()),
            Some(what) => Err(tasks::wrong("runs/get", &format!("the {what} of a known run are others"))),
        }
    }
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
        let (digest, _) = slow_client.artifact_digest(&path, tasks::DOWNLOAD).await?;
        Ok(Self { mlflow, path, digest })
    }
}

#[async_trait]
impl Question for ArtifactQuestion {
    async fn ask(&self) -> Result<(), String> {
        let found = self.mlflow.artifact_digest(&self.path, tasks::DOWNLOAD).await;
        let (digest, _) = found.map_err(|error| tasks::short(&error))?;
        if digest == self.digest { Ok(()) } else { Err("wrong content: another digest".to_owned()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

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
    fn what_is_deeper_than_read_rests_on_read() {
        let rests_on = |text: &str| {
            parse(&crate::node::parse(text).unwrap(), &mut vec![]).unwrap().rests_on().map(|text| {
                let node = crate::node::parse(&text).unwrap();
                crate::kind::pick("probe", super::super::PROBES, &node, &mut vec![]).unwrap().watch()
            })
        };
        assert!(rests_on("{ depth: health }").is_none() && rests_on("{ depth: read }").is_none());
        let added = rests_on("{ depth: artifact, timeout: 6s }").unwrap();
        assert_eq!((added.depth, added.timeout), (Depth::Read, Period::seconds(6)));
    }

    #[test]
    fn a_run_differs_if_any_of_its_tables_does() {
        let known = |params: Value, history: Value| KnownRun {
            id: "a".into(),
            params,
            metrics: json!({ "m": 1.0 }),
            history: Some(("m".into(), history)),
        };
        let (params, history) = (json!({ "p": "1" }), json!([{ "key": "m", "value": 1.0, "step": 0 }]));
        let before = known(params.clone(), history.clone());
        assert_eq!(before.difference(&known(params.clone(), history.clone())), None);
        assert_eq!(before.difference(&known(Value::Null, history)), Some("params"));
        assert_eq!(before.difference(&known(params, Value::Null)), Some("metric history"));
    }

    #[test]
    fn the_order_of_entries_does_not_matter() {
        let a = json!([{ "key": "a", "value": "1" }, { "key": "b", "value": "2" }]);
        let b = json!([{ "key": "b", "value": "2" }, { "key": "a", "value": "1" }]);
        assert_eq!(by_key(&a), by_key(&b));
        assert!(by_key(&json!([])).is_null() && by_key(&Value::Null).is_null());
    }
}
