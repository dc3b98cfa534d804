//! What all clients that write have in common: the beat of their writes, and a mark that is sent and recorded.
//!
//! Apart because every workload obeys the same rules of the ledger.

use super::Ledger;
use crate::client::{Error, mlflow::Mlflow, tasks};
use crate::environment::Platform;
use crate::model::{Mark, Rate};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The longest time that a client waits for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time that a workload still waits for answers when it is stopped.
const GRACE: Duration = Duration::from_secs(2);

/// The platform's MLflow.
pub(super) fn mlflow(platform: &dyn Platform) -> Result<Mlflow, Error> {
    let base = platform.endpoints().mlflow.as_deref();
    let base = base.ok_or_else(|| Error::new("cannot reach `mlflow`", "the environment has no such endpoint"))?;
    Mlflow::pooled(base, TIMEOUT)
}

/// Sends a mark and records in the ledger what came of it: its place if it was acknowledged. Fails only if the ledger
/// fails.
pub(super) async fn send(
    ledger: &dyn Ledger,
    mark: &Mark,
    mut stop: watch::Receiver<bool>,
    write: impl Future<Output = Result<String, Error>>,
) -> Result<Option<String>, Error> {
    ledger.sending(mark.clone()).await?;
    let stopped = async {
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(GRACE).await;
    };
    let answer = tokio::select! {
        answer = write => answer.map_err(|error| tasks::short(&error)),
        () = stopped => Err("the workload was stopped".to_owned()),
    };
    match answer {
        Ok(at) => {
            ledger.acknowledged(mark.number, Some(at.clone())).await?;
            Ok(Some(at))
        }
        Err(reason) => {
            ledger.unanswered(mark.number, reason).await?;
            Ok(None)
        }
    }
}

/// The beat of a rate; none for a rate of zero.
pub(super) fn ticks(rate: Rate) -> Option<Interval> {
    let mut ticks = interval(rate.interval()?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    Some(ticks)
}

/// The next tick; never, for a rate of zero.
pub(super) async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
