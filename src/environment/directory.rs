//! A new data directory on this machine, made by a restore and given to its owner stopped: no server runs on it but the
//! private one that the restore starts.
//!
//! Apart from the platforms because nobody is served from it. The folder at its side is where it is filled; it gets its
//! name when all is proved. Killed before that, a restore leaves that folder and perhaps its private server: the next
//! one into the same directory ends and removes both, known by a mark that follows from the directory's path.

use super::local::{LocalVolume, LocalVolumes, database_user};
use super::{Endpoints, Journal, Platform, Volumes, stack, tools};
use crate::client::Error;
use crate::model::Receipt;
use async_trait::async_trait;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The component whose directory it is.
const COMPONENT: &str = stack::COMPONENTS[0];

/// A data directory that is being made.
pub struct NewDirectory {
    path: PathBuf,
    bin: PathBuf,
    run: String,
    endpoints: Endpoints,
    volumes: LocalVolumes,
}

impl NewDirectory {
    /// At this path, for a server of this major version. Makes nothing yet.
    ///
    /// # Errors
    /// When something is there already, or this machine has no server's programs of that version.
    pub async fn at(path: &Path, major: u32, administrator: &str) -> Result<Self, Error> {
        let what = format!("cannot restore into `{}`", path.display());
        let path = empty(path)?;
        let bin = tools::programs_of(major, &what).await?;
        let run = mark(&path);
        let volume = LocalVolume {
            component: COMPONENT,
            bin: bin.clone(),
            data: path.clone(),
            user: database_user()?,
            administrator: administrator.to_owned(),
            run: run.clone(),
        };
        let volumes = LocalVolumes::new(volume, &beside(&path), Arc::new(NoJournal));
        Ok(Self { path, bin, run, endpoints: Endpoints::default(), volumes })
    }

    /// The component by which the powers know it.
    pub fn component(&self) -> &'static str {
        COMPONENT
    }

    /// Gives it its name, once it is filled and proved; answers the command that starts a server on it.
    ///
    /// # Errors
    /// When it cannot get its name.
    pub async fn finish(&self) -> Result<String, Error> {
        self.volumes.swap(COMPONENT).await?;
        self.volumes.settle(COMPONENT).await?;
        Ok(format!(
            "{} -D {} -l {}.log start",
            self.bin.join("pg_ctl").display(),
            self.path.display(),
            self.path.display()
        ))
    }

    /// Are the server's own settings in it? Some systems keep them elsewhere.
    pub fn has_settings(&self) -> bool {
        self.path.join("postgresql.conf").is_file()
    }
}

/// The mark of all processes of a restore into this directory, which follows from its whole path.
pub(super) fn mark(path: &Path) -> String {
    format!("restore-{}", &blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex()[..16])
}

/// The whole path of a directory that can be made: nothing is there, or a directory that holds nothing.
///
/// # Errors
/// When something is there, or cannot be looked at.
pub fn empty(path: &Path) -> Result<PathBuf, Error> {
    let what = format!("cannot restore into `{}`", path.display());
    let path = std::path::absolute(path).map_err(|e| Error::caused_by(&what, e))?;
    match fs::read_dir(&path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(path),
            Some(_) => Err(Error::new(what, "it is not empty").hint("name a directory that is not there yet")),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => match path.parent().filter(|parent| !parent.is_dir()) {
            Some(parent) => Err(Error::new(what, format!("`{}` is not there", parent.display())).hint("make it first")),
            None => Ok(path),
        },
        Err(error) => Err(Error::caused_by(what, error)),
    }
}

/// The folder at its side, in which the private server logs too.
fn beside(path: &Path) -> PathBuf {
    let mut side = path.as_os_str().to_owned();
    side.push(".side");
    side.into()
}

#[async_trait]
impl Platform for NewDirectory {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
    fn run(&self) -> Option<&str> {
        Some(&self.run)
    }
    fn volumes(&self) -> Result<&dyn Volumes, Error> {
        Ok(&self.volumes)
    }
    async fn remove(&self) -> Vec<String> {
        vec![] // what was restored is its owner's
    }
}

/// Nothing is recorded: what a killed restore leaves lies beside the directory.
pub(super) struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn creating(&self, _: Receipt) -> Result<(), Error> {
        Ok(())
    }
    async fn acting(&self, _: Receipt) -> Result<(), Error> {
        Ok(())
    }
    fn progress(&self, _: &str) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_that_holds_something_and_a_version_that_is_not_here_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused =
            async |path: &Path, major| NewDirectory::at(path, major, "admin").await.err().unwrap().to_string();
        let said = refused(&folder.path().join("new"), 7).await;
        assert!(said.contains("this machine has no PostgreSQL 7"), "{said}");
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(refused(folder.path(), 7).await.contains("it is not empty"));
        assert!(refused(&folder.path().join("file"), 7).await.contains("cannot restore into"));
        let said = refused(&folder.path().join("no/new"), 7).await;
        assert!(said.contains("/no` is not there"), "{said}");
    }
}
