//! A number of seconds with its uncertainty, and its judgement against an objective.
//!
//! Apart because recovery time and recovery point are judged by the same rule: met if even the high end keeps the
//! objective, missed if even the low end breaks it, otherwise unknown.

use crate::model::Verdict;
use crate::model::report::Measurement;

/// Sums of floating-point seconds may be off by less than this; clocks count nanoseconds.
const ROUNDING: f64 = 5e-10;

/// A number of seconds with its uncertainty, not yet judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Band {
    /// The best single value.
    pub seconds: Option<f64>,
    /// The true value is not lower.
    pub low: Option<f64>,
    /// The true value is not higher; none if there is no bound.
    pub high: Option<f64>,
    /// Why a part of it is not known, or how it came about.
    pub reason: Option<String>,
}

impl Band {
    /// From `low` to `high`; `seconds` is moved between them if it is outside. `low` is at least zero.
    pub fn between(low: f64, seconds: f64, high: Option<f64>) -> Self {
        let low = low.max(0.0);
        let high = high.map(|high| high.max(low));
        let seconds = seconds.max(low).min(high.unwrap_or(f64::INFINITY));
        Self { seconds: Some(seconds), low: Some(low), high, reason: None }
    }

    /// Not measured, because `reason`.
    pub fn unmeasured(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }

    /// The longer of two times, each known only by its band.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let both = |a: Option<f64>, b: Option<f64>| Some(a?.max(b?));
        Self {
            seconds: both(self.seconds, other.seconds),
            low: [self.low, other.low].into_iter().flatten().reduce(f64::max),
            high: both(self.high, other.high),
            reason: self.reason.or(other.reason),
        }
    }

    /// Judged against an objective, if there is one.
    pub fn judged(self, objective: Option<f64>) -> Measurement {
        let Self { seconds, low, high, reason } = self;
        let verdict = objective.map(|target| {
            if low.is_some_and(|low| low > target + ROUNDING) {
                Verdict::Missed
            } else if high.is_some_and(|high| high <= target + ROUNDING) {
                Verdict::Met
            } else {
                Verdict::Unknown
            }
        });
        let reason = match (verdict, objective) {
            (Some(Verdict::Met), _) => None,
            (Some(verdict), Some(target)) => Some(reason.unwrap_or_else(|| why(verdict, low, high, target))),
            _ => reason,
        };
        Measurement { seconds, low, high, objective, verdict, reason }
    }
}

fn why(verdict: Verdict, low: Option<f64>, high: Option<f64>, target: f64) -> String {
    let low = low.unwrap_or(0.0);
    match (verdict, high) {
        (Verdict::Missed, _) => format!("at least {low:.2} s, the objective is {target} s"),
        (_, Some(high)) => {
            format!("between {low:.2} and {high:.2} s: the objective of {target} s lies within this uncertainty")
        }
        (_, None) => format!(
            "at least {low:.2} s without an upper bound: it is not known whether the objective of {target} s was kept"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_met_only_by_the_high_end_and_missed_only_by_the_low_end() {
        let verdict = |objective| Band::between(2.0, 2.5, Some(3.0)).judged(Some(objective)).verdict;
        assert_eq!(verdict(3.0), Some(Verdict::Met));
        assert_eq!(verdict(2.9), Some(Verdict::Unknown));
        assert_eq!(verdict(2.0), Some(Verdict::Unknown));
        assert_eq!(verdict(1.9), Some(Verdict::Missed));
        assert_eq!(Band::between(2.0, 2.5, None).judged(Some(99.0)).verdict, Some(Verdict::Unknown));
        assert_eq!(Band::between(2.0, 2.5, None).judged(None).verdict, None);
    }

    #[test]
    fn the_worst_of_two_bands_holds_the_longer_time() {
        let worst = Band::between(1.0, 2.0, Some(5.0)).worst(Band::between(2.0, 3.0, Some(4.0)));
        assert_eq!((worst.low, worst.seconds, worst.high), (Some(2.0), Some(3.0), Some(5.0)));
        let open = Band::between(1.0, 2.0, Some(5.0)).worst(Band::unmeasured("no answer"));
        assert_eq!((open.low, open.seconds, open.high), (Some(1.0), None, None));
    }
}
