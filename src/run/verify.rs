//! The proof: the marks are read back, and every check looks.

use super::stage::{Cast, Stage};
use crate::client::Trouble;
use crate::model::{Fact, Finding};
use crate::store;
use crate::workload::Entry;
use std::collections::BTreeMap;
use std::time::Duration;

/// Looking at one check may take this long.
const CHECK: Duration = Duration::from_mins(1);
/// Reading the marks back may take this long; shorter when the service never came back.
const READ: [Duration; 2] = [Duration::from_secs(15), Duration::from_mins(2)];

/// Stops the clients, reads their marks back, lets every check look. The probes go on watching.
pub async fn verify(stage: &Stage, cast: &mut Cast, stable: bool) -> Result<(), Trouble> {
    let env = stage.env()?;
    if let Some(clients) = cast.clients.take()
        && let Err(trouble) = clients.stop().await
    {
        stage.scribe.tell(Fact::Note(format!("the workload ended early: {trouble}")));
    }
    drop(cast.schedule.take());
    if let Some(workload) = &stage.plan.workload {
        let entries = entries(stage).await?;
        let read = workload.read_back(env.as_ref(), &stage.lent.run, &entries);
        match tokio::time::timeout(READ[usize::from(stable)], read).await {
            Ok(Ok(fates)) => fates.into_iter().for_each(|(mark, fate)| stage.scribe.tell(Fact::Fate { mark, fate })),
            Ok(Err(trouble)) => stage.scribe.tell(Fact::Note(format!("the marks could not be read back: {trouble}"))),
            Err(_) => stage.scribe.tell(Fact::Note("the marks could not be read back in time".to_owned())),
        }
    }
    for (check, planted) in stage.plan.checks.iter().zip(&cast.planted) {
        let look = tokio::time::timeout(CHECK, check.verify(env.as_ref(), planted)).await;
        let finding = look.unwrap_or_else(|_| Finding::unknown("it could not look in time"));
        stage.scribe.tell(Fact::Checked { check: check.name.to_owned(), finding });
        if let Ok(Err(trouble)) = tokio::time::timeout(CHECK, check.clear(env.as_ref(), planted)).await {
            stage.scribe.tell(Fact::Note(format!("check `{}` could not clear: {trouble}", check.name)));
        }
    }
    Ok(())
}

/// The ledger, read from disk: what counts is what was written down.
async fn entries(stage: &Stage) -> Result<Vec<Entry>, Trouble> {
    stage.scribe.swear(Fact::Note("the marks are read back".to_owned())).await?;
    let lines = store::read_timeline(&stage.lent.folder).map_err(|e| Trouble::new("cannot read the ledger", e))?;
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
