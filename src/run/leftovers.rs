//! What users' commands and PostgreSQL's tools have left running on this machine: found by the run's name in their
//! environment, and ended or named.
//!
//! Apart because a run does it at its end, and `cleanup` for a run whose process died. Components are not touched: they
//! are the platform's own to remove.

use super::live::LiveRun;
use crate::client::Error;
use crate::client::process::{self, ProcessIdentity};
use crate::model::Fact;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long what was dropped with the run may take to be gone.
const DROPPED: Duration = Duration::from_secs(1);

/// Ends them after a tear-down, and says so. On a standing platform they are named instead: a service that a command of
/// the runbook has started may be one that its owner needs.
pub async fn settle(run: &LiveRun<'_>) -> Result<(), Error> {
    let found = process::commands_of(&run.context.run);
    if found.is_empty() {
        return Ok(());
    }
    process::wait_gone(&found.into_keys().collect(), DROPPED).await;
    let found = process::commands_of(&run.context.run);
    if run.plan.setup.environment.standing() {
        for what in found.into_values() {
            let left = format!(
                "{what}: a command of the runbook left it running; what is meant to stay is to be started \
                 with `env -u {}`",
                process::RUN
            );
            run.recorder.append_durable(Fact::Left(left)).await?;
        }
        return Ok(());
    }
    let left = end(&found).await;
    for (identity, what) in found {
        if left.contains_key(&identity) {
            run.recorder.append_durable(Fact::Left(what)).await?;
        } else {
            run.recorder.append(Fact::Note(format!("{what} was left running by a command: it is ended")));
        }
    }
    Ok(())
}

/// Ends them; answers those that live on.
pub async fn end(found: &BTreeMap<ProcessIdentity, String>) -> BTreeMap<ProcessIdentity, String> {
    let still = process::end(&found.keys().copied().collect::<Vec<_>>()).await;
    found.iter().filter(|(identity, _)| still.contains(identity)).map(|(id, what)| (*id, what.clone())).collect()
}
