//! The baseline: the steady state is proved before a fault is injected, because a drill on a broken platform proves nothing.

use super::background::Background;
use super::live::LiveRun;
use crate::clock::{self, Moment};
use crate::engine::Session;
use crate::model::{Fact, JudgementKind, Verdict};
use std::time::Duration;

/// From one look at the answers to the next.
const LOOK: Duration = Duration::from_millis(250);
/// The steady state must be reached within this many times `limits.baseline`.
const BASELINES: u32 = 5;

/// Waits until every probe was served for the whole of `limits.baseline` and a first recovery point is complete.
/// Records the decision `baseline`. If it returns false, no fault may be injected.
pub async fn prove(run: &LiveRun<'_>, background: &Background) -> bool {
    let (terms, length, clock) = (&run.plan.terms, run.plan.setup.limits.baseline.0, run.recorder.clock());
    let (begin, worked) = (clock.now(), clock::worked());
    loop {
        tokio::time::sleep(LOOK).await;
        let now = clock.now();
        let from = Moment(now.0.saturating_sub(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)));
        let mut objection = background.probes.state.objection(from, now, terms.rule());
        if objection.is_none() {
            objection = no_point(background.session.as_deref()).await;
        }
        match objection {
            None if from >= begin => {
                let share = 100.0 * clock::worked().saturating_sub(worked).as_secs_f64() / now.since(begin);
                run.recorder
                    .append(Fact::Note(format!("lifeboat itself used {share:.1} % of one core during the baseline")));
                run.recorder.decide(JudgementKind::Baseline, "baseline", Verdict::Met, None);
                return true;
            }
            _ if now < begin.plus(length * BASELINES) => {}
            objection => {
                run.recorder.decide(JudgementKind::Baseline, "baseline", Verdict::Unknown, objection);
                return false;
            }
        }
    }
}

/// Why a disaster would find nothing to restore from; nothing if there is a point, or no engine.
async fn no_point(session: Option<&dyn Session>) -> Option<String> {
    match session?.points().await {
        Ok(points) => points.is_empty().then(|| "no backup was completed".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}
