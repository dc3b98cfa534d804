//! The report: everything that a file or a terminal may show of a run. `report.json` is this, and its JSON Schema is
//! published.

use super::{Depth, Expected, JudgementKind, MarkState, RecoveryPoint, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of this schema; it changes if readers have to change.
pub const SCHEMA: &str = "lifeboat/report/v1";

/// What a run means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Always `lifeboat/report/v1`.
    pub schema: String,
    /// The drill.
    pub drill: String,
    /// The scenario.
    pub scenario: String,
    /// What the drill is about.
    pub about: String,
    /// The ids of the requirements that the drill tries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// The result that the drill is written for.
    #[serde(default)]
    pub expected: Expected,
    /// The run.
    pub run: String,
    /// The kind of environment.
    pub environment: String,
    /// When it began, in wall time.
    pub began: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Digest of the plan that was carried out.
    pub plan: String,
    /// Lifeboat's version.
    pub version: String,
    /// The worst of all verdicts.
    pub verdict: Verdict,
    /// Each judgement of which `verdict` is the worst.
    pub judgements: Vec<Judgement>,
    /// Recovery time and recovery point.
    pub measurements: Measurements,
    /// The marks of the whole run, counted.
    pub writes: Writes,
    /// What was lost, by name, all of it.
    pub losses: Vec<Loss>,
    /// What the checks found.
    pub checks: Vec<CheckReport>,
    /// The runbook's steps that were carried out.
    pub steps: Vec<StepReport>,
    /// Its steps that were not carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// The phases.
    pub phases: Vec<PhaseTime>,
    /// Named moments of the run, seconds on its clock.
    pub moments: BTreeMap<String, f64>,
    /// The performance of the probes themselves.
    pub probes: Vec<ProbeFigures>,
    /// The recovery points that the engine made.
    pub points: Vec<RecoveryPoint>,
    /// Remarks of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Why the numbers may be wrong or incomplete, and what to do about it.
    pub caveats: Vec<String>,
    /// What was left behind; empty when all is gone.
    pub left: Vec<String>,
}

impl Report {
    /// Did it come to what the drill is written for? Then everything is met, or what must miss is missed and all else met.
    pub fn as_expected(&self) -> bool {
        match &self.expected {
            Expected::Met => self.verdict == Verdict::Met,
            Expected::Missed(what) => {
                let missed =
                    |name: &String| self.judgements.iter().any(|j| j.what == *name && j.verdict == Verdict::Missed);
                what.iter().all(missed)
                    && self.judgements.iter().all(|j| j.verdict == Verdict::Met || what.contains(&j.what))
            }
        }
    }
}

/// A remark of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// When, seconds on the run's clock.
    pub at: f64,
    /// The remark.
    pub text: String,
}

/// One verdict, with what was judged and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    /// What sort of thing was judged.
    pub kind: JudgementKind,
    /// What was judged.
    pub what: String,
    /// The result.
    pub verdict: Verdict,
    /// Why not met.
    pub reason: Option<String>,
}

/// Recovery time actual and recovery point actual.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Measurements {
    /// Recovery time actual at each depth that was probed.
    pub rta: BTreeMap<Depth, Measurement>,
    /// Recovery point actual.
    pub rpa: RecoveryPointActual,
}

/// A number of seconds with its uncertainty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// The best single value; null if it could not be measured.
    pub seconds: Option<f64>,
    /// The true value is not lower.
    pub low: Option<f64>,
    /// The true value is not higher; null if there is no bound.
    pub high: Option<f64>,
    /// The objective, in seconds.
    pub objective: Option<f64>,
    /// Null if there is no objective.
    pub verdict: Option<Verdict>,
    /// Why the verdict is not met.
    pub reason: Option<String>,
}

/// Recovery point actual, strict, with the newest survivor beside it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryPointActual {
    /// Strict: back to the oldest acknowledged write that is missing.
    #[serde(flatten)]
    pub strict: Measurement,
    /// From the onset back to the newest acknowledged write that survived, seconds.
    pub newest_survivor: Option<f64>,
}

/// The marks of a run, counted: acknowledged = survived + lost + half + corrupted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Writes {
    /// Sent.
    pub sent: u64,
    /// Acknowledged in all parts.
    pub acknowledged: u64,
    /// Of those, there afterwards; null if not all could be read back.
    pub survived: Option<u64>,
    /// Of those, gone (among them the deletes that were undone).
    pub lost: Option<u64>,
    /// Of those, a row without its object or the reverse.
    pub half: Option<u64>,
    /// Of those, there with a content that no mark wrote.
    pub corrupted: Option<u64>,
    /// Deleted subjects that are back; the delete itself is counted as lost.
    pub resurrected: Option<u64>,
    /// Never acknowledged: may or may not be there.
    pub indeterminate: u64,
    /// How long those before the onset took; nothing if none was acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<WriteTimes>,
}

/// How long writes took, from their entry in the ledger to their acknowledgement, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WriteTimes {
    /// Half of them took no longer.
    pub median_ms: f64,
    /// Of a hundred of them, 99 took no longer.
    pub p99_ms: f64,
}

/// One loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Loss {
    /// Lost, half, corrupted or resurrected.
    pub kind: MarkState,
    /// The name of the mark.
    pub name: String,
    /// When it was acknowledged, seconds on the run's clock.
    pub at: f64,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckReport {
    /// Its name.
    pub name: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// Why not met.
    pub reason: Option<String>,
    /// Its figures.
    pub figures: Vec<(String, String)>,
}

/// A step of the runbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepReport {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// When it began, seconds on the run's clock.
    pub begin: f64,
    /// When it ended; null if it never did.
    pub end: Option<f64>,
    /// The result.
    pub verdict: Verdict,
    /// Why not met.
    pub reason: Option<String>,
    /// Its figures.
    pub figures: Vec<(String, String)>,
}

/// A step of the runbook that was not carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// A phase and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseTime {
    /// Its name.
    pub name: String,
    /// When it began, seconds on the run's clock.
    pub begin: f64,
    /// When it ended.
    pub end: f64,
}

/// The performance of a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeFigures {
    /// Its depth.
    pub depth: Depth,
    /// Its interval, seconds.
    pub every: f64,
    /// Its timeout, seconds.
    pub timeout: f64,
    /// Good answers.
    pub served: u64,
    /// Failed answers.
    pub failed: u64,
    /// Ticks that were not asked in time.
    pub unasked: u64,
    /// 99th percentile of asked − due, milliseconds.
    pub late_p99_ms: f64,
    /// 99th percentile of a good answer's time before the fault, milliseconds.
    pub baseline_p99_ms: Option<f64>,
}
