//! A drill as written: where, protected by what, watched how, and what was promised.

use super::expect_name;
use super::raw::{Alone, Raw, one_of};
use crate::check::{CHECKS, Check};
use crate::engine::ENGINES;
use crate::environment::{ENVIRONMENTS, Environment};
use crate::kind::{Chosen, Kind, pick};
use crate::model::{Objectives, Span, Verdict};
use crate::node::{Node, Problem, Value, read};
use crate::plan::{Limits, Protect};
use crate::probe::{PROBES, Probe};
use crate::workload::{WORKLOADS, Workload};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// One run, as written.
#[derive(Debug, Clone)]
pub struct Drill {
    /// The file's tree, for the places of later problems.
    pub root: Node,
    /// Its name.
    pub name: String,
    /// What it is about; may be empty.
    pub about: String,
    /// The lines of the runbooks' demands that it tries.
    pub requirements: Vec<String>,
    /// The verdict that it is written for.
    pub expected: Verdict,
    /// Where.
    pub environment: Chosen<dyn Environment>,
    /// Size of the seed.
    pub scale: f64,
    /// Backups, if any.
    pub protect: Option<Protect>,
    /// Clients that write, if any.
    pub workload: Option<Chosen<dyn Workload>>,
    /// The questions asked; at least one.
    pub probes: Vec<Chosen<dyn Probe>>,
    /// What must be so afterwards.
    pub checks: Vec<Chosen<dyn Check>>,
    /// What is promised; goes before the scenario's.
    pub objectives: Objectives,
    /// Deadlines.
    pub limits: Limits,
    /// How long the service must stay good before it counts as back.
    pub stable: Span,
    /// How many good answers in a row at least.
    pub streak: usize,
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
    /// The verdict that it is written for: `missed` for a drill that shows what does not suffice.
    #[serde(default = "met")]
    expected: Verdict,
    /// `NAME` for `scenarios/NAME.yaml` beside the drill's folder, or a path from the drill's folder.
    scenario: String,
    /// Where it happens.
    #[schemars(schema_with = "environment")]
    environment: Raw,
    /// Size of the seed; 1 is 50 experiments of 40 runs.
    #[serde(default = "one")]
    scale: f64,
    /// Backups on a schedule.
    #[serde(default)]
    protect: Option<ProtectFile>,
    /// Clients that write before and during the drill.
    #[serde(default)]
    #[schemars(schema_with = "workload")]
    workload: Option<Raw>,
    /// The questions asked again and again, each at a depth of its own.
    #[schemars(schema_with = "probes")]
    probes: Vec<Raw>,
    /// What must be so after the recovery.
    #[serde(default)]
    #[schemars(schema_with = "checks")]
    checks: Vec<Raw>,
    /// What is promised.
    #[serde(default)]
    objectives: Objectives,
    /// Deadlines.
    #[serde(default)]
    limits: LimitsFile,
    /// How long the service must stay good before it counts as back.
    #[serde(default = "stable")]
    stable: Span,
    /// How many good answers in a row at least.
    #[serde(default = "streak")]
    streak: usize,
}

/// Backups on a schedule.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`engine` and `every`")]
#[schemars(rename = "Protect")]
struct ProtectFile {
    /// By what.
    #[allow(dead_code)] // read by its kind
    #[schemars(schema_with = "engine")]
    engine: Raw,
    /// From the beginning of one backup to the beginning of the next.
    #[serde(default = "every")]
    every: Span,
}

/// Deadlines: every wait has one.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "`baseline`, `recovery` and `drill`")]
#[schemars(rename = "Limits")]
struct LimitsFile {
    /// How long the steady state is watched before the fault.
    baseline: Span,
    /// From the onset to a stable service.
    recovery: Span,
    /// The whole drill, from the moment the platform serves.
    drill: Span,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self { baseline: Span::seconds(8), recovery: Span::seconds(300), drill: Span::seconds(900) }
    }
}

/// Reads a drill; nothing if there was a problem.
pub(super) fn read_drill(root: &Node, problems: &mut Vec<Problem>) -> Option<Drill> {
    let before = problems.len();
    let file = read::<DrillFile>(root, problems);
    let given = |key: &str| root.get(key).filter(|node| !matches!(node.value, Value::Null));
    let environment = given("environment").and_then(|node| pick("environment", ENVIRONMENTS, node, problems));
    let engine = given("protect").and_then(|n| n.get("engine")).and_then(|n| pick("engine", ENGINES, n, problems));
    let workload = given("workload").and_then(|node| pick("workload", WORKLOADS, node, problems));
    let probes = list("probe", PROBES, root.get("probes"), problems);
    let checks = list("check", CHECKS, root.get("checks"), problems);
    if let Some(node) = root.get("drill") {
        expect_name("drill", node, problems);
    }
    if let Some(node) = given("environment").is_none().then(|| root.get("environment")).flatten() {
        problems.push(Problem::new(node, "expected an environment").hint("such as `local: {}`"));
    }
    if let Some(file) = &file {
        numbers(file, root, problems);
    }
    let file = file.filter(|_| problems.len() == before)?;
    let limits = Limits { baseline: file.limits.baseline, recovery: file.limits.recovery, drill: file.limits.drill };
    let protect = file.protect.zip(engine).map(|(protect, engine)| Protect { engine, every: protect.every });
    Some(Drill {
        root: root.clone(),
        name: file.drill,
        about: file.about,
        requirements: file.requirements,
        expected: file.expected,
        environment: environment?,
        scale: file.scale,
        protect,
        workload,
        probes,
        checks,
        objectives: file.objectives,
        limits,
        stable: file.stable,
        streak: file.streak,
    })
}

fn list<T: ?Sized>(
    seam: &str,
    kinds: &'static [Kind<T>],
    node: Option<&Node>,
    problems: &mut Vec<Problem>,
) -> Vec<Chosen<T>> {
    node.map(Node::items).unwrap_or_default().iter().filter_map(|node| pick(seam, kinds, node, problems)).collect()
}

/// Numbers that have a type but no sense.
fn numbers(file: &DrillFile, root: &Node, problems: &mut Vec<Problem>) {
    let at = |keys: &[&str]| keys.iter().try_fold(root, |node, key| node.get(key)).unwrap_or(root);
    let mut refuse = |bad: bool, keys: &[&str], text: &str, hint: &str| {
        if bad {
            problems.push(Problem::new(at(keys), format!("`{}` {text}", keys.join("."))).hint(hint));
        }
    };
    let LimitsFile { baseline, recovery, drill } = file.limits;
    refuse(!(file.scale > 0.0 && file.scale.is_finite()), &["scale"], "must be above 0", "1 is the usual size");
    refuse(file.streak == 0, &["streak"], "must be at least 1", "3 is usual");
    refuse(
        file.probes.is_empty(),
        &["probes"],
        "is empty: nobody would see an outage",
        "`lifeboat kinds` lists probes",
    );
    for (span, keys) in [
        (Some(file.stable), &["stable"][..]),
        (Some(baseline), &["limits", "baseline"]),
        (Some(recovery), &["limits", "recovery"]),
        (Some(drill), &["limits", "drill"]),
        (file.protect.as_ref().map(|p| p.every), &["protect", "every"]),
    ] {
        refuse(span.is_some_and(|span| span.0.is_zero()), keys, "must be longer than no time", "such as 5s");
    }
}

fn met() -> Verdict {
    Verdict::Met
}
fn one() -> f64 {
    1.0
}
fn every() -> Span {
    Span::seconds(5)
}
fn stable() -> Span {
    Span::seconds(3)
}
fn streak() -> usize {
    3
}

fn environment(g: &mut SchemaGenerator) -> Schema {
    one_of::<_, Alone>(ENVIRONMENTS, g)
}
fn engine(g: &mut SchemaGenerator) -> Schema {
    one_of::<_, Alone>(ENGINES, g)
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
