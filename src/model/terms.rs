//! What a run promised and how it watched: all that judging needs beside the facts.

use super::{Period, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How much of the service an answer proves; each depth is deeper than the one before, and rests on it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, strum::Display,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// It answers at all. MLflow's `/health` stays 200 with its database gone.
    Health,
    /// Rows that were there before the fault are read, of more than one table, and compared.
    Read,
    /// A run is created and read back.
    Write,
    /// A model's bytes come with the right digest.
    Artifact,
    /// The model gives the recorded answer.
    Predict,
}

/// What was promised.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`rto`, `rpo` and `at`")]
pub struct Objectives {
    /// Recovery time objective: how long clients may be without service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<Span>,
    /// Recovery point objective: how much acknowledged work may be missing, as time before the disaster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Span>,
    /// The probe depth that the RTO is about; by default the deepest one that is probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Depth>,
}

/// How one probe watched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The depth it asks at.
    pub depth: Depth,
    /// From one tick to the next.
    pub every: Period,
    /// How long an answer may take.
    pub timeout: Period,
}

/// The result that a drill is written for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Expected {
    /// Everything is met.
    #[default]
    Met,
    /// These judgements are missed, all others are met: `rto`, `rpo`, `recovered`, the name of a check, the id of a step.
    Missed(Vec<String>),
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Met => f.pad("met"),
            Self::Missed(what) => f.pad(&format!("missed: {}", what.join(", "))),
        }
    }
}

/// On what it depends whether a step is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum When {
    /// All steps that it comes after were carried out and met.
    #[default]
    Done,
    /// At least one of those did not meet, or was skipped because of one that did not.
    Failed,
    /// On nothing.
    Always,
}

/// What judging needs to know of a step of the runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTerms {
    /// Its id.
    pub id: String,
    /// The ids of the steps that end before it begins.
    pub after: Vec<String>,
    /// On what it depends whether it is carried out.
    pub when: When,
    /// May it fail?
    pub optional: bool,
}

/// When a service counts as down, and when as back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreakRule {
    /// How many answers in a row at least: failed ones to detect an outage, good ones to be back.
    pub streak: usize,
    /// How long the good ones must go on.
    pub stable: Duration,
}

/// All that judging needs beside the facts; the first fact of a timeline carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The drill's name.
    pub drill: String,
    /// The scenario's name.
    pub scenario: String,
    /// What the drill is about.
    pub about: String,
    /// The lines of the runbooks' demands that it tries, by their ids.
    #[serde(default)]
    pub requirements: Vec<String>,
    /// The result that it is written for.
    #[serde(default)]
    pub expected: Expected,
    /// The kind of the environment.
    pub environment: String,
    /// What was promised; `at` is resolved.
    pub objectives: Objectives,
    /// The probes in their order; answers name them by index.
    pub probes: Vec<Watch>,
    /// The names of the checks that must have an answer.
    pub checks: Vec<String>,
    /// The runbook.
    #[serde(default)]
    pub runbook: Vec<StepTerms>,
    /// How long the service must stay good before it counts as back.
    pub stable: Span,
    /// How many good answers in a row at least.
    pub streak: usize,
    /// How long recovery may take before watching ends.
    pub recovery: Span,
    /// Does a workload write marks?
    pub workload: bool,
}

impl Terms {
    /// When a service counts as down, and when as back.
    pub fn rule(&self) -> StreakRule {
        StreakRule { streak: self.streak.max(1), stable: self.stable.0 }
    }
}
