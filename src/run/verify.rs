//! The verification: the marks are read back, and every check verifies what it planted.

use super::background::Background;
use super::live::LiveRun;
use crate::client::Error;
use crate::model::{Fact, Finding};
use crate::store;
use crate::workload::Entry;
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest time for one check.
const CHECK: Duration = Duration::from_mins(1);
/// The longest time for reading the marks back: if the service is not back, and if it is.
const READ: [Duration; 2] = [Duration::from_secs(15), Duration::from_mins(2)];

/// Stops the workload, reads the marks back and lets every check verify. The probes go on asking.
pub async fn verify(run: &LiveRun<'_>, background: &mut Background, stable: bool) -> Result<(), Error> {
    let platform = &run.platform;
    if let Some(clients) = background.workload.take()
        && let Err(error) = clients.stop().await
    {
        run.recorder.append(Fact::Note(format!("the workload ended early: {error}")));
    }
    drop(background.schedule.take());
    if let Some(workload) = &run.plan.setup.workload {
        let entries = entries(run).await?;
        let read = workload.read_back(platform.as_ref(), &run.context.run, &entries);
        match tokio::time::timeout(READ[usize::from(stable)], read).await {
            Ok(Ok(states)) => {
                for (mark, state) in states {
                    run.recorder.append(Fact::MarkState { mark, state });
                }
            }
            Ok(Err(error)) => run.recorder.append(Fact::Note(format!("the marks could not be read back: {error}"))),
            Err(_) => run.recorder.append(Fact::Note("the marks could not be read back in time".to_owned())),
        }
    }
    for (check, planted) in run.plan.setup.checks.iter().zip(&background.planted) {
        let look = tokio::time::timeout(CHECK, check.verify(platform.as_ref(), planted)).await;
        let finding = look.unwrap_or_else(|_| Finding::unknown("it was not done in time"));
        run.recorder.append(Fact::Checked { check: check.name.to_owned(), finding });
        if let Ok(Err(error)) = tokio::time::timeout(CHECK, check.clear(platform.as_ref(), planted)).await {
            run.recorder
                .append(Fact::Note(format!("the check `{}` could not remove what it planted: {error}", check.name)));
        }
    }
    Ok(())
}

/// The ledger, read from disk: only what is on disk counts.
async fn entries(run: &LiveRun<'_>) -> Result<Vec<Entry>, Error> {
    run.recorder.append_durable(Fact::Note("the marks are read back".to_owned())).await?;
    let lines = store::read_timeline(&run.context.folder).map_err(|e| Error::caused_by("cannot read the ledger", e))?;
    let mut entries = BTreeMap::new();
    for line in lines {
        match line.fact {
            Fact::Sending(mark) => {
                entries.insert(mark.number, Entry { mark, acknowledged: false });
            }
            Fact::Acknowledged { mark, at } => {
                if let Some(entry) = entries.get_mut(&mark) {
                    entry.acknowledged = true;
                    entry.mark.at = at.or(entry.mark.at.take());
                }
            }
            _ => {}
        }
    }
    Ok(entries.into_values().collect())
}
