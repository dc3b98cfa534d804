//! The disk of the local PostgreSQL, which is its data directory, and what it leaves in the kernel when it is lost.
//!
//! Apart because a directory of the same name is another disk: what tells them apart is when it was made.

use crate::client::Error;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;
use tokio::process::Command;

/// A disk, by its directory.
pub struct LocalDisk<'a>(pub &'a Path);

impl LocalDisk<'_> {
    /// What identifies it for good; nothing if there is none.
    pub fn identity(&self) -> Option<String> {
        let found = fs::metadata(self.0).ok()?;
        let made = found.created().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        Some(format!("{}@{}-{}", self.0.display(), found.ino(), made.unwrap_or_default().as_nanos()))
    }

    /// Removes it with all that it holds, once nothing runs on it.
    pub async fn lose(&self) -> Result<(), Error> {
        // The server frees what it shares with its processes when it is started again on the same directory.
        let lock = fs::read_to_string(self.0.join("postmaster.pid")).unwrap_or_default();
        if let Some(shared) = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["-m", shared]).output().await; // some bytes, which nobody looks for
        }
        match fs::remove_dir_all(self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::caused_by(format!("cannot remove `{}`", self.0.display()), error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_made_anew_is_another_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let disk = LocalDisk(&path);
        assert_eq!(disk.identity(), None);
        fs::create_dir(&path).unwrap();
        let before = disk.identity().unwrap();
        fs::write(path.join("PG_VERSION"), "15").unwrap();
        assert_eq!(disk.identity().unwrap(), before);
        disk.lose().await.unwrap();
        disk.lose().await.unwrap();
        fs::create_dir(&path).unwrap();
        assert_ne!(disk.identity().unwrap(), before);
    }
}
