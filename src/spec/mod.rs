//! Drill and scenario files: read, checked and decided, with every problem shown at once.
//!
//! Apart from the kinds, which know only what stands behind their own key: here is what stands around them.
//! Not here: anything that asks the world; the survey does that, and `run` acts.

pub mod catalogue;
pub mod drill;
mod elsewhere;
pub mod raw;
pub mod resolve;
mod runbook;
pub mod scenario;
pub mod schema;
pub mod wrong;

use crate::node::{self, Node, Problem, nearest};
use crate::plan::Plan;
use std::fs;
use std::path::{Path, PathBuf};

pub use drill::Drill;
pub use resolve::resolve;
pub use scenario::Scenario;
pub use wrong::{Wrong, WrongFile};

/// A drill with its scenario, as written.
#[derive(Debug, Clone)]
pub struct Script {
    /// Where the drill stands.
    pub drill_path: PathBuf,
    /// The drill.
    pub drill: Drill,
    /// Where its scenario stands.
    pub scenario_path: PathBuf,
    /// Its scenario.
    pub scenario: Scenario,
}

/// Reads a drill and its scenario.
///
/// # Errors
/// All that is wrong with either file.
pub fn load(path: &Path) -> Result<Script, Wrong> {
    load_in(path, None)
}

/// As [`load`], in another environment than the drill names: a kind, `KIND` or `KIND: {…}`.
///
/// # Errors
/// All that is wrong with the environment, or else with either file.
pub fn load_in(path: &Path, environment: Option<&str>) -> Result<Script, Wrong> {
    let mut problems = vec![];
    let named = environment.map(elsewhere::named).transpose()?;
    let Some(mut root) = open(path, &mut problems) else { return Err(Wrong::one(path, problems)) };
    if let Some(environment) = named {
        elsewhere::move_to(&mut root, environment);
    }
    read_script(path, &root, problems)
}

/// Reads a drill and its scenario and decides everything.
///
/// # Errors
/// All that is wrong with either file, or with the two together.
pub fn plan(path: &Path) -> Result<Plan, Wrong> {
    plan_in(path, None)
}

/// As [`plan`], in another environment than the drill names.
///
/// # Errors
/// As [`load_in`] and [`resolve`].
pub fn plan_in(path: &Path, environment: Option<&str>) -> Result<Plan, Wrong> {
    resolve(&load_in(path, environment)?)
}

/// Checks a file, a drill (with its scenario, and in another environment, if one is named) or a scenario: its keys
/// tell which.
///
/// # Errors
/// All that is wrong.
pub fn check(path: &Path, environment: Option<&str>) -> Result<(), Wrong> {
    let mut problems = vec![];
    let named = environment.map(elsewhere::named).transpose()?;
    let Some(mut root) = open(path, &mut problems) else { return Err(Wrong::one(path, problems)) };
    if root.get("faults").is_some() && root.get("drill").is_none() {
        if let Some(scenario) = scenario::read_scenario(&root, &mut problems) {
            runbook::link(&scenario.steps, &mut problems);
        }
        return if problems.is_empty() { Ok(()) } else { Err(Wrong::one(path, problems)) };
    }
    if let Some(environment) = named {
        elsewhere::move_to(&mut root, environment);
    }
    resolve(&read_script(path, &root, problems)?).map(|_| ())
}

fn read_script(path: &Path, root: &Node, mut problems: Vec<Problem>) -> Result<Script, Wrong> {
    let drill = drill::read_drill(root, &mut problems);
    let (mut scenario, mut scenario_path, mut theirs) = (None, PathBuf::new(), vec![]);
    if let Some(node) = root.get("scenario").filter(|node| node.text().is_some()) {
        scenario_path = scenario_file(path, node.text().unwrap_or_default());
        if scenario_path.is_file() {
            scenario = open(&scenario_path, &mut theirs).and_then(|root| scenario::read_scenario(&root, &mut theirs));
        } else {
            problems.push(absent(node, &scenario_path));
        }
    }
    match (drill, scenario) {
        (Some(drill), Some(scenario)) if problems.is_empty() && theirs.is_empty() => {
            Ok(Script { drill_path: path.to_owned(), drill, scenario_path, scenario })
        }
        _ => Err(Wrong::new([(path.to_owned(), problems), (scenario_path, theirs)])),
    }
}

/// `NAME` is `scenarios/NAME.yaml` beside the drill's folder; with a slash or an ending it is a path from there.
fn scenario_file(drill: &Path, name: &str) -> PathBuf {
    let folder = drill.parent().unwrap_or(Path::new(""));
    let is_path = name.contains('/') || Path::new(name).extension().is_some_and(|e| e == "yaml" || e == "yml");
    if is_path {
        return folder.join(name);
    }
    let above = match folder.file_name() {
        Some(_) => folder.parent().unwrap_or(Path::new("")).to_owned(),
        None => folder.join(".."), // `x.yaml`, `../x.yaml`: the folder's own name is not written
    };
    above.join("scenarios").join(format!("{name}.yaml"))
}

fn absent(node: &Node, path: &Path) -> Problem {
    let name = node.text().unwrap_or_default();
    let problem = Problem::new(node, format!("there is no scenario `{name}`: `{}` is missing", path.display()));
    let known = beside(path);
    let near = nearest(name, known.iter().map(String::as_str));
    problem.hint(near.map_or_else(|| "write it first".into(), |n| format!("did you mean `{n}`?")))
}

fn open(path: &Path, problems: &mut Vec<Problem>) -> Option<Node> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let known = beside(path);
            let problem = Problem::whole(format!("cannot be read: {error}"));
            problems.push(match nearest(&stem, known.iter().map(String::as_str)) {
                Some(near) => problem.hint(format!("did you mean `{near}.yaml`?")),
                None => problem,
            });
            return None;
        }
    };
    node::parse(&text).map_err(|problem| problems.push(problem)).ok()
}

/// The names of the YAML files in a file's folder.
fn beside(path: &Path) -> Vec<String> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .filter_map(|p| p.file_stem().map(|s| s.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// Is it a name: small letters, digits and hyphens? It becomes a folder's name and part of other names.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Notes a problem if a name is none.
pub(crate) fn expect_name(what: &str, node: &Node, problems: &mut Vec<Problem>) {
    if let Some(text) = node.text().filter(|text| !is_name(text)) {
        let problem = Problem::new(node, format!("`{text}` is no name for a {what}"));
        problems.push(problem.hint("use small letters, digits and hyphens"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_stands_beside_the_folder_of_its_drill() {
        for (drill, name, path) in [
            ("drills/a.yaml", "b", "scenarios/b.yaml"),
            ("/x/drills/a.yaml", "b", "/x/scenarios/b.yaml"),
            ("a.yaml", "b", "../scenarios/b.yaml"),
            ("../a.yaml", "b", "../../scenarios/b.yaml"),
            ("drills/a.yaml", "./b.yaml", "drills/./b.yaml"),
            ("drills/a.yaml", "b.yaml", "drills/b.yaml"),
        ] {
            assert_eq!(scenario_file(Path::new(drill), name), Path::new(path), "{drill} {name}");
        }
    }
}
