//! Findings, receipts, planted data and recovery points: plain data that is written to the timeline.

use super::Verdict;
use crate::clock::Moment;
use crate::outside::{clean, plain};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The result of a check, a step or a confirmation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Met: as it should be. Missed: not as it should be. Unknown: it could not be found out.
    pub verdict: Verdict,
    /// Why it is not met, in one sentence. If it is met, a remark, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Figures for the report: name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<(String, String)>,
}

impl Finding {
    /// It is as it should be.
    pub fn met() -> Self {
        Self { verdict: Verdict::Met, reason: None, figures: vec![] }
    }
    /// It is not as it should be, because `reason`.
    pub fn missed(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Missed, reason: Some(clean(&reason.into())), figures: vec![] }
    }
    /// It could not be found out, because `reason`.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, reason: Some(clean(&reason.into())), figures: vec![] }
    }
    /// With one more figure.
    #[must_use]
    pub fn figure(mut self, name: impl Into<String>, value: impl std::fmt::Display) -> Self {
        self.figures.push((plain(&name.into()), plain(&value.to_string())));
        self
    }
    /// One finding of two: the worse verdict, where missed is worse than unknown, both reasons, all figures.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let reasons: Vec<_> = self.reason.into_iter().chain(other.reason).collect();
        Self {
            verdict: self.verdict.max(other.verdict),
            reason: Some(reasons.join("; ")).filter(|reason| !reason.is_empty()),
            figures: self.figures.into_iter().chain(other.figures).collect(),
        }
    }
    /// The first figure of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.figures.iter().find(|(figure, _)| figure == name).map(|(_, value)| value.as_str())
    }
}

/// The record of an act, enough to undo it after a crash. Only the code that made it knows its shape.
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
    /// Its name at the engine. For engines that keep a folder for each point, the name of the folder.
    pub id: String,
    /// The latest moment at which its snapshot can have been taken, on the run's clock.
    pub snapshot: Moment,
    /// The same in wall time.
    #[schemars(with = "String")]
    pub taken_at: Timestamp,
    /// Bytes stored; none if the engine does not say.
    pub bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_of_two_findings_counts_and_both_reasons_are_said() {
        let [met, unknown, missed] = [Finding::met().figure("rows", 5), Finding::unknown("a"), Finding::missed("b")];
        assert_eq!(met.clone().and(unknown.clone()).verdict, Verdict::Unknown);
        for (one, other, reasons) in [(&missed, &unknown, "b; a"), (&unknown, &missed, "a; b")] {
            let worst = one.clone().and(other.clone());
            assert_eq!((worst.verdict, worst.reason.as_deref()), (Verdict::Missed, Some(reasons)));
        }
        let both = met.clone().and(met);
        assert_eq!((both.verdict, both.reason, both.figures.len()), (Verdict::Met, None, 2));
    }
}
