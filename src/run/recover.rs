//! The recovery: the outage is noticed, the runbook followed line by line, the service watched until it is stable.

use super::disaster::Bite;
use super::stage::{Cast, Stage};
use crate::model::{Fact, Finding, Verdict};
use crate::plan::PlannedStep;
use crate::recovery::Hands;
use std::sync::Arc;
use std::time::Duration;

/// A runbook is begun when the outage is noticed; where no probe notices one, after this long.
const NOTICE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_secs(1);

/// Carries out the steps in their order. The first that fails ends it: what comes after relies on it.
pub async fn follow_runbook(stage: &Stage, cast: &Cast, bite: Bite) {
    let clock = stage.scribe.clock();
    while !cast.watching.board.down(bite.earliest, stage.plan.terms.streak) && clock.now() < bite.latest.plus(NOTICE) {
        tokio::time::sleep(LOOK).await;
    }
    for planned in &stage.plan.steps {
        stage.scribe.tell(Fact::StepBegan { id: planned.id.clone(), kind: planned.step.name.to_owned() });
        let finding = carry_out(stage, cast, bite, planned).await;
        let done = finding.verdict == Verdict::Met;
        stage.scribe.tell(Fact::StepEnded { id: planned.id.clone(), finding });
        if !done {
            return;
        }
    }
}

async fn carry_out(stage: &Stage, cast: &Cast, bite: Bite, planned: &PlannedStep) -> Finding {
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
        let hands = Hands {
            env: env.as_ref(),
            engine: stage.plan.protect.as_ref().map(|p| (Arc::clone(&p.engine.it), repository.as_path())),
            points: cast.schedule.as_ref().map(super::protect::Schedule::points).unwrap_or_default(),
            bite: bite.earliest,
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

/// Waits until every probe is good and stays good, or the limit has passed. Decides `recovered`.
pub async fn wait_for_service(stage: &Stage, cast: &Cast, bite: Bite) -> bool {
    let (terms, clock) = (&stage.plan.terms, stage.scribe.clock());
    let end = bite.latest.plus(stage.plan.limits.recovery.0);
    loop {
        if cast.watching.board.steady(bite.latest, terms.streak, terms.stable.0) {
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
