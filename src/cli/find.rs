//! How what is named on the command line is found: runs under the folder of reports, drills and repositories by their
//! names.

use super::Failure;
use crate::client::Error;
use crate::node::nearest;
use crate::repository::RepositorySettings;
use crate::spec::Protection;
use crate::store;
use std::fs;
use std::path::{Path, PathBuf};

/// Where drills are kept, seen from where the program is started.
const DRILLS: &str = "drills";

/// Where runs are kept.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Reports {
    /// The folder of the runs
    #[arg(long = "reports", value_name = "DIR", default_value = "reports", env = "LIFEBOAT_REPORTS")]
    pub(super) folder: PathBuf,
}

/// Finds a drill's file: a path, or the name of a drill, `NAME` for `drills/NAME.yaml`. What looks like a path is
/// answered as it is, there or not: its reader says what is wrong with it.
pub(super) fn find_drill(given: &Path) -> Result<PathBuf, Failure> {
    find_drill_in(Path::new(""), given)
}

fn find_drill_in(folder: &Path, given: &Path) -> Result<PathBuf, Failure> {
    let name = given.to_string_lossy();
    let is_path = given.components().count() != 1 || given.extension().is_some() || name == "-" || name == "..";
    if is_path || folder.join(given).exists() {
        return Ok(given.to_owned());
    }
    let file = Path::new(DRILLS).join(format!("{name}.yaml"));
    if folder.join(&file).is_file() {
        return Ok(file);
    }
    let known = names(&folder.join(DRILLS));
    let hint = match nearest(&name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "go to a folder that has drills in `drills`, or name a drill's file".to_owned(),
        None => format!("`{DRILLS}` has {}", known.join(", ")),
    };
    Err(Failure::Usage(format!("there is no drill `{name}`: `{}` is missing", file.display()), Some(hint)))
}

/// The names of the drills in a folder.
fn names(folder: &Path) -> Vec<String> {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// Finds a repository of a protection by its name.
pub(super) fn find_repository<'a>(protection: &'a Protection, name: &str) -> Result<&'a RepositorySettings, Failure> {
    let all = &protection.repositories;
    let known = || all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    let absent = || Failure::Usage(format!("the file has no repository `{name}`"), Some(format!("known: {}", known())));
    all.iter().find(|it| it.name == name).ok_or_else(absent)
}

/// Finds a run's folder: a path, a drill (its latest run), `DRILL/latest`, `DRILL/RUN`, or a run's name.
pub(super) fn find_run(reports: &Path, run: &str) -> Result<PathBuf, Failure> {
    let is_run = |path: &PathBuf| path.join(store::TIMELINE).is_file();
    let given = [PathBuf::from(run), reports.join(run), reports.join(run).join("latest")];
    if let Some(path) = given.into_iter().find(is_run) {
        return path
            .canonicalize()
            .map_err(|e| Error::caused_by(format!("cannot open `{}`", path.display()), e).into());
    }
    let all = store::runs(reports);
    let found = all.iter().find(|path| run_name(path) == run || path.file_name().is_some_and(|name| name == run));
    if let Some(path) = found {
        return Ok(path.clone());
    }
    let names: Vec<_> = all.iter().map(|path| run_name(path)).collect();
    let hint = match nearest(run, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "there are no runs yet".to_owned(),
        None => "`lifeboat runs` lists the runs".to_owned(),
    };
    Err(Failure::Usage(format!("there is no run `{run}` under `{}`", reports.display()), Some(hint)))
}

/// A run's name, from its folder.
pub(super) fn run_name(folder: &Path) -> String {
    format!("{}-{}", last(folder.parent()), last(Some(folder)))
}

/// The drill of a run, from its folder.
pub(super) fn drill_of(folder: &Path) -> String {
    last(folder.parent())
}

fn last(path: Option<&Path>) -> String {
    path.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_is_found_by_its_name_and_a_wrong_name_is_answered_with_the_nearest() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(DRILLS)).unwrap();
        fs::write(folder.path().join("drills/database-drop.yaml"), "").unwrap();
        let found = |name: &str| find_drill_in(folder.path(), Path::new(name));
        assert_eq!(found("database-drop").unwrap(), Path::new("drills/database-drop.yaml"));
        assert_eq!(found("elsewhere/x.yaml").unwrap(), Path::new("elsewhere/x.yaml"), "its reader complains");
        let Err(Failure::Usage(text, hint)) = found("database-drp") else { panic!("it was found") };
        assert_eq!(text, "there is no drill `database-drp`: `drills/database-drp.yaml` is missing");
        assert_eq!(hint.as_deref(), Some("did you mean `database-drop`?"));
    }
}
