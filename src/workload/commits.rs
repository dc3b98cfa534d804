//! The workload `commits`: transactions straight into MLflow's database, for rates that MLflow's own interface does not
//! reach, and for the time that one commit takes.
//!
//! Each mark is one transaction with one metric of a run in the workload's own experiment: one value for its name, so that
//! half of one cannot be there. Nothing is overwritten or deleted. Not here: MLflow's answers; a drill whose clients are
//! MLflow's uses the workload `mlflow`.

use super::clients::{TIMEOUT, mlflow, send, tick, ticks};
use super::{Entry, Ledger, Workload};
use crate::client::{Error, experiments, tasks};
use crate::clock;
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::ledger::Operation;
use crate::model::{Mark, MarkState, Part, Rate};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::Client;

/// `commits: { rate: 200/s }`
pub const KIND: Kind<dyn Workload> = Kind {
    name: "commits",
    about: "Clients that commit one metric at a time straight into MLflow's database.",
    example: "commits: { rate: 200/s }",
    schema: |g| g.subschema_for::<Commits>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// How fast clients commit.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Commits {
    /// Transactions with one metric each.
    rate: Rate,
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<Commits> {
    let clients: Commits = read(node, problems)?;
    if clients.rate.interval().is_none() {
        let problem = Problem::new(node.get("rate").unwrap_or(node), "nothing is committed: the rate is zero");
        problems.push(problem.hint("write a rate such as 200/s, or leave out `workload`"));
        return None;
    }
    Some(clients)
}

/// So many clients commit at the same time. While none of them is free, commits are left out.
const CLIENTS: usize = 8;
/// The metric's name.
const KEY: &str = "lifeboat.commit";
const COMMIT: &str = "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) \
     VALUES ($1, $2, $3, $4, $5, false)";
const COMMITTED: &str = "SELECT step, value FROM metrics WHERE run_uuid = $1 AND key = $2";

#[async_trait]
impl Workload for Commits {
    fn needs(&self) -> &'static [Power] {
        &[Power::Mlflow, Power::Sql]
    }

    async fn run(
        &self,
        platform: Arc<dyn Platform>,
        ledger: Arc<dyn Ledger>,
        run: String,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let at: Arc<str> = new_run(platform.as_ref(), &experiments::workload(&run)).await?.into();
        let mut idle: Vec<Option<Client>> = (0..CLIENTS).map(|_| None).collect();
        let (mut ticks, mut tasks) = (ticks(self.rate), JoinSet::new());
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(done) = tasks.join_next() => {
                    idle.push(ended(done)?);
                    continue;
                }
                () = tick(&mut ticks) => {}
            }
            if let Some(client) = idle.pop() {
                let mark = mark(ledger.number(), &at);
                tasks.spawn(commit(Arc::clone(&platform), Arc::clone(&ledger), mark, client, stop.clone()));
            }
        }
        while let Some(done) = tasks.join_next().await {
            ended(done)?;
        }
        Ok(())
    }

    async fn read_back(
        &self,
        platform: &dyn Platform,
        _run: &str,
        entries: &[Entry],
    ) -> Result<Vec<(u64, MarkState)>, Error> {
        let what = "cannot read the commits back";
        let mut runs: BTreeMap<&str, BTreeMap<i64, f64>> = BTreeMap::new();
        let sql = platform.sql()?;
        let client = sql.connect(sql.database()).await?;
        for id in entries.iter().map(|entry| run_of(&entry.mark)) {
            if !runs.contains_key(id) {
                let rows = client.query(COMMITTED, &[&id, &KEY]).await.map_err(|e| Error::caused_by(what, e))?;
                runs.insert(id, rows.iter().map(|row| (row.get(0), row.get(1))).collect());
            }
        }
        let acknowledged = entries.iter().filter(|entry| entry.acknowledged);
        Ok(acknowledged.map(|Entry { mark, .. }| (mark.number, state(mark, &runs[run_of(mark)]))).collect())
    }
}

/// A run in the experiment of this name: `EXPERIMENT/RUN`.
async fn new_run(platform: &dyn Platform, name: &str) -> Result<String, Error> {
    let mlflow = mlflow(platform)?;
    let experiment = tasks::experiment(&mlflow, name).await?;
    let body = json!({ "experiment_id": experiment, "run_name": "commits", "start_time": clock::unix_milliseconds() });
    let run = tasks::text(&mlflow.post("runs/create", &body).await?["run"]["info"]["run_id"], "runs/create")?;
    Ok(format!("{experiment}/{run}"))
}

fn mark(number: u64, at: &str) -> Mark {
    let (subject, value) = (format!("commit {number}"), number.to_string());
    Mark { number, subject, operation: Operation::Create, parts: vec![Part::Row], value, at: Some(at.to_owned()) }
}

fn run_of(mark: &Mark) -> &str {
    mark.at.as_deref().and_then(|at| at.rsplit('/').next()).unwrap_or_default()
}

/// Commits one mark, and gives the connection back if it still serves.
async fn commit(
    platform: Arc<dyn Platform>,
    ledger: Arc<dyn Ledger>,
    mark: Mark,
    client: Option<Client>,
    stop: watch::Receiver<bool>,
) -> Result<Option<Client>, Error> {
    let mut kept = None;
    let write = async {
        let committed = tokio::time::timeout(TIMEOUT, insert(platform.as_ref(), &mark, client)).await;
        let late = |_| Error::new("a commit", format!("no answer within {} s", TIMEOUT.as_secs()));
        kept = Some(committed.map_err(late)??);
        Ok(mark.at.clone().unwrap_or_default())
    };
    send(ledger.as_ref(), &mark, stop, write).await?;
    Ok(kept)
}

#[allow(clippy::cast_precision_loss)] // fewer than 2^53 marks
async fn insert(platform: &dyn Platform, mark: &Mark, client: Option<Client>) -> Result<Client, Error> {
    let sql = platform.sql()?;
    let client = match client {
        Some(client) => client,
        None => sql.connect(sql.database()).await?,
    };
    let step = i64::try_from(mark.number).map_err(|e| Error::caused_by("a commit", e))?;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&KEY, &(mark.number as f64), &clock::unix_milliseconds(), &run_of(mark), &step];
    client.execute(COMMIT, &values).await.map_err(|e| Error::caused_by("a commit", e))?;
    Ok(client)
}

fn ended(done: Result<Result<Option<Client>, Error>, tokio::task::JoinError>) -> Result<Option<Client>, Error> {
    done.map_err(|error| Error::caused_by("a client of the workload failed", error))?
}

#[allow(clippy::cast_precision_loss, clippy::float_cmp)] // whole numbers
fn state(mark: &Mark, committed: &BTreeMap<i64, f64>) -> MarkState {
    match i64::try_from(mark.number).ok().and_then(|step| committed.get(&step)) {
        None => MarkState::Lost,
        Some(value) if *value == mark.number as f64 => MarkState::Survived,
        Some(_) => MarkState::Corrupted,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_is_not_there_is_lost_and_one_of_another_value_is_corrupted() {
        let committed = BTreeMap::from([(7, 7.0), (8, 9.0)]);
        let states = [7, 8, 9].map(|number| state(&mark(number, "1/a"), &committed));
        assert_eq!(states, [MarkState::Survived, MarkState::Corrupted, MarkState::Lost]);
        assert_eq!(run_of(&mark(1, "1/a")), "a");
    }

    #[test]
    fn a_rate_of_zero_is_a_problem() {
        let mut problems = vec![];
        assert!(parse(&crate::node::parse("{ rate: 0/s }").unwrap(), &mut problems).is_none());
        assert!(problems[0].to_string().contains("the rate is zero"), "{problems:?}");
    }
}
