//! What is installed once for this machine: virtual environments of Python by locked requirements.
//!
//! Safe to interrupt: an environment counts only with its mark, which is written last. Two runs at once wait
//! for each other, and for installers that a killed run left working. Nothing here is removed with a run.

use super::component::last_lines;
use crate::client::Error;
use crate::client::log::CommandLog;
use crate::client::process::{COMPONENT, RUN};
use crate::environment::Journal;
use crate::store;
use rustix::fs::{Access, FlockOperation, access, flock};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The oldest Python for which the locked requirements hold.
pub const OLDEST_PYTHON: (u32, u32) = (3, 11);
const COMPLETE: &str = "complete";
const INSTALLER: &str = include_str!("requirements-installer.txt");
const INDEX: &str = "packages come from PyPI: can it be reached? For a mirror set PIP_INDEX_URL and UV_DEFAULT_INDEX";

/// Something to be installed.
#[derive(Debug, Clone, Copy)]
pub struct Wheels {
    /// A word for the folder's name.
    pub name: &'static str,
    /// What is said to people who wait.
    pub says: &'static str,
    /// The locked requirements.
    pub requirements: &'static str,
}

impl Wheels {
    /// Where they are or will be: another lock is another folder.
    pub fn folder(&self) -> PathBuf {
        let digest = blake3::hash([self.requirements, INSTALLER].concat().as_bytes()).to_hex();
        store::cache().join(format!("{}-{}", self.name, &digest[..16]))
    }

    /// Are they installed? Not any more if the Python they were made with is gone, or is not for this user.
    pub fn complete(&self) -> bool {
        self.folder().join(COMPLETE).is_file() && self.folder().join("bin/python").exists()
    }

    /// Installs them, if they are not; answers the folder of the virtual environment.
    pub async fn install(&self, setup: &LocalSetup<'_>) -> Result<PathBuf, Error> {
        let folder = self.folder();
        if self.complete() {
            return Ok(folder);
        }
        let lock = setup.lock_cache().await?;
        if self.complete() {
            return Ok(folder);
        }
        let (python, _) = python().await?;
        setup.journal.progress(self.says);
        let what = || format!("cannot install into `{}`", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| Error::caused_by(what(), e))?;
        }
        lock.run("make a virtual environment", open(&python).arg("-m").arg("venv").arg(&folder)).await?;
        let (installer, wanted) = (folder.join("installer.txt"), folder.join("requirements.txt"));
        fs::write(&installer, INSTALLER).map_err(|e| Error::caused_by(what(), e))?;
        fs::write(&wanted, self.requirements).map_err(|e| Error::caused_by(what(), e))?;
        let own = folder.join("bin/python");
        let mut pip = open(&own);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]);
        lock.run("install the installer `uv`", pip.arg(&installer)).await.map_err(|e| e.hint(INDEX))?;
        let mut uv = open(&folder.join("bin/uv"));
        // Compiled now: where bytecode is never written, each start of MLflow takes 12 s instead of 5.
        uv.args(["pip", "install", "--quiet", "--require-hashes", "--compile-bytecode", "--python"]);
        let uv = uv.arg(&own).arg("-r").arg(&wanted);
        lock.run("install the locked packages", uv).await.map_err(|e| e.hint(INDEX))?;
        fs::write(folder.join(COMPLETE), "").map_err(|e| Error::caused_by(what(), e))?;
        Ok(folder)
    }
}

/// Where set-up writes what it says, and under whose name it works.
pub struct LocalSetup<'a> {
    /// The run's name.
    pub run: &'a str,
    /// The folder of the logs.
    pub logs: &'a Path,
    /// Where progress goes.
    pub journal: &'a dyn Journal,
}

impl LocalSetup<'_> {
    /// Runs a command to its end; what it says goes to `setup.log`, and its last lines into the error.
    pub async fn run(&self, what: &str, command: &mut Command) -> Result<(), Error> {
        self.carry_out(what, command.stdin(Stdio::null())).await
    }

    async fn carry_out(&self, what: &str, command: &mut Command) -> Result<(), Error> {
        let what = format!("cannot {what}");
        command.env(RUN, self.run).env(COMPONENT, "setup").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command.current_dir("/").kill_on_drop(true);
        let output = command.output().await.map_err(|e| Error::caused_by(&what, e))?;
        let said = [output.stdout, output.stderr].concat();
        if let Ok(mut log) = CommandLog::open(&self.logs.join("setup.log")) {
            log.take(&said); // a convenience: the error has the last lines
        }
        if output.status.success() {
            return Ok(());
        }
        let said = last_lines(&String::from_utf8_lossy(&said), 8);
        Err(Error::new(what, format!("{}: {said}", output.status)))
    }

    /// Waits until nobody else sets up; the answer keeps others out while it lives.
    pub async fn lock_cache(&self) -> Result<CacheLock<'_>, Error> {
        let cache = store::cache();
        let what = || format!("cannot use the cache `{}`", cache.display());
        super::make_folder(&cache).map_err(|e| Error::caused_by(what(), e).hint("set LIFEBOAT_CACHE"))?;
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).read(true).write(true).open(cache.join("lock"));
        let file = file.map_err(|e| Error::caused_by(what(), e).hint("set LIFEBOAT_CACHE"))?;
        let mut said = false;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK && error != rustix::io::Errno::INTR {
                return Err(Error::new(what(), error));
            }
            if !std::mem::replace(&mut said, true) {
                self.journal.progress("waiting for another run that sets up");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(CacheLock { setup: self, lock: file })
    }
}

/// The right to change the cache.
pub struct CacheLock<'a> {
    setup: &'a LocalSetup<'a>,
    lock: File,
}

impl CacheLock<'_> {
    /// As [`LocalSetup::run`]. The command gets the lock, an empty file, as its standard input: so an installer that
    /// outlives a killed run still keeps others out, who would work in the same folder.
    pub async fn run(&self, what: &str, command: &mut Command) -> Result<(), Error> {
        let lock = self.lock.try_clone().map_err(|e| Error::caused_by(format!("cannot {what}"), e))?;
        if let Some(home) = homeless() {
            command.env("HOME", home);
        }
        self.setup.carry_out(what, command.stdin(lock)).await
    }
}

/// A command whose files others may read, whatever the umask: root's PostgreSQL is another user.
pub fn open(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 022; exec \"$0\" \"$@\""]).arg(program);
    command
}

/// Where installers keep their own caches for a user without a home, such as `nobody`.
fn homeless() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let usable = home.is_some_and(|home| home.is_dir() && access(&home, Access::WRITE_OK | Access::EXEC_OK).is_ok());
    (!usable).then(|| store::cache().join("home"))
}

/// The Python to build with, and its version: `LIFEBOAT_PYTHON`, else `python3`.
pub async fn python() -> Result<(PathBuf, String), Error> {
    let python = std::env::var_os("LIFEBOAT_PYTHON").filter(|v| !v.is_empty()).map_or("python3".into(), PathBuf::from);
    let (major, minor) = OLDEST_PYTHON;
    let what = format!("cannot use the Python `{}`", python.display());
    let hint = format!(
        "install Python {major}.{minor} or newer with its module `venv` (Debian and Ubuntu: apt install python3-venv), \
         or name one in LIFEBOAT_PYTHON"
    );
    let ask = "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3])";
    let mut command = Command::new(&python);
    command.args(["-I", "-c", ask]).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|e| Error::caused_by(&what, e).hint(&hint))?;
    if !output.status.success() {
        let said = last_lines(&String::from_utf8_lossy(&output.stderr), 1);
        return Err(Error::new(what, said).hint(hint));
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !new_enough(&version, OLDEST_PYTHON) {
        return Err(Error::new(what, format!("it is {version}, and {major}.{minor} or newer is needed")).hint(hint));
    }
    Ok((python, version))
}

/// Is a version like `3.11.7` at least `oldest`?
pub fn new_enough(version: &str, oldest: (u32, u32)) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= oldest
}

/// A program on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(new_enough("3.11.0", (3, 11)) && new_enough("3.100", (3, 11)) && new_enough("4.0.1", (3, 11)));
        assert!(!new_enough("3.9.2", (3, 11)) && !new_enough("nonsense", (3, 11)));
    }
}
