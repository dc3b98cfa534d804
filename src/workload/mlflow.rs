//! The workload `mlflow`: clients that log runs and artifacts at a fixed rate.
//!
//! The rate does not depend on the answers: a write that hangs does not delay the next one, as with real users. `subjects`
//! plans what is written and judges what is read back; this file only sends it to MLflow.

mod read_back;
mod write;

use super::clients::{self, mlflow, tick, ticks};
use super::subjects::{Subjects, WriteRequest};
use super::{Entry, Ledger, Workload};
use crate::client::{Error, experiments, tasks};
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{MarkState, Part, Rate};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Interval;
use write::Client;

/// Runs and artifacts written through MLflow.
pub const KIND: Kind<dyn Workload> = Kind {
    name: "mlflow",
    about: "Clients that log runs and artifacts through MLflow; one write in ten changes or deletes an earlier one.",
    example: "mlflow: { runs: 5/s, artifacts: 1/s }",
    schema: |g| g.subschema_for::<MlflowWorkload>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// How fast clients write.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MlflowWorkload {
    /// Runs with params and metrics: 5/s.
    #[serde(default = "runs")]
    runs: Rate,
    /// Runs with an artifact of some kilobytes: 1/s.
    #[serde(default = "artifacts")]
    artifacts: Rate,
    /// The seed of the random numbers in what is written: 1.
    #[serde(default = "one")]
    seed: u64,
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<MlflowWorkload> {
    let clients: MlflowWorkload = read(node, problems)?;
    if [clients.runs, clients.artifacts].iter().all(|rate| rate.interval().is_none()) {
        let problem = Problem::new(node, "nothing is written: `runs` and `artifacts` are both zero");
        problems.push(problem.hint("give one of them a rate such as 5/s, or leave out `workload`"));
        return None;
    }
    Some(clients)
}

fn runs() -> Rate {
    Rate { per_second: 5.0 }
}

fn artifacts() -> Rate {
    Rate { per_second: 1.0 }
}

fn one() -> u64 {
    1
}

/// The number of writes that may be under way, as many as a pool has connections. Beyond it, writes are left out.
const UNDER_WAY: usize = 16;

#[async_trait]
impl Workload for MlflowWorkload {
    fn needs(&self) -> &'static [Power] {
        &[Power::Mlflow]
    }

    async fn run(
        &self,
        platform: Arc<dyn Platform>,
        ledger: Arc<dyn Ledger>,
        run: String,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let mlflow = mlflow(platform.as_ref())?;
        let experiment = tasks::experiment(&mlflow, &experiments::workload(&run)).await?;
        let client = Arc::new(Client::new(mlflow, experiments::workload(&run), experiment));
        let mut streams = [
            (Subjects::new("run", &[Part::Row, Part::Data], self.seed), ticks(self.runs)),
            (Subjects::new("artifact", &[Part::Row, Part::Object], self.seed), ticks(self.artifacts)),
        ];
        let mut tasks = JoinSet::new();
        loop {
            let [(_, run_ticks), (_, artifact_ticks)] = &mut streams;
            let stream = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(done) = tasks.join_next() => {
                    finish(&mut streams, done)?;
                    continue;
                }
                () = tick(run_ticks) => 0,
                () = tick(artifact_ticks) => 1,
            };
            if tasks.len() < UNDER_WAY {
                let write = streams[stream].0.next(ledger.number());
                tasks.spawn(send(Arc::clone(&client), Arc::clone(&ledger), stream, write, stop.clone()));
            }
        }
        while let Some(done) = tasks.join_next().await {
            finish(&mut streams, done)?;
        }
        Ok(())
    }

    async fn read_back(
        &self,
        platform: &dyn Platform,
        run: &str,
        entries: &[Entry],
    ) -> Result<Vec<(u64, MarkState)>, Error> {
        read_back::states(platform, &mlflow(platform)?, &experiments::workload(run), entries).await
    }
}

/// A write that ended: its stream, the write, and the id of its subject if it was acknowledged.
type EndedWrite = Result<(usize, WriteRequest, Option<String>), Error>;

/// Sends one write and records its result in the ledger. Fails only if the ledger fails.
async fn send(
    client: Arc<Client>,
    ledger: Arc<dyn Ledger>,
    stream: usize,
    write: WriteRequest,
    stop: watch::Receiver<bool>,
) -> EndedWrite {
    let at = clients::send(ledger.as_ref(), &write.mark, stop, client.write(&write)).await?;
    Ok((stream, write, at))
}

fn finish(
    streams: &mut [(Subjects, Option<Interval>); 2],
    done: Result<EndedWrite, tokio::task::JoinError>,
) -> Result<(), Error> {
    let (stream, write, at) = done.map_err(|error| Error::caused_by("a client of the workload failed", error))??;
    if let Some(at) = at {
        streams[stream].0.acknowledged(&write.mark, &at);
    }
    Ok(())
}
