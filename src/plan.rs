//! The plan: what will be done, with everything resolved; nothing is left to choose while running.
//!
//! It is plain to read (`plan.yaml` in the run's folder) and has a digest that goes into the evidence.

use crate::check::Check;
use crate::engine::Engine;
use crate::environment::Place;
use crate::fault::Fault;
use crate::kind::Chosen;
use crate::model::{Span, Terms};
use crate::probe::Probe;
use crate::recovery::Step;
use crate::workload::Workload;
use serde::Serialize;

/// What will be done.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// What was promised and how it is watched.
    pub terms: Terms,
    /// Where.
    pub environment: Chosen<dyn Place>,
    /// Size of the seed; 1 is 50 experiments of 40 runs.
    pub scale: f64,
    /// Backups, if any.
    pub protect: Option<Protect>,
    /// Clients that write, if any.
    pub workload: Option<Chosen<dyn Workload>>,
    /// The questions asked, in the order of `terms.probes`.
    pub probes: Vec<Chosen<dyn Probe>>,
    /// What must be so afterwards.
    pub checks: Vec<Chosen<dyn Check>>,
    /// What goes wrong.
    pub faults: Vec<Chosen<dyn Fault>>,
    /// The runbook.
    pub steps: Vec<PlannedStep>,
    /// Deadlines.
    pub limits: Limits,
    /// What each fault hits.
    pub targets: Vec<Vec<String>>,
}

/// Backups on a schedule.
#[derive(Debug, Clone, Serialize)]
pub struct Protect {
    /// By what.
    pub engine: Chosen<dyn Engine>,
    /// From the beginning of one to the beginning of the next.
    pub every: Span,
}

/// A step with its settings resolved.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedStep {
    /// Its id.
    pub id: String,
    /// When it counts as failed.
    pub deadline: Span,
    /// How often it is tried again after a failure.
    pub retry: u32,
    /// What.
    pub step: Chosen<dyn Step>,
}

/// Every wait has one of these.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// How long the steady state is watched before the fault.
    pub baseline: Span,
    /// From the bite to a stable service.
    pub recovery: Span,
    /// The whole drill.
    pub drill: Span,
}

impl Plan {
    /// The plan as YAML, as it is kept in the run's folder.
    pub fn yaml(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_default()
    }

    /// Digest of the plan.
    pub fn digest(&self) -> String {
        blake3::hash(self.yaml().as_bytes()).to_hex().to_string()
    }
}
