//! The plan: what will be done, with everything resolved; nothing is left to choose while running.
//!
//! It is plain to read (`plan.yaml` in the run's folder) and has a digest that goes into the evidence.

mod repositories;
mod resolve;
mod runbook;
mod survey;
mod way_back;

pub use resolve::resolve;
pub use survey::survey;

use crate::kind::Chosen;
use crate::model::{Period, Phase, Terms, When};
use crate::recovery::Step;
use crate::spec::{self, Setup, TimedFault, Written, Wrong};
use serde::Serialize;
use std::path::Path;

/// What will be done.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// What was promised and how it is watched.
    pub terms: Terms,
    /// Where, what is at work beside the disaster, and the deadlines.
    #[serde(flatten)]
    pub setup: Setup,
    /// What goes wrong, in the order written.
    pub faults: Vec<TimedFault>,
    /// The runbook.
    pub steps: Vec<PlannedStep>,
    /// What each fault hits.
    pub targets: Vec<Vec<String>>,
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
    pub deadline: Period,
    /// How often it is tried again after a failure.
    pub retry: u32,
    /// May it fail?
    pub optional: bool,
    /// What.
    pub step: Chosen<dyn Step>,
}

/// Reads a drill and its scenario and decides everything.
///
/// # Errors
/// All that is wrong with either file, or with the two together.
pub fn load(path: &Path) -> Result<Plan, Wrong> {
    load_in(path, None)
}

/// As [`load`], in another environment than the drill names: a kind, `KIND` or `KIND: {…}`.
///
/// # Errors
/// As [`spec::load_in`] and [`resolve`].
pub fn load_in(path: &Path, environment: Option<&str>) -> Result<Plan, Wrong> {
    resolve(spec::load_in(path, environment)?)
}

/// Checks a file: a drill with its scenario, in another environment if one is named, or a scenario alone.
///
/// # Errors
/// All that is wrong.
pub fn check(path: &Path, environment: Option<&str>) -> Result<(), Wrong> {
    checked(spec::read(path, environment)?)
}

/// As [`check`], for a text that was read from elsewhere than a file and names its scenario as a file in `drills` would.
///
/// # Errors
/// All that is wrong; it is told of as `-`.
pub fn check_bytes(bytes: Vec<u8>, environment: Option<&str>) -> Result<(), Wrong> {
    checked(spec::read_bytes(bytes, environment)?)
}

fn checked(written: Written) -> Result<(), Wrong> {
    match written {
        Written::Drill(spec) => resolve(*spec).map(|_| ()),
        Written::Scenario(path, scenario) => {
            let mut problems = vec![];
            runbook::link(&scenario.steps, &mut problems);
            if problems.is_empty() { Ok(()) } else { Err(Wrong::one(&path, problems)) }
        }
    }
}

impl Plan {
    /// The plan as YAML, as it is kept in the run's folder.
    pub fn yaml(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_default()
    }

    /// The faults that strike in a phase, in the order of their times.
    pub fn faults_in(&self, phase: Phase) -> Vec<(usize, &TimedFault)> {
        let mut faults: Vec<_> =
            self.faults.iter().enumerate().filter(|(_, planned)| planned.at.phase == phase).collect();
        faults.sort_by_key(|(_, planned)| planned.at); // stable: ties stay in the order written
        faults
    }

    /// Digest of the plan.
    pub fn digest(&self) -> String {
        blake3::hash(self.yaml().as_bytes()).to_hex().to_string()
    }
}
