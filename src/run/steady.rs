//! The baseline: the steady state is proved before a fault is injected, because a drill on a broken platform proves nothing.

use super::background::Background;
use super::live::LiveRun;
use crate::clock::{self, Moment};
use crate::model::{Answer, Answered, Fact, Verdict, Watch};
use std::time::Duration;

/// From one look at the answers to the next.
const LOOK: Duration = Duration::from_millis(250);
/// The steady state must be reached within this many times `limits.baseline`.
const BASELINES: u32 = 5;

/// Waits until every probe was served for the whole of `limits.baseline` and a first recovery point is complete.
/// Records the decision `baseline`. If it returns false, no fault may be injected.
pub async fn prove(run: &LiveRun<'_>, background: &Background) -> bool {
    let length = run.plan.setup.limits.baseline.0;
    let clock = run.recorder.clock();
    let (begin, worked) = (clock.now(), clock::worked());
    loop {
        tokio::time::sleep(LOOK).await;
        let now = clock.now();
        let from = Moment(now.0.saturating_sub(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)));
        let mut objection = judge(&run.plan.terms.probes, &background.probes.state.since(from), run.plan.terms.streak);
        if objection.is_none() && background.schedule.as_ref().is_some_and(|s| s.points().is_empty()) {
            objection = Some("no backup was completed".to_owned());
        }
        match objection {
            None if from >= begin => {
                let share = 100.0 * clock::worked().saturating_sub(worked).as_secs_f64() / now.since(begin);
                run.recorder
                    .append(Fact::Note(format!("lifeboat itself used {share:.1} % of one core during the baseline")));
                run.recorder.decide("baseline", Verdict::Met, None);
                return true;
            }
            _ if now < begin.plus(length * BASELINES) => {}
            objection => {
                run.recorder.decide("baseline", Verdict::Unknown, objection);
                return false;
            }
        }
    }
}

/// Why the state is not steady; none if it is.
fn judge(probes: &[Watch], answers: &[Vec<Answered>], streak: usize) -> Option<String> {
    probes.iter().zip(answers).find_map(|(watch, answers)| {
        let depth = watch.depth;
        if let Some((due, reason)) = answers.iter().find_map(|a| match &a.answer {
            Answer::Failed(reason) => Some((a.due, reason)),
            _ => None,
        }) {
            return Some(format!("the probe `{depth}` failed at {:.1} s: {reason}", due.seconds()));
        }
        let mut times: Vec<f64> =
            answers.iter().filter(|a| a.answer == Answer::Served).map(|a| a.ended.since(a.asked)).collect();
        if times.len() < streak {
            return Some(format!("the probe `{depth}` had {} good answers, not {streak}", times.len()));
        }
        times.sort_by(f64::total_cmp);
        let p99 = times[(times.len() * 99).div_ceil(100) - 1];
        let bound = watch.timeout.as_seconds() / 4.0;
        (p99 > bound).then(|| {
            format!("the probe `{depth}` was slow (p99 {p99:.3} s, more than a quarter of its timeout): the probes themselves may be the load")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Depth, Period};

    fn answers(seconds: f64, answer: &Answer) -> Vec<Answered> {
        (0..10)
            .map(|n| {
                let asked = Moment::at(f64::from(n));
                let ended = asked.plus(Duration::from_secs_f64(seconds));
                Answered { probe: 0, due: asked, asked, ended, answer: answer.clone() }
            })
            .collect()
    }

    fn objection(answers: Vec<Answered>) -> Option<String> {
        let watch = Watch { depth: Depth::Read, every: Period::seconds(1), timeout: Period::seconds(1) };
        judge(&[watch], &[answers], 3)
    }

    #[test]
    fn good_and_fast_answers_are_a_steady_state() {
        assert_eq!(objection(answers(0.1, &Answer::Served)), None);
    }

    #[test]
    fn failing_slow_or_missing_answers_are_none() {
        assert!(objection(answers(0.1, &Answer::Failed("503".into()))).is_some_and(|o| o.contains("503")));
        assert!(objection(answers(0.3, &Answer::Served)).is_some_and(|o| o.contains("a quarter of its timeout")));
        assert!(objection(answers(0.0, &Answer::Unasked)).is_some_and(|o| o.contains("0 good answers")));
    }
}
