//! The plan: what will be done, with everything resolved; nothing is left to choose while running.
//!
//! It is plain to read (`plan.yaml` in the run's folder) and has a digest that goes into the evidence.

use crate::check::Check;
use crate::engine::Engine;
use crate::environment::{Environment, Inventory, Permission};
use crate::fault::{Fault, Nature};
use crate::kind::Chosen;
use crate::model::{At, Phase, Span, Terms};
use crate::probe::Probe;
use crate::recovery::Step;
use crate::workload::Workload;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What will be done.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// What was promised and how it is watched.
    pub terms: Terms,
    /// Where.
    pub environment: Chosen<dyn Environment>,
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
    /// What goes wrong, in the order written.
    pub faults: Vec<PlannedFault>,
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

/// A fault with its time.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedFault {
    /// When it strikes.
    pub at: At,
    /// What.
    pub fault: Chosen<dyn Fault>,
}

/// A step with its settings resolved.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedStep {
    /// Its id.
    pub id: String,
    /// The ids of the steps that end before it begins.
    pub after: Vec<String>,
    /// On what it depends whether it is carried out.
    pub when: When,
    /// When it counts as failed.
    pub deadline: Span,
    /// How often it is tried again after a failure.
    pub retry: u32,
    /// What.
    pub step: Chosen<dyn Step>,
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

/// Every wait has one of these.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// How long the steady state is watched before the fault.
    pub baseline: Span,
    /// From the onset to a stable service.
    pub recovery: Span,
    /// The whole drill, from the moment the platform serves.
    pub drill: Span,
}

impl Plan {
    /// The plan as YAML, as it is kept in the run's folder.
    pub fn yaml(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_default()
    }

    /// The faults that strike in a phase, in the order of their times.
    pub fn faults_in(&self, phase: Phase) -> Vec<(usize, &PlannedFault)> {
        let mut faults: Vec<_> =
            self.faults.iter().enumerate().filter(|(_, planned)| planned.at.phase == phase).collect();
        faults.sort_by_key(|(_, planned)| planned.at); // stable: ties stay in the order written
        faults
    }

    /// What the place must allow for the engine, the faults and the steps, each once.
    pub fn permissions(&self) -> Vec<Permission> {
        let faults = self.faults.iter().flat_map(|planned| planned.fault.permissions());
        let steps = self.steps.iter().flat_map(|planned| planned.step.permissions());
        let engine = self.protect.iter().flat_map(|protect| protect.engine.permissions());
        engine.chain(faults).chain(steps).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Takes the targets from what is really there; answers what hits nothing.
    pub fn aim(&mut self, inventory: &Inventory) -> Vec<String> {
        self.targets = self.faults.iter().map(|planned| planned.fault.targets(inventory)).collect();
        let missed = self.faults.iter().zip(&self.targets).filter(|(_, targets)| targets.is_empty());
        missed.map(|(planned, _)| format!("the fault `{}` hits nothing that is there", planned.fault.name)).collect()
    }

    /// What forbids it, whatever the place says: on a standing platform, damage needs a way back.
    pub fn refusals(&self) -> Vec<String> {
        let damage = self.faults.iter().find(|planned| planned.fault.nature() == Nature::Damage);
        let damage = damage.filter(|_| self.environment.standing() && self.protect.is_none());
        let text = |planned: &PlannedFault| {
            format!(
                "the fault `{}` does damage to a standing platform, and the drill has no `protect`: \
                 what is broken could not be mended",
                planned.fault.name
            )
        };
        damage.map(text).into_iter().collect()
    }

    /// Digest of the plan.
    pub fn digest(&self) -> String {
        blake3::hash(self.yaml().as_bytes()).to_hex().to_string()
    }
}
