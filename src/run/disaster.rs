//! The disaster: intent on disk, the act, and the proof that it bit; and what strikes later, during the recovery.

use super::stage::Stage;
use crate::client::Trouble;
use crate::clock::{self, Moment};
use crate::model::{Fact, Finding, Phase, Verdict};
use jiff::Timestamp;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(20);

/// When a disaster struck. Time counts from the first fault, which bit between the first two.
#[derive(Debug, Clone, Copy)]
pub struct Bite {
    /// The first call that injects.
    pub earliest: Moment,
    /// The effect of the first fault was observed.
    pub latest: Moment,
    /// The effect of the last fault so far was observed.
    pub last: Moment,
    /// The first call that injects, in wall time.
    pub begun_at: Timestamp,
    /// The effect of the last fault so far was observed, in wall time.
    pub seen_at: Timestamp,
}

/// Injects the disaster's faults one after another; none if one of them did not bite.
pub async fn strike(stage: &Stage) -> Result<Option<Bite>, Trouble> {
    let (clock, mut whole) = (stage.scribe.clock(), None);
    let began = clock.now();
    for (index, planned) in stage.plan.faults_in(Phase::Disaster) {
        tokio::time::sleep_until(clock.instant(began.plus(planned.at.after.0))).await;
        let Some(bite) = inject(stage, index).await? else { return Ok(None) };
        whole = Some(whole.map_or(bite, |first: Bite| Bite { last: bite.last, seen_at: bite.seen_at, ..first }));
    }
    Ok(whole)
}

/// Injects the faults of the recovery, beside the runbook. One that does not strike leaves the drill unknown; the
/// rest goes on, so that the numbers are right for what did strike.
pub async fn strike_late(stage: &Stage, mut bite: Bite) -> Bite {
    let clock = stage.scribe.clock();
    let (began, end) = (clock.now(), bite.latest.plus(stage.plan.limits.recovery.0));
    for (index, planned) in stage.plan.faults_in(Phase::Recovery) {
        let due = began.plus(planned.at.after.0);
        let struck = if due < end {
            tokio::time::sleep_until(clock.instant(due)).await;
            inject(stage, index).await.map_err(|trouble| trouble.to_string())
        } else {
            Err(format!("the limit of {} for the recovery comes first", stage.plan.limits.recovery))
        };
        match struck {
            Ok(late) => bite.last = late.map_or(bite.last, |late| late.last),
            Err(why) => {
                let reason = format!("the fault `{}` at {} did not strike: {why}", planned.fault.name, planned.at);
                stage.decide("late fault", Verdict::Unknown, Some(reason));
            }
        }
    }
    bite
}

/// Injects a fault; none if it did not bite. Nothing is lifted meanwhile, or what strikes after could be forgotten.
async fn inject(stage: &Stage, index: usize) -> Result<Option<Bite>, Trouble> {
    if stage.guard().await.is_err() {
        return Ok(None);
    }
    let (env, scribe, fault) = (stage.env()?, &stage.scribe, &stage.plan.faults[index].fault);
    let mut intended = stage.intended.lock().await;
    let receipt = fault.intend(env.as_ref()).await?;
    let intent = Fact::Intended { fault: index, kind: fault.name.to_owned(), receipt: receipt.clone() };
    scribe.swear(intent).await?;
    intended.push((index, receipt.clone()));
    let (earliest, begun_at) = (scribe.clock().now(), clock::wall());
    scribe.tell(Fact::Injecting { fault: index });
    let error = fault.inject(env.as_ref(), &receipt).await.err().map(|trouble| trouble.to_string());
    scribe.tell(Fact::Injected { fault: index, error });
    let within = fault.confirmed_within();
    let deadline = scribe.clock().now().plus(within);
    let finding = loop {
        let confirm = tokio::time::timeout(within, fault.confirm(env.as_ref(), &receipt)).await;
        let finding = confirm.unwrap_or_else(|_| Finding::unknown("its effect could not be looked for in time"));
        if finding.verdict == Verdict::Met || scribe.clock().now() >= deadline {
            break finding;
        }
        tokio::time::sleep(LOOK).await;
    };
    let bit = finding.verdict == Verdict::Met;
    scribe.tell(Fact::Confirmed { fault: index, finding });
    let seen = scribe.clock().now();
    Ok(bit.then_some(Bite { earliest, latest: seen, last: seen, begun_at, seen_at: clock::wall() }))
}
