//! Met, missed or unknown; the worst wins, and unknown is never green.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What became of a promise. Ordered from best to worst, so that merging is `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Kept, even at the doubtful end of the band.
    Met,
    /// Could not be judged.
    Unknown,
    /// Broken, even at the kind end of the band.
    Missed,
}

impl Verdict {
    /// The worst of several; nothing judged is unknown.
    pub fn merge(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Met => "met",
            Self::Unknown => "unknown",
            Self::Missed => "missed",
        })
    }
}
