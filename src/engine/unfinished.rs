//! The folder of a recovery point while it is being filled; given up, it is removed.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A point's folder while it is being filled; dropped unfinished, it is removed.
#[derive(Debug)]
pub struct UnfinishedPoint {
    /// Where to write.
    pub path: PathBuf,
    done: bool,
}

impl UnfinishedPoint {
    /// Makes the folder, anew.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self { path, done: false })
    }

    /// Keeps it where it is.
    pub fn keep(mut self) {
        self.done = true;
    }
}

impl Drop for UnfinishedPoint {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_dir_all(&self.path); // a leftover is never listed, and the next backup removes it
        }
    }
}
