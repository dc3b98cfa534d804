//! Folders and files on disk: where runs are kept, who may read them, and their timelines.

mod folders;
mod timeline;

pub use folders::{cache, check_homeless, state};
pub use timeline::{Timeline, read_timeline};

use crate::clock;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name of the timeline in a run's folder.
pub const TIMELINE: &str = "timeline.jsonl";

/// Writes a new file that only its owner may read, from its first moment on; makes its folder if it is missing.
///
/// # Errors
/// When the file cannot be written, or exists.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// Puts a file that only its owner may read in the place of an older one: whole, or not at all.
///
/// # Errors
/// When it cannot be written; the older one is then still there.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, |_| Ok(()))
}

/// As [`replace_private`], and on disk when it returns.
///
/// # Errors
/// When it cannot be written; the older one is then still there.
pub fn replace_durable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, File::sync_all)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn replace(path: &Path, bytes: &[u8], sync: fn(&File) -> io::Result<()>) -> io::Result<()> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        sync(&file)?;
        fs::rename(&new, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&new); // it takes room that is missing
    })
}

/// A run's folder: `REPORTS/DRILL/STARTED`, with `REPORTS/DRILL/latest` pointing to it.
#[derive(Debug, Clone)]
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
    /// The run's name: drill and start, unique on this machine.
    pub run: String,
}

impl RunFolder {
    /// Makes the folder of a run that starts now.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(reports: &Path, drill: &str) -> io::Result<Self> {
        let started = clock::wall().strftime("%Y%m%dT%H%M%S").to_string();
        let suffix: String = format!("{:04x}", rand::random::<u16>());
        let name = format!("{started}-{suffix}");
        let path = reports.join(drill).join(&name);
        fs::create_dir_all(reports.join(drill))?;
        DirBuilder::new().mode(0o700).create(&path)?; // it is the user's alone
        DirBuilder::new().mode(0o700).create(path.join("logs"))?;
        let latest = reports.join(drill).join("latest");
        let _ = fs::remove_file(&latest); // a link of an earlier run; not there is fine too
        let _ = std::os::unix::fs::symlink(&name, &latest); // a convenience: some file systems have no links
        Ok(Self { path: path.canonicalize()?, run: format!("{drill}-{name}") })
    }
}

/// The drill of a run: the run's name without when it began.
pub fn drill_of_run(run: &str) -> Option<&str> {
    run.rsplitn(3, '-').nth(2)
}

/// All run folders under `reports`, oldest first.
pub fn runs(reports: &Path) -> Vec<PathBuf> {
    let entries =
        |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect::<Vec<_>>();
    let mut found: Vec<PathBuf> = entries(reports)
        .iter()
        .flat_map(|drill| entries(drill))
        .filter(|path| !path.is_symlink() && path.join(TIMELINE).is_file())
        .collect();
    found.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_run_is_of_the_drill_that_its_folder_was_made_for() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path(), "database-drop").unwrap().run;
        assert_eq!((drill_of_run(&run), drill_of_run("x-y")), (Some("database-drop"), None));
    }

    #[test]
    fn a_runs_folder_and_its_files_are_the_users_alone() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path(), "x").unwrap();
        Timeline::create(&run.path).unwrap();
        replace_private(&run.path.join("plan.yaml"), b"plan").unwrap();
        replace_private(&run.path.join("plan.yaml"), b"plan 2").unwrap();
        let mode = |path: &str| fs::metadata(run.path.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(""), mode("logs")], [0o700; 2]);
        assert_eq!([mode(TIMELINE), mode("plan.yaml")], [0o600; 2]);
        assert_eq!(fs::read_to_string(run.path.join("plan.yaml")).unwrap(), "plan 2");
        assert!(!run.path.join("plan.new").exists());
    }
}
