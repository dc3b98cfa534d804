//! A verdict: met, missed or unknown, and what sort of thing was judged. The worst of several verdicts counts, and unknown
//! never counts as met.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Was an objective or a check kept? Ordered from best to worst, so that merging is `max`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, strum::Display,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Kept, even at the high end of the band.
    Met,
    /// Could not be judged.
    Unknown,
    /// Not kept, even at the low end of the band.
    Missed,
}

impl Verdict {
    /// The worst of several; unknown if there are none.
    pub fn merge(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or(Self::Unknown)
    }
}

/// What sort of thing a judgement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum JudgementKind {
    /// An objective: the RTO or the RPO.
    Objective,
    /// Whether the service was back when watching ended, promised or not.
    Recovered,
    /// The steady state before the fault.
    Baseline,
    /// Whether a fault took effect.
    Onset,
    /// A check.
    Check,
    /// A step of the runbook.
    Step,
    /// Whether what was done could be undone.
    Undo,
    /// Whether the platform was still the one that was opted in.
    Guard,
    /// Lifeboat itself: whether the run is whole and could be measured.
    Harness,
}
