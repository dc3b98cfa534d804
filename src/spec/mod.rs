//! Drill and scenario files: read and checked, with every problem shown at once.
//!
//! Apart from the kinds, which know only what stands behind their own key: here is what stands around them.
//! Not here: what a drill and its scenario come to together; `plan` decides that.

pub mod catalogue;
mod configuration;
mod drill;
mod elsewhere;
mod keep;
mod protect;
mod protection;
pub mod raw;
mod scenario;
pub mod schema;
mod wrong;

use crate::node::{self, Node, Problem, file, nearest};
use std::path::{Path, PathBuf};

pub use configuration::{Configuration, Seal};
pub use drill::{Drill, Limits, Setup};
pub use keep::Keep;
pub use protect::{DrillRepositories, Protect};
pub use protection::{Protection, Share, load_protection};
pub use scenario::{Scenario, Settings, TimedFault, WrittenStep};
pub use wrong::{Wrong, WrongFile};

/// A drill with its scenario, as written.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Where the drill stands.
    pub drill_path: PathBuf,
    /// The drill.
    pub drill: Drill,
    /// Where its scenario stands.
    pub scenario_path: PathBuf,
    /// Its scenario.
    pub scenario: Scenario,
}

/// What a file holds: its keys tell which.
#[derive(Debug, Clone)]
pub enum Written {
    /// A drill, with its scenario from another file.
    Drill(Box<Spec>),
    /// A scenario alone, with its file.
    Scenario(PathBuf, Box<Scenario>),
}

/// Reads a drill and its scenario.
///
/// # Errors
/// All that is wrong with either file.
pub fn load(path: &Path) -> Result<Spec, Wrong> {
    load_in(path, None)
}

/// As [`load`], in another environment than the drill names: a kind, `KIND` or `KIND: {…}`.
///
/// # Errors
/// All that is wrong with the environment, or else with either file.
pub fn load_in(path: &Path, environment: Option<&str>) -> Result<Spec, Wrong> {
    let environment = environment.map(elsewhere::named).transpose()?;
    let root = tree(path)?;
    if is_scenario(&root) {
        let problem = Problem::new(root.at(&["scenario"]), "this is a scenario, and a drill is needed");
        return Err(Wrong::one(path, vec![problem.hint("name the file of a drill that has it as its `scenario`")]));
    }
    read_drill(path, path, root, environment)
}

/// Reads a file, a drill (with its scenario, and in another environment, if one is named) or a scenario.
///
/// # Errors
/// All that is wrong with the environment, or else with the files.
pub fn read(path: &Path, environment: Option<&str>) -> Result<Written, Wrong> {
    let environment = environment.map(elsewhere::named).transpose()?;
    read_either(path, path, tree(path)?, environment)
}

/// As [`read`], for what was read from elsewhere than a file: it is told of as `-`, and its scenario is looked for as if
/// it stood in the folder `drills`.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(bytes: Vec<u8>, environment: Option<&str>) -> Result<Written, Wrong> {
    let path = Path::new("-");
    let environment = environment.map(elsewhere::named).transpose()?;
    let root = file::decoded(bytes).and_then(|text| whole(&text)).map_err(|problem| Wrong::one(path, vec![problem]))?;
    read_either(path, Path::new("drills/-"), root, environment)
}

fn read_either(path: &Path, at: &Path, root: Node, environment: Option<Node>) -> Result<Written, Wrong> {
    if !is_scenario(&root) {
        return read_drill(path, at, root, environment).map(|spec| Written::Drill(Box::new(spec)));
    }
    let mut problems = vec![];
    match scenario::read_scenario(&root, &mut problems) {
        Some(scenario) if problems.is_empty() => Ok(Written::Scenario(path.to_owned(), Box::new(scenario))),
        _ => Err(Wrong::one(path, problems)),
    }
}

fn is_scenario(root: &Node) -> bool {
    root.get("faults").is_some() && root.get("drill").is_none()
}

/// Reads a drill that is told of as `path` and stands at `at`.
fn read_drill(path: &Path, at: &Path, mut root: Node, environment: Option<Node>) -> Result<Spec, Wrong> {
    if let Some(environment) = environment {
        elsewhere::move_to(&mut root, environment);
    }
    let (mut ours, mut theirs) = (vec![], vec![]);
    let protection = protect::named(at, &root, &mut ours);
    let (protection, of_protection) = match protection {
        Ok(protection) => (protection, Wrong::default()),
        Err(wrong) => (None, wrong),
    };
    let drill = drill::read_drill(&root, protection, &mut ours);
    let (mut scenario, mut scenario_path) = (None, PathBuf::new());
    if let Some(node) = root.get("scenario").filter(|node| node.text().is_some()) {
        scenario_path = scenario_file(at, node.text().unwrap_or_default());
        if scenario_path.is_file() {
            let root = file::text(&scenario_path).and_then(|text| whole(&text));
            let root = root.map_err(|problem| theirs.push(problem)).ok();
            scenario = root.and_then(|root| scenario::read_scenario(&root, &mut theirs));
        } else {
            ours.push(absent_file(node, "scenario", &scenario_path));
        }
    }
    match (drill, scenario) {
        (Some(drill), Some(scenario)) if ours.is_empty() && theirs.is_empty() && of_protection.files.is_empty() => {
            Ok(Spec { drill_path: path.to_owned(), drill, scenario_path, scenario })
        }
        _ => {
            let mut wrong = Wrong::new([(path.to_owned(), ours), (scenario_path, theirs)]);
            wrong.files.extend(of_protection.files);
            Err(wrong)
        }
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

/// That the file which a node names is not there.
fn absent_file(node: &Node, what: &str, path: &Path) -> Problem {
    let name = node.text().unwrap_or_default();
    let problem = Problem::new(node, format!("there is no {what} `{name}`: `{}` is missing", path.display()));
    let known = file::beside(path);
    let near = nearest(name, known.iter().map(String::as_str));
    problem.hint(near.map_or_else(|| "write it first".into(), |n| format!("did you mean `{n}`?")))
}

fn tree(path: &Path) -> Result<Node, Wrong> {
    file::text(path).and_then(|text| whole(&text)).map_err(|problem| Wrong::one(path, vec![problem]))
}

/// The tree of a file's text; it has keys.
fn whole(text: &str) -> Result<Node, Problem> {
    let root = node::parse(text)?;
    match root.value {
        node::Value::Map(_) => Ok(root),
        node::Value::Null => {
            let problem = Problem::new(&root, "there is nothing in it");
            Err(problem.hint("`lifeboat new drill NAME` writes a first drill"))
        }
        _ => {
            let problem =
                Problem::new(&root, format!("expected the keys of a drill or scenario, found {}", root.told()));
            Err(problem.hint("a drill begins with `drill: NAME`, a scenario with `scenario: NAME`"))
        }
    }
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
