//! The steady state before a fault: was every probe served, quickly enough that the probes themselves are not the load?
//!
//! Apart from streaks because it also judges how long answers take.

use super::streak::{ProbeTick, TickOutcome, Watched};
use crate::clock::Moment;
use crate::model::{StreakRule, Watch};

/// A good answer may take this share of the probe's timeout, at the 99th percentile.
const SLOW: f64 = 0.25;

/// Why the state is not steady.
#[derive(Debug, Clone, PartialEq)]
pub struct Objection {
    /// In one sentence.
    pub reason: String,
    /// Is it a failed answer? Then whoever knows the text of the newest failed answer can add it.
    pub failed: bool,
}

/// Why a probe has not seen a steady state between `from` and `now`; none if it has.
pub fn objection(watch: Watch, watched: &Watched, from: Moment, now: Moment, rule: StreakRule) -> Option<Objection> {
    let depth = watch.depth;
    let answers = || watched.ticks().iter().filter(|tick| tick.asked >= from);
    let because = |reason| Some(Objection { reason, failed: false });
    if let Some(failed) = answers().rfind(|tick| tick.outcome == TickOutcome::Failed) {
        let reason = format!("the probe `{depth}` failed at {:.1} s", failed.due.seconds());
        return Some(Objection { reason, failed: true });
    }
    let good = answers().filter(|tick| tick.outcome == TickOutcome::Served).count();
    if good < rule.streak {
        return because(format!("the probe `{depth}` had {good} good answers, not {}", rule.streak));
    }
    let bound = SLOW * watch.timeout.as_seconds();
    let p99 = p99(answers().filter(|tick| tick.outcome == TickOutcome::Served).map(time)).unwrap_or(0.0);
    let open = watched.oldest_open().map_or(0.0, |asked| now.since(asked));
    let slow = p99.max(open);
    if slow > bound {
        return because(format!(
            "the probe `{depth}` was slow (p99 {slow:.3} s, more than a quarter of its timeout): the probes themselves \
             may be the load"
        ));
    }
    None
}

/// How long an answer took, in seconds.
pub(super) fn time(tick: &ProbeTick) -> f64 {
    tick.ended.since(tick.asked)
}

/// The 99th percentile; none without values.
pub(super) fn p99(values: impl Iterator<Item = f64>) -> Option<f64> {
    percentile(99, values)
}

/// The value that so many in a hundred do not exceed; none without values.
pub(super) fn percentile(percent: usize, values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    let rank = (values.len() * percent).div_ceil(100).checked_sub(1)?;
    Some(*values.select_nth_unstable_by(rank, f64::total_cmp).1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Depth, Period};
    use std::time::Duration;

    fn watched(took: f64, outcome: TickOutcome) -> Watched {
        let mut watched = Watched::default();
        for n in 0..10 {
            let asked = Moment::at(f64::from(n));
            watched.add(ProbeTick { due: asked, asked, ended: Moment::at(f64::from(n) + took), outcome });
        }
        watched
    }

    fn said(watched: &Watched) -> Option<String> {
        let watch = Watch { depth: Depth::Read, every: Period::seconds(1), timeout: Period::seconds(1) };
        let rule = StreakRule { streak: 3, stable: Duration::from_secs(2) };
        objection(watch, watched, Moment::at(0.0), Moment::at(10.0), rule).map(|objection| objection.reason)
    }

    #[test]
    fn good_and_fast_answers_are_a_steady_state() {
        assert_eq!(said(&watched(0.1, TickOutcome::Served)), None);
    }

    #[test]
    fn failing_slow_missing_or_open_answers_are_none() {
        assert!(said(&watched(0.1, TickOutcome::Failed)).unwrap().contains("failed at 9.0 s"));
        assert!(said(&watched(0.3, TickOutcome::Served)).unwrap().contains("a quarter of its timeout"));
        assert!(said(&watched(0.0, TickOutcome::Unasked)).unwrap().contains("0 good answers"));
        let mut hanging = watched(0.1, TickOutcome::Served);
        hanging.asking(Moment::at(9.5));
        assert!(said(&hanging).unwrap().contains("p99 0.500 s"));
    }
}
