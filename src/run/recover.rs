//! The recovery: the outage is noticed, the runbook followed, the service watched until it is stable.

use super::disaster::Bite;
use super::runbook::{End, Runbook};
use super::stage::{Cast, Stage};
use crate::model::{Fact, Finding, Verdict};
use crate::plan::PlannedStep;
use crate::recovery::Hands;
use crate::recovery::text::Outputs;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// A runbook is begun when the outage is noticed; where no probe notices one, after this long.
const NOTICE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_secs(1);

/// Carries out the runbook: each step as soon as all that it comes after have ended, so that some run side by side.
pub async fn follow_runbook(stage: &Stage, cast: &Cast, bite: Bite) {
    let (clock, scribe) = (stage.scribe.clock(), &stage.scribe);
    while !cast.watching.board.down(bite.earliest, stage.plan.terms.streak) && clock.now() < bite.last.plus(NOTICE) {
        tokio::time::sleep(LOOK).await;
    }
    let runbook = &Runbook::new(&stage.plan.steps);
    let follow = async |planned: &PlannedStep| {
        let PlannedStep { id, step, .. } = planned;
        let (id, kind) = (id.clone(), step.name.to_owned());
        if let Some((reason, way)) = runbook.turn(planned).await {
            scribe.tell(Fact::StepSkipped { id, kind, reason });
            return runbook.ended(planned, End::skipped(way));
        }
        scribe.tell(Fact::StepBegan { id: id.clone(), kind });
        let finding = carry_out(stage, cast, bite, planned, &runbook.outputs()).await;
        let end = End::of(planned, &finding);
        scribe.tell(Fact::StepEnded { id, finding });
        runbook.ended(planned, end);
    };
    join_all(stage.plan.steps.iter().map(follow)).await;
}

async fn carry_out(stage: &Stage, cast: &Cast, bite: Bite, planned: &PlannedStep, outputs: &Outputs) -> Finding {
    let env = match stage.env() {
        Ok(env) => env,
        Err(trouble) => return Finding::unknown(trouble.to_string()),
    };
    let repository = stage.repository();
    let mut finding = Finding::unknown("it was not carried out");
    for attempt in 0..=planned.retry {
        if attempt > 0 {
            tokio::time::sleep(RETRY).await;
        }
        if let Err(trouble) = stage.guard().await {
            return Finding::unknown(trouble.to_string());
        }
        let hands = Hands {
            env: env.as_ref(),
            engine: stage.plan.protect.as_ref().map(|p| (Arc::clone(&p.engine.it), repository.as_path())),
            points: cast.schedule.as_ref().map(super::protect::Schedule::points).unwrap_or_default(),
            bite: bite.earliest,
            bite_at: bite.begun_at,
            bitten_at: bite.seen_at,
            outputs,
            folder: &stage.lent.folder,
            lifts: stage,
        };
        finding = tokio::time::timeout(planned.deadline.0, planned.step.carry_out(&hands))
            .await
            .unwrap_or_else(|_| Finding::missed(format!("it was not done within {}", planned.deadline)));
        if finding.verdict == Verdict::Met {
            break;
        }
    }
    finding
}

/// Waits until every probe is good and stays good after the last fault, or the limit from the first has passed.
pub async fn wait_for_service(stage: &Stage, cast: &Cast, bite: Bite) -> bool {
    let (terms, clock) = (&stage.plan.terms, stage.scribe.clock());
    let end = bite.latest.plus(stage.plan.limits.recovery.0);
    loop {
        if cast.watching.board.steady(bite.last, terms.streak, terms.stable.0) {
            return true;
        }
        if clock.now() >= end {
            let note = format!("the service was not back and stable within {}", stage.plan.limits.recovery);
            stage.scribe.tell(Fact::Note(note));
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}
