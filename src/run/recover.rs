//! The recovery: the outage is detected, the runbook carried out, and the service watched until it is stable.

use super::background::Background;
use super::live::LiveRun;
use super::point_checks::PlantedChecks;
use super::runbook::{Runbook, StepEnd};
use crate::environment::{Act, Asset};
use crate::model::{Disaster, Fact, Finding, Verdict};
use crate::plan::PlannedStep;
use crate::recovery::StepContext;
use crate::recovery::text::Outputs;
use futures::future::join_all;
use std::time::Duration;

/// The runbook begins when the outage is detected. If no probe detects one, it begins after this time.
const DETECTION: Duration = Duration::from_secs(5);
/// From one look at the probes to the next.
const LOOK: Duration = Duration::from_millis(20);
/// The pause before a step is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Carries out the runbook: each step begins when all steps that it comes after have ended, so some run side by side.
pub async fn follow_runbook(run: &LiveRun<'_>, background: &Background, disaster: Disaster) {
    let (clock, recorder) = (run.recorder.clock(), &run.recorder);
    while !background.probes.state.down(disaster.onset.injecting, run.plan.terms.rule())
        && clock.now() < disaster.last_confirmed.plus(DETECTION)
    {
        tokio::time::sleep(LOOK).await;
    }
    let runbook = &Runbook::new(&run.plan.steps);
    let follow = async |planned: &PlannedStep| {
        let PlannedStep { id, step, .. } = planned;
        let (id, kind) = (id.clone(), step.name.to_owned());
        if let Some((reason, status)) = runbook.wait_for_turn(planned).await {
            recorder.append(Fact::StepSkipped { id, kind, reason });
            return runbook.ended(planned, StepEnd::skipped(status));
        }
        recorder.append(Fact::StepBegan { id: id.clone(), kind });
        if step.restores().contains(&Asset::Database) {
            *background.restored.lock() = None;
        }
        let finding = carry_out(run, background, disaster, planned, &runbook.outputs()).await;
        if step.restores().contains(&Asset::Database) && finding.verdict == Verdict::Met {
            *background.restored.lock() = finding.get("point").map(str::to_owned);
        }
        let end = StepEnd::of(planned, &finding);
        recorder.append(Fact::StepEnded { id, finding });
        runbook.ended(planned, end);
    };
    join_all(run.plan.steps.iter().map(follow)).await;
}

async fn carry_out(
    run: &LiveRun<'_>,
    background: &Background,
    disaster: Disaster,
    planned: &PlannedStep,
    outputs: &Outputs,
) -> Finding {
    let mut finding = Finding::unknown("it was not carried out");
    for attempt in 0..=planned.retry {
        if attempt > 0 {
            tokio::time::sleep(RETRY).await;
        }
        if let Err(error) = run.guard(Act::Mend).await {
            return Finding::unknown(error.to_string());
        }
        let (platform, folder) = (run.platform.as_ref(), run.context.folder.as_path());
        let session = background.session.as_deref();
        let checks = PlantedChecks::of(&run.plan.setup.checks, &background.planted);
        let (checks, journal) = (checks.as_ref().map(|checks| checks as _), &run.recorder);
        let context = StepContext { platform, disaster, session, outputs, folder, conditions: run, checks, journal };
        finding = tokio::time::timeout(planned.deadline.0, planned.step.carry_out(&context))
            .await
            .unwrap_or_else(|_| Finding::missed(format!("it was not done within {}", planned.deadline)));
        if finding.verdict == Verdict::Met {
            break;
        }
    }
    finding
}

/// Waits until every probe is served and stays served after the last fault; returns false if `limits.recovery`, counted
/// from the onset, passes first.
pub async fn wait_for_service(run: &LiveRun<'_>, background: &Background, disaster: Disaster) -> bool {
    let (terms, clock) = (&run.plan.terms, run.recorder.clock());
    let end = disaster.onset.confirmed.plus(run.plan.setup.limits.recovery.0);
    loop {
        if background.probes.state.back(disaster.last_confirmed, clock.now(), terms.rule()) {
            return true;
        }
        if clock.now() >= end {
            let note = format!("the service was not back and stable within {}", run.plan.setup.limits.recovery);
            run.recorder.append(Fact::Note(note));
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}
