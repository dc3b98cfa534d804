//! What a run promised and how it watched: all that judging needs beside the facts.

use super::{Period, Span, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much of the service an answer proves; each depth is deeper than the one before.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, strum::Display,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// It answers at all. MLflow's `/health` stays 200 with its database gone.
    Health,
    /// A known run is read by id and compared.
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

fn met() -> Verdict {
    Verdict::Met
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
    /// The verdict that it is written for.
    #[serde(default = "met")]
    pub expected: Verdict,
    /// The kind of the environment.
    pub environment: String,
    /// What was promised; `at` is resolved.
    pub objectives: Objectives,
    /// The probes in their order; answers name them by index.
    pub probes: Vec<Watch>,
    /// The names of the checks that must have an answer.
    pub checks: Vec<String>,
    /// How long the service must stay good before it counts as back.
    pub stable: Span,
    /// How many good answers in a row at least.
    pub streak: usize,
    /// How long recovery may take before watching ends.
    pub recovery: Span,
    /// Does a workload write marks?
    pub workload: bool,
}
