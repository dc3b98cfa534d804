//! The verification: the marks are read back, every check verifies what it planted, and watching ends.

use super::background::Background;
use super::live::LiveRun;
use crate::check::Check;
use crate::client::Error;
use crate::clock::Deadline;
use crate::engine::Readings;
use crate::kind::Chosen;
use crate::model::{Disaster, Fact, Finding, Planted, Watch};
use crate::recovery::Conditions;
use crate::store;
use crate::workload::Entry;
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest time for one check.
const CHECK: Duration = Duration::from_mins(2);
/// The longest time for reading the marks back: if the service is not back, and if it is.
const READ: [Duration; 2] = [Duration::from_secs(15), Duration::from_mins(2)];
/// From one look at the probes to the next.
const LOOK: Duration = Duration::from_millis(20);

/// Stops the workload, reads the marks back and lets the checks verify. The probes go on asking, until the service is
/// stable once more. Then the conditions are lifted, and the checks verify that must look after that.
pub async fn verify(
    run: &LiveRun<'_>,
    background: &mut Background,
    disaster: Disaster,
    stable: bool,
) -> Result<(), Error> {
    if let Some(clients) = background.workload.take()
        && let Err(error) = clients.stop().await
    {
        run.recorder.append(Fact::Note(format!("the workload ended early: {error}")));
    }
    drop(background.schedule.take());
    read_back(run, stable).await?;
    let planted = std::mem::take(&mut background.planted);
    let restored = background.restored.lock().take();
    let readings = match (&background.session, restored) {
        (Some(session), Some(point)) => session.readings(&point).await,
        _ => Readings::new(),
    };
    let checks = || run.plan.setup.checks.iter().zip(&planted);
    for (check, planted) in checks().filter(|(check, _)| !check.after_lift()) {
        look(run, check, planted, &readings).await;
    }
    end_watching(run, background, disaster).await;
    let late: Vec<_> = checks().filter(|(check, _)| check.after_lift()).collect();
    if !late.is_empty() {
        let _ = run.lift().await; // an error is on the timeline, and the tear-down tries again
    }
    for (check, planted) in late {
        look(run, check, planted, &readings).await;
    }
    Ok(())
}

/// What was asked during the verification is waited for, and a relapse is watched until it is over, but not longer than a
/// return takes to prove. Then no more is asked, and the open questions are waited for.
async fn end_watching(run: &LiveRun<'_>, background: &mut Background, disaster: Disaster) {
    let (terms, probes, clock) = (&run.plan.terms, &mut background.probes, run.recorder.clock());
    let slowest = |watch: &Watch| watch.every.0 * u32::try_from(terms.streak).unwrap_or(1) + watch.timeout.0 * 2;
    let proof = terms.probes.iter().map(slowest).max().unwrap_or_default() + terms.stable.0;
    let (verified, deadline) = (clock.now(), Deadline::within(proof));
    let back = || {
        probes.state.answered_until(verified) && probes.state.back(disaster.last_confirmed, clock.now(), terms.rule())
    };
    while !back() && !deadline.passed() {
        tokio::time::sleep(LOOK).await;
    }
    probes.close().await;
}

async fn read_back(run: &LiveRun<'_>, stable: bool) -> Result<(), Error> {
    let Some(workload) = &run.plan.setup.workload else { return Ok(()) };
    let entries = entries(run).await?;
    let read = workload.read_back(run.platform.as_ref(), &run.context.run, &entries);
    match tokio::time::timeout(READ[usize::from(stable)], read).await {
        Ok(Ok(states)) => {
            for (mark, state) in states {
                run.recorder.append(Fact::MarkState { mark, state });
            }
        }
        Ok(Err(error)) => run.recorder.append(Fact::Note(format!("the marks could not be read back: {error}"))),
        Err(_) => run.recorder.append(Fact::Note("the marks could not be read back in time".to_owned())),
    }
    Ok(())
}

async fn look(run: &LiveRun<'_>, check: &Chosen<dyn Check>, planted: &Planted, readings: &Readings) {
    let platform = run.platform.as_ref();
    let (clock, began) = (run.recorder.clock(), run.recorder.clock().now());
    let look = tokio::time::timeout(CHECK, check.verify(platform, planted, readings.get(check.name))).await;
    let finding = look.unwrap_or_else(|_| Finding::unknown("it was not done in time"));
    let finding = finding.figure("took", format!("{:.2} s", clock.now().since(began)));
    run.recorder.append(Fact::Checked { check: check.name.to_owned(), finding });
    if let Ok(Err(error)) = tokio::time::timeout(CHECK, check.clear(platform, planted)).await {
        let note = format!("the check `{}` could not remove what it planted: {error}", check.name);
        run.recorder.append(Fact::Note(note));
    }
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
