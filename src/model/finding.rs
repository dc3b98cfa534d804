//! What was found, what was planted, what was made: plain data that travels on the timeline.

use super::Verdict;
use crate::clock::Moment;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer of a check or a confirmation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Met: as it should be. Missed: not so. Unknown: could not be found out.
    pub verdict: Verdict,
    /// Why not met, in one sentence; with a met one, what was seen, if worth saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Figures for the report: name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<(String, String)>,
}

impl Finding {
    /// All is as it should be.
    pub fn met() -> Self {
        Self { verdict: Verdict::Met, reason: None, figures: vec![] }
    }
    /// It is not so, because `reason`.
    pub fn missed(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Missed, reason: Some(reason.into()), figures: vec![] }
    }
    /// It could not be found out, because `reason`.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, reason: Some(reason.into()), figures: vec![] }
    }
    /// With one more figure.
    #[must_use]
    pub fn figure(mut self, name: impl Into<String>, value: impl std::fmt::Display) -> Self {
        self.figures.push((name.into(), value.to_string()));
        self
    }
}

/// The serialisable proof of an act: enough to undo it after a crash. Its maker alone knows the shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Receipt(pub Value);

/// What a check planted before the fault, to be compared after the recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Planted(pub Value);

/// A state that an engine can restore.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryPoint {
    /// The engine's own name for it; for engines that keep a folder per point, the folder's name.
    pub id: String,
    /// The latest moment at which its snapshot can have been taken.
    pub snapshot: Moment,
    /// The same in wall time, for people.
    #[schemars(with = "String")]
    pub taken_at: Timestamp,
    /// Bytes stored; unknown for engines that do not say.
    pub bytes: Option<u64>,
}
