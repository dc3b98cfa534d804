//! A drill as written: where, protected by what, watched how, and what was promised.

use super::expect_name;
use super::protect::{self, Protect, read_protect};
use super::protection::Protection;
use super::raw::{Alone, Raw, one_of};
use crate::check::{CHECKS, Check};
use crate::environment::{ENVIRONMENTS, Environment, Power};
use crate::kind::{Chosen, Kind, pick};
use crate::model::{Depth, Expected, Objectives, Period};
use crate::node::{Node, Problem, read};
use crate::probe::{PROBES, Probe};
use crate::workload::{WORKLOADS, Workload};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One run, as written.
#[derive(Debug, Clone)]
pub struct Drill {
    /// The file's tree, for the positions of later problems.
    pub root: Node,
    /// Its name.
    pub name: String,
    /// What it is about; may be empty.
    pub about: String,
    /// The lines of the runbooks' demands that it tries.
    pub requirements: Vec<String>,
    /// The result that it is written for.
    pub expected: Expected,
    /// What is promised; goes before the scenario's.
    pub objectives: Objectives,
    /// How long the service must stay good before it counts as back.
    pub stable: Period,
    /// How many good answers in a row at least.
    pub streak: usize,
    /// What goes into the plan as it is.
    pub setup: Setup,
}

/// Where a drill happens, what is at work while it goes on, and its deadlines: written in the drill, carried out as
/// written.
#[derive(Debug, Clone, Serialize)]
pub struct Setup {
    /// Where.
    pub environment: Chosen<dyn Environment>,
    /// Size of the seed; 1 is 50 experiments of 40 runs.
    pub scale: f64,
    /// Backups, if any.
    pub protect: Option<Protect>,
    /// Clients that write, if any.
    pub workload: Option<Chosen<dyn Workload>>,
    /// The questions asked; at least one.
    pub probes: Vec<Chosen<dyn Probe>>,
    /// What must be so afterwards.
    pub checks: Vec<Chosen<dyn Check>>,
    /// Deadlines.
    pub limits: Limits,
}

impl Setup {
    /// Is the platform filled with data? Only where it has a database and a bucket, and somebody asks for data: a check,
    /// or a probe that reads. Never where others' data are.
    pub fn seeds(&self) -> bool {
        let powers = self.environment.powers();
        let seedable = [Power::Sql, Power::Objects].iter().all(|power| powers.contains(power));
        let asked = !self.checks.is_empty() || self.probes.iter().any(|probe| probe.watch().depth > Depth::Health);
        seedable && asked && self.scale > 0.0 && !self.environment.standing()
    }
}

/// A drill: one rehearsal of a scenario in an environment.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a drill's keys")]
#[schemars(title = "Lifeboat drill")]
#[allow(dead_code)] // what is raw is read by its kinds
pub(super) struct DrillFile {
    /// Its name: small letters, digits and hyphens.
    drill: String,
    /// What it is about, in plain words; by default what the scenario says.
    #[serde(default)]
    about: String,
    /// The lines of your runbooks' demands that it tries, by their ids; they go into reports and tables.
    #[serde(default)]
    requirements: Vec<String>,
    /// The result that it is written for: `met`, or `{ missed: [rto] }` for a drill that shows what does not suffice.
    #[serde(default)]
    #[schemars(schema_with = "expected")]
    expected: Option<Raw>,
    /// `NAME` for `scenarios/NAME.yaml` beside the drill's folder, or a path from the drill's folder.
    scenario: String,
    /// Where it happens.
    #[schemars(schema_with = "environment")]
    environment: Raw,
    /// Size of the seed; 1 is 50 experiments of 40 runs.
    #[serde(default = "one")]
    scale: f64,
    /// Backups on a schedule; or the path of a protection's file, from the drill's folder, whose engine and repositories
    /// are used.
    #[serde(default)]
    #[schemars(schema_with = "protect::schema")]
    protect: Option<Raw>,
    /// Clients that write before and during the drill.
    #[serde(default)]
    #[schemars(schema_with = "workload")]
    workload: Option<Raw>,
    /// The questions asked again and again, each at a depth of its own.
    #[schemars(schema_with = "probes")]
    probes: Vec<Raw>,
    /// What must be so after the recovery; by default all checks that the environment has the powers for.
    #[serde(default)]
    #[schemars(schema_with = "checks")]
    checks: Vec<Raw>,
    /// What is promised.
    #[serde(default)]
    objectives: Objectives,
    /// Deadlines.
    #[serde(default)]
    limits: Limits,
    /// How long the service must stay good before it counts as back.
    #[serde(default = "stable")]
    stable: Period,
    /// How many good answers in a row at least.
    #[serde(default = "streak")]
    streak: usize,
}

/// Deadlines: every wait has one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "`baseline`, `recovery` and `drill`")]
pub struct Limits {
    /// How long the steady state is watched before the fault.
    pub baseline: Period,
    /// From the onset to a stable service.
    pub recovery: Period,
    /// The whole drill, from the moment the platform serves.
    pub drill: Period,
}

impl Default for Limits {
    fn default() -> Self {
        Self { baseline: Period::seconds(8), recovery: Period::seconds(300), drill: Period::seconds(900) }
    }
}

/// Reads a drill; nothing if there was a problem.
pub(super) fn read_drill(root: &Node, protection: Option<Protection>, problems: &mut Vec<Problem>) -> Option<Drill> {
    let before = problems.len();
    let file = read::<DrillFile>(root, problems);
    let given = |key: &str| root.get(key).filter(|node| !node.is_null());
    let environment = given("environment").and_then(|node| pick("environment", ENVIRONMENTS, node, problems));
    let protect = given("protect").and_then(|node| read_protect(node, protection, problems));
    let workload = given("workload").and_then(|node| pick("workload", WORKLOADS, node, problems));
    let probes = list("probe", PROBES, root.get("probes"), problems);
    let checks = match (root.get("checks"), &environment) {
        (None, Some(environment)) => all_checks(root, &environment.powers()),
        (checks, _) => list("check", CHECKS, checks, problems),
    };
    let expected = read_expected(given("expected"), problems);
    if let Some(node) = root.get("drill") {
        expect_name("drill", node, problems);
    }
    for (key, text, hint) in [
        ("environment", "expected an environment", "such as `local: {}`"),
        ("workload", "nobody writes anything", "leave out `workload`, or name one, such as `mlflow: { runs: 5/s }`"),
    ] {
        let empty = root.get(key).filter(|node| node.is_null());
        problems.extend(empty.map(|node| Problem::new(node, text).hint(hint)));
    }
    let repositories = protect.as_ref().is_some_and(|protect| !protect.kept.settings.is_empty());
    if repositories && environment.as_ref().is_some_and(|it| it.standing()) {
        let text = "the points of a standing platform stay in the run's folder, and are in no repository";
        let problem = Problem::new(root.at(&["protect"]), text);
        problems.push(problem.hint("write `protect: { engine: …, every: … }` without repositories"));
    }
    if let Some(file) = &file {
        numbers(file, root, problems);
    }
    let file = file.filter(|_| problems.len() == before)?;
    let (environment, scale, limits) = (environment?, file.scale, file.limits);
    Some(Drill {
        root: root.clone(),
        name: file.drill,
        about: file.about,
        requirements: file.requirements,
        expected: expected?,
        objectives: file.objectives,
        stable: file.stable,
        streak: file.streak,
        setup: Setup { environment, scale, protect, workload, probes, checks, limits },
    })
}

/// `met`, or what must miss by name: a drill that misses for another reason is not what it was written for.
fn read_expected(node: Option<&Node>, problems: &mut Vec<Problem>) -> Option<Expected> {
    let Some(node) = node else { return Some(Expected::Met) };
    let named = node.get("missed").filter(|_| node.entries().len() == 1);
    let what = named.and_then(|named| read::<Vec<String>>(named, &mut vec![])).filter(|what| !what.is_empty());
    match (node.text(), what) {
        (Some("met"), _) => Some(Expected::Met),
        (_, Some(what)) => Some(Expected::Missed(what)),
        (text, None) => {
            let found = text.map_or_else(|| node.told(), |text| format!("`{text}`"));
            let text = format!("expected `met` or the names of what must miss, found {found}");
            problems.push(Problem::new(node, text).hint("such as `expected: { missed: [rto] }`"));
            None
        }
    }
}

fn list<T: ?Sized>(
    seam: &str,
    kinds: &'static [Kind<T>],
    node: Option<&Node>,
    problems: &mut Vec<Problem>,
) -> Vec<Chosen<T>> {
    node.map(Node::items).unwrap_or_default().iter().filter_map(|node| pick(seam, kinds, node, problems)).collect()
}

/// The checks whose needs these powers satisfy, with their own defaults: what a drill has that does not name its checks.
fn all_checks(root: &Node, powers: &[Power]) -> Vec<Chosen<dyn Check>> {
    let node = root.empty();
    let chosen = |kind: &Kind<dyn Check>| {
        let it = (kind.parse)(&node, &mut vec![])?;
        Some(Chosen::<dyn Check> { name: kind.name, node: node.clone(), it: Arc::from(it) })
    };
    CHECKS.iter().filter_map(chosen).filter(|check| check.needs().iter().all(|power| powers.contains(power))).collect()
}

/// Numbers that have a type but no sense, and lists that have too little in them.
fn numbers(file: &DrillFile, root: &Node, problems: &mut Vec<Problem>) {
    let mut refuse = |bad: bool, key: &str, text: &str, hint: &str| {
        if bad {
            problems.push(Problem::new(root.at(&[key]), format!("`{key}` {text}")).hint(hint));
        }
    };
    refuse(!(file.scale > 0.0 && file.scale.is_finite()), "scale", "must be above 0", "1 is the usual size");
    refuse(file.streak == 0, "streak", "must be at least 1", "3 is usual");
    refuse(file.probes.is_empty(), "probes", "is empty: nobody would see an outage", "`lifeboat kinds` lists probes");
}

fn one() -> f64 {
    1.0
}
fn stable() -> Period {
    Period::seconds(3)
}
fn streak() -> usize {
    3
}

fn expected(_: &mut SchemaGenerator) -> Schema {
    let missed = json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string" } });
    let named = json_schema!({
        "type": "object", "properties": { "missed": missed }, "required": ["missed"], "additionalProperties": false,
    });
    json_schema!({ "oneOf": [{ "type": "string", "enum": ["met"] }, named] })
}
fn environment(g: &mut SchemaGenerator) -> Schema {
    one_of::<_, Alone>(ENVIRONMENTS, g)
}
fn workload(g: &mut SchemaGenerator) -> Schema {
    one_of::<_, Alone>(WORKLOADS, g)
}
fn probes(g: &mut SchemaGenerator) -> Schema {
    let one = one_of::<_, Alone>(PROBES, g);
    json_schema!({ "type": "array", "minItems": 1, "items": one })
}
fn checks(g: &mut SchemaGenerator) -> Schema {
    let one = one_of::<_, Alone>(CHECKS, g);
    json_schema!({ "type": "array", "items": one })
}
