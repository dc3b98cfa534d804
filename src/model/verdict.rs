//! A verdict: met, missed or unknown. The worst of several counts, and unknown never counts as met.

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
