//! A scenario as written: what goes wrong, and the runbook that mends it.
//!
//! It knows no environment and no numbers but defaults; a drill brings those.

use super::expect_name;
use super::raw::{Raw, one_of};
use crate::fault::{FAULTS, Fault};
use crate::kind::{Chosen, pick_beside};
use crate::model::{At, Objectives, Period, Phase, When};
use crate::node::{Node, Problem, Value, read};
use crate::recovery::{STEPS, Step};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// What goes wrong, and the runbook.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file's tree, for the positions of later problems.
    pub root: Node,
    /// Its name.
    pub name: String,
    /// What it is about, in plain words.
    pub about: String,
    /// What goes wrong; at least one.
    pub faults: Vec<TimedFault>,
    /// The runbook.
    pub steps: Vec<WrittenStep>,
    /// Defaults that a drill may override.
    pub objectives: Objectives,
}

/// A fault with its time.
#[derive(Debug, Clone, Serialize)]
pub struct TimedFault {
    /// When it strikes.
    pub at: At,
    /// What.
    pub fault: Chosen<dyn Fault>,
}

/// A line of the runbook, as written.
#[derive(Debug, Clone)]
pub struct WrittenStep {
    /// Where it stands.
    pub node: Node,
    /// What.
    pub step: Chosen<dyn Step>,
    /// What stands beside it.
    pub settings: Settings,
}

/// The keys that any step may have beside its kind.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its name in the report; by default its kind and component.
    #[serde(default)]
    pub id: Option<String>,
    /// The ids of earlier steps that must have ended before it begins; by default that of the step before it. With an
    /// empty list it begins at once.
    #[serde(default)]
    pub after: Option<Vec<String>>,
    /// `done`: carried out if all steps that it comes after met; `failed`: if one of them did not; `always`.
    #[serde(default)]
    pub when: When,
    /// When it counts as failed; by default the drill's limit for the recovery.
    #[serde(default)]
    pub deadline: Option<Period>,
    /// How often it is tried again after a failure.
    #[serde(default)]
    pub retry: u32,
    /// May it fail? Then the steps after it go on, and its failure is a caveat; by default it may not.
    #[serde(default)]
    pub optional: bool,
}

/// The keys that any fault may have beside its kind.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Timing {
    /// When it strikes: `disaster+2s`, or `recovery+5s` while the runbook is followed; by default `disaster`.
    #[serde(default)]
    at: At,
}

/// The keys of [`Settings`].
pub(super) const BESIDE_STEP: &[&str] = &["id", "after", "when", "deadline", "retry", "optional"];
/// The keys of [`Timing`].
pub(super) const BESIDE_FAULT: &[&str] = &["at"];

/// A scenario: what goes wrong, and the runbook that mends it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a scenario's keys")]
#[schemars(title = "Lifeboat scenario")]
pub(super) struct ScenarioFile {
    /// Its name: small letters, digits and hyphens.
    scenario: String,
    /// What it is about, in plain words.
    #[serde(default)]
    about: String,
    /// What goes wrong, in this order where nothing else is said.
    #[allow(dead_code)] // read by its kinds
    #[schemars(schema_with = "faults")]
    faults: Vec<Raw>,
    /// The runbook, in this order where nothing else is said.
    #[allow(dead_code)] // read by its kinds
    #[serde(default)]
    #[schemars(schema_with = "steps")]
    recovery: Vec<Raw>,
    /// What is promised, unless a drill says otherwise.
    #[serde(default)]
    objectives: Objectives,
}

/// Reads a scenario; nothing if there was a problem.
pub(super) fn read_scenario(root: &Node, problems: &mut Vec<Problem>) -> Option<Scenario> {
    let before = problems.len();
    let file = read::<ScenarioFile>(root, problems);
    let items = |key: &str| root.get(key).map(Node::items).unwrap_or_default();
    let faults: Vec<_> = items("faults").iter().filter_map(|node| read_fault(node, problems)).collect();
    let steps = items("recovery").iter().filter_map(|node| read_step(node, problems)).collect();
    if let Some(node) = root.get("scenario") {
        expect_name("scenario", node, problems);
    }
    if let Some(node) = root.get("faults").filter(|node| matches!(&node.value, Value::List(l) if l.is_empty())) {
        problems.push(Problem::new(node, "no fault: nothing goes wrong").hint("`lifeboat kinds` lists the faults"));
    }
    first_strike(&faults, items("faults"), problems);
    let file = file.filter(|_| problems.len() == before)?;
    let ScenarioFile { scenario: name, about, objectives, .. } = file;
    Some(Scenario { root: root.clone(), name, about, faults, steps, objectives })
}

fn read_fault(node: &Node, problems: &mut Vec<Problem>) -> Option<TimedFault> {
    let fault = pick_beside("fault", FAULTS, BESIDE_FAULT, node, problems);
    let timing = read::<Timing>(&node.only(|key| BESIDE_FAULT.contains(&key)), problems);
    Some(TimedFault { at: timing?.at, fault: fault? })
}

/// A recovery needs something to recover from.
fn first_strike(faults: &[TimedFault], nodes: &[Node], problems: &mut Vec<Problem>) {
    let late = faults.len() == nodes.len() && faults.iter().all(|planned| planned.at.phase != Phase::Disaster);
    if let Some(at) = nodes.first().and_then(|node| node.get("at")).filter(|_| late) {
        let problem = Problem::new(at, "every fault waits for the recovery: nothing goes wrong at first");
        problems.push(problem.hint("leave out `at` of one of them, or write `at: disaster`"));
    }
}

fn read_step(node: &Node, problems: &mut Vec<Problem>) -> Option<WrittenStep> {
    let step = pick_beside("step", STEPS, BESIDE_STEP, node, problems);
    let settings = read::<Settings>(&node.only(|key| BESIDE_STEP.contains(&key)), problems);
    if let Some(id) = node.get("id") {
        expect_name("step", id, problems);
    }
    Some(WrittenStep { node: node.clone(), step: step?, settings: settings? })
}

fn faults(g: &mut SchemaGenerator) -> Schema {
    let one = one_of::<_, Timing>(FAULTS, g);
    schemars::json_schema!({ "type": "array", "minItems": 1, "items": one })
}

fn steps(g: &mut SchemaGenerator) -> Schema {
    let one = one_of::<_, Settings>(STEPS, g);
    schemars::json_schema!({ "type": "array", "items": one })
}
