//! A recovery point's folder: `database.dump.zst`, `readings.json` if somebody read in the snapshot, and, written last,
//! `manifest.json`, which says what is in it.
//!
//! The folder is called `ID.partial` until all of it is on disk and verified; whoever gives up leaves no folder.

use super::properties::DatabaseProperties;
use crate::clock::Moment;
use crate::engine::Readings;
use crate::store;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The dump's name in a point's folder.
pub const DUMP: &str = "database.dump.zst";
/// The manifest's name in a point's folder.
pub const MANIFEST: &str = "manifest.json";

/// The name of the file with what was read in a point's snapshot.
const READINGS: &str = "readings.json";

/// Writes into `folder` what was read in the point's snapshot, durably; nothing if nothing was.
pub fn write_readings(folder: &Path, readings: &Readings) -> io::Result<()> {
    if readings.is_empty() {
        return Ok(());
    }
    store::replace_durable(&folder.join(READINGS), &serde_json::to_vec(readings)?)
}

/// What was read in the snapshot of the point in `folder`; nothing if nothing can be read.
pub fn readings(folder: &Path) -> Readings {
    let text = fs::read(folder.join(READINGS)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// What a point holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointManifest {
    /// Version of this shape.
    pub schema: u32,
    /// BLAKE3 of the dump's file.
    pub digest: String,
    /// The dump's file in bytes.
    pub bytes: u64,
    /// What the server said in the dump's snapshot.
    pub content: DatabaseContent,
    /// The latest moment of the snapshot, on the run's clock.
    pub snapshot: Moment,
    /// The same in wall time.
    pub taken_at: Timestamp,
    /// What `pg_dump --version` says.
    pub tool: String,
}

/// What the server said of its database in one snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseContent {
    /// The database's name.
    pub database: String,
    /// Its owner.
    pub owner: String,
    /// Its encoding.
    pub encoding: String,
    /// How it sorts.
    pub collate: String,
    /// How it tells letters.
    pub ctype: String,
    /// The server's version.
    pub server: String,
    /// The server's system identifier.
    pub system: String,
    /// The revision of MLflow's schema, if there is one.
    pub alembic: Option<String>,
    /// The rows of each table.
    pub rows: BTreeMap<String, i64>,
    /// What belongs to it and is in no dump; points of older versions have none.
    #[serde(default)]
    pub properties: Option<DatabaseProperties>,
}

impl PointManifest {
    /// Reads a point's manifest; the error names the file.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).map_err(|e| format!("the recovery point has no `{}`: {e}", path.display()))?;
        serde_json::from_slice(&text).map_err(|e| format!("`{}` is corrupt: {e}", path.display()))
    }

    /// Writes it into `folder`, durably.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = File::create(folder.join(MANIFEST))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()
    }
}

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

    /// Gives it its final name, durably.
    pub fn rename(mut self, to: &Path) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        fs::rename(&self.path, to)?;
        self.done = true;
        to.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

impl Drop for UnfinishedPoint {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_dir_all(&self.path); // a leftover is never listed, and the next backup removes it
        }
    }
}
