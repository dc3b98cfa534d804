//! A drill's `protect`: what takes its backups, how often, and in which repositories its points are kept.
//!
//! Apart from the drill because a protection's file may say all of it, which has problems at places of its own. Not here:
//! the platform that such a file names. A drill backs up the platform that it was given.

use super::protection::{Protection, load_protection, read_repositories};
use super::raw::{Alone, Raw, one_of};
use super::{Wrong, absent_file};
use crate::engine::{ENGINES, Engine};
use crate::kind::{Chosen, pick};
use crate::model::Period;
use crate::node::{Node, Problem, read};
use crate::repository::{self, RepositorySettings};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Backups on a schedule.
#[derive(Debug, Clone, Serialize)]
pub struct Protect {
    /// By what.
    pub engine: Chosen<dyn Engine>,
    /// From the beginning of one to the beginning of the next.
    pub every: Period,
    /// Where the points are kept.
    #[serde(flatten)]
    pub kept: DrillRepositories,
}

/// The repositories in which a drill keeps its points; without any, they are in the run's folder.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DrillRepositories {
    /// The protection whose file names them: they hold its own points, and are there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<String>,
    /// In the order of the file: a restore takes the first that has the point.
    #[serde(rename = "repositories", skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<RepositorySettings>,
}

impl DrillRepositories {
    /// Those of a plan, as it is kept in a run's folder.
    pub fn of_plan(plan: &Node) -> Self {
        let Some(protect) = plan.get("protect") else { return Self::default() };
        let settings = protect.get("repositories").map(|node| read_repositories(node, &mut vec![]));
        let protection = protect.get("protection").and_then(Node::text).map(str::to_owned);
        Self { protection, settings: settings.unwrap_or_default() }
    }

    /// Are they the drill's own? Then a run makes those that are not there yet.
    pub fn own(&self) -> bool {
        self.protection.is_none()
    }
}

/// Backups on a schedule.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`engine`, `every` and `repositories`, or a protection's file")]
#[schemars(rename = "Protect")]
#[allow(dead_code)] // what is raw is read by its kinds
struct ProtectFile {
    /// By what.
    #[schemars(schema_with = "engine")]
    engine: Raw,
    /// From the beginning of one backup to the beginning of the next.
    #[serde(default = "every")]
    every: Period,
    /// Where the points are kept, each under a name of its own; a restore takes the first that has the point. Without it,
    /// they are in the run's folder.
    #[serde(default)]
    #[schemars(schema_with = "repositories")]
    repositories: Option<Raw>,
}

fn engine(g: &mut SchemaGenerator) -> Schema {
    one_of::<_, Alone>(ENGINES, g)
}

fn repositories(g: &mut SchemaGenerator) -> Schema {
    repository::list_schema(g)
}

fn every() -> Period {
    Period::seconds(5)
}

/// The schema of what stands behind `protect`.
pub(super) fn schema(g: &mut SchemaGenerator) -> Schema {
    let file =
        json_schema!({ "type": "string", "description": "The path of a protection's file, from the drill's folder." });
    let keys = g.subschema_for::<ProtectFile>();
    json_schema!({ "oneOf": [keys, file] })
}

/// The protection whose file `protect` names, if it names one: its path begins at the drill's folder.
///
/// # Errors
/// All that is wrong with that file.
pub(super) fn named(drill: &Path, root: &Node, problems: &mut Vec<Problem>) -> Result<Option<Protection>, Wrong> {
    let Some((node, name)) = root.get("protect").and_then(|node| Some((node, node.text()?))) else { return Ok(None) };
    let path = drill.parent().unwrap_or(Path::new("")).join(name);
    if path.is_file() {
        return load_protection(&path).map(Some);
    }
    problems.push(absent_file(node, "protection", &path));
    Ok(None)
}

/// Reads what stands behind `protect`; `protection` is what the file says that it names.
pub(super) fn read_protect(
    node: &Node,
    protection: Option<Protection>,
    problems: &mut Vec<Problem>,
) -> Option<Protect> {
    let before = problems.len();
    let protect = match protection {
        Some(Protection { name, mut engine, repositories: settings, every: due, .. }) => {
            engine.node.position = node.position; // what is wrong with it here is wrong in the drill
            let kept = DrillRepositories { protection: Some(name), settings };
            Some(Protect { engine, every: due.unwrap_or_else(every), kept })
        }
        None if node.text().is_some() => None, // its file has been told of
        None => inline(node, problems),
    }?;
    if !protect.kept.settings.is_empty() {
        let log = "the log of a drill's server is received into the run's folder, and its points stay beside it";
        let itself = "this engine keeps its points itself, and in no repository";
        let why = [(log, protect.engine.keeps_log()), (itself, !protect.engine.uses_repositories())];
        let hint = "use `builtin: { postgres: logical }`, or take the repositories out";
        let wrong = why.into_iter().find(|(_, wrong)| *wrong);
        problems.extend(wrong.map(|(text, _)| Problem::new(node, text).hint(hint)));
    }
    (problems.len() == before).then_some(protect)
}

fn inline(node: &Node, problems: &mut Vec<Problem>) -> Option<Protect> {
    let file = read::<ProtectFile>(node, problems);
    let engine = node.get("engine").and_then(|node| pick("engine", ENGINES, node, problems));
    let repositories = node.get("repositories").filter(|node| !node.is_null());
    let settings = repositories.map(|node| read_repositories(node, problems)).unwrap_or_default();
    let kept = DrillRepositories { protection: None, settings };
    Some(Protect { engine: engine?, every: file?.every, kept })
}
