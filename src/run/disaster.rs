//! The disaster: each fault's intent on disk, the act, and the proof that it took effect; also faults of the recovery.
//!
//! Apart from the recovery because this destroys, and that repairs.

use super::live::LiveRun;
use crate::client::Error;
use crate::clock;
use crate::environment::Act;
use crate::model::{Disaster, Fact, Finding, JudgementKind, Onset, Phase, Verdict};
use std::time::Duration;

/// From one look for a fault's effect to the next.
const LOOK: Duration = Duration::from_millis(20);

/// Injects the faults of the disaster one after another. Returns none if one of them did not take effect.
pub async fn inject_all(run: &LiveRun<'_>) -> Result<Option<Disaster>, Error> {
    let (clock, mut whole) = (run.recorder.clock(), None);
    let began = clock.now();
    for (index, planned) in run.plan.faults_in(Phase::Disaster) {
        tokio::time::sleep_until(clock.instant(began.plus(planned.at.after.0))).await;
        let Some(next) = inject(run, index).await? else { return Ok(None) };
        whole = Some(whole.map_or(next, |first: Disaster| Disaster {
            last_confirmed: next.last_confirmed,
            confirmed_at: next.confirmed_at,
            ..first
        }));
    }
    Ok(whole)
}

/// Injects the faults of the recovery while the runbook is carried out. If one of them cannot be injected, the drill is
/// unknown; the others go on, so that the numbers are right for those that were injected.
pub async fn inject_late(run: &LiveRun<'_>, mut disaster: Disaster) -> Disaster {
    let clock = run.recorder.clock();
    let (began, end) = (clock.now(), disaster.onset.confirmed.plus(run.plan.setup.limits.recovery.0));
    for (index, planned) in run.plan.faults_in(Phase::Recovery) {
        let due = began.plus(planned.at.after.0);
        let injected = if due < end {
            tokio::time::sleep_until(clock.instant(due)).await;
            inject(run, index).await.map_err(|error| error.to_string())
        } else {
            Err(format!("the limit of {} for the recovery comes first", run.plan.setup.limits.recovery))
        };
        match injected {
            Ok(late) => disaster.last_confirmed = late.map_or(disaster.last_confirmed, |late| late.last_confirmed),
            Err(why) => {
                let reason = format!("the fault `{}` at {} was not injected: {why}", planned.fault.name, planned.at);
                run.recorder.decide(JudgementKind::Onset, "late fault", Verdict::Unknown, Some(reason));
            }
        }
    }
    disaster
}

/// Injects a fault. Returns none if it did not take effect. No condition is lifted meanwhile: a fault that is injected
/// during the lifting might never be lifted itself.
async fn inject(run: &LiveRun<'_>, index: usize) -> Result<Option<Disaster>, Error> {
    if run.guard(Act::Strike).await.is_err() {
        return Ok(None);
    }
    let (platform, recorder, fault) = (run.platform.as_ref(), &run.recorder, &run.plan.faults[index].fault);
    let mut intended = run.intended.lock().await;
    let mut receipt = fault.intend(platform).await?;
    if let Some(bound) = run.bound.get().and_then(|bound| bound.get(&index)) {
        receipt = fault.still(bound, receipt)?;
    }
    let intent = Fact::Intended { fault: index, kind: fault.name.to_owned(), receipt: receipt.clone() };
    recorder.append_durable(intent).await?;
    intended.push((index, receipt.clone()));
    let (injecting, began_at) = (recorder.clock().now(), clock::wall());
    recorder.append(Fact::Injecting { fault: index });
    let error = fault.inject(platform, &receipt).await.err().map(|error| error.to_string());
    recorder.append(Fact::Injected { fault: index, error });
    let within = fault.confirmed_within();
    let deadline = recorder.clock().now().plus(within);
    let finding = loop {
        let confirm = tokio::time::timeout(within, fault.confirm(platform, &receipt)).await;
        let finding = confirm.unwrap_or_else(|_| Finding::unknown("there was no time to look for its effect"));
        if finding.verdict == Verdict::Met || recorder.clock().now() >= deadline {
            break finding;
        }
        tokio::time::sleep(LOOK).await;
    };
    let took_effect = finding.verdict == Verdict::Met;
    recorder.append(Fact::Confirmed { fault: index, finding });
    let confirmed = recorder.clock().now();
    let onset = Onset { injecting, confirmed };
    Ok(took_effect.then_some(Disaster::of_one(onset, began_at, clock::wall())))
}
