//! What a point is made of: `configuration/sealed.age` if there is one, `database/dump`, `database/readings.json` if
//! somebody read in the snapshot, the artifacts under `objects/`, and, last of all, `point.json`, which says what is in it.

use super::artifacts::ArtifactContent;
use super::properties::DatabaseProperties;
use crate::client::Error;
use crate::engine::Readings;
use crate::repository::OpenPoint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The dump's name in a point.
pub const DUMP: &str = "database/dump";
/// The name of what was read in the point's snapshot.
pub const READINGS: &str = "database/readings.json";
/// The manifest's name in a point.
pub const MANIFEST: &str = "point.json";

/// The version of a manifest that is written.
pub const SCHEMA: u32 = 5;

/// What a point holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointManifest {
    /// Version of this shape.
    pub schema: u32,
    /// The dump.
    pub dump: DumpContent,
    /// What the server said in the dump's snapshot.
    pub content: DatabaseContent,
    /// The latest time of the snapshot.
    pub taken_at: Timestamp,
    /// What `pg_dump --version` says.
    pub tool: String,
    /// The artifacts, if they are a part of the point.
    #[serde(default)]
    pub artifacts: Option<ArtifactContent>,
}

/// A dump as it was when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpContent {
    /// Its bytes.
    pub bytes: u64,
    /// Its BLAKE3 digest.
    pub digest: String,
}

/// Takes the digest of a dump that passes.
#[derive(Default)]
pub struct DumpDigest {
    hasher: blake3::Hasher,
}

impl DumpDigest {
    /// The next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }
    /// Of all that has passed.
    pub fn content(&self) -> DumpContent {
        DumpContent { bytes: self.hasher.count(), digest: self.hasher.finalize().to_hex().to_string() }
    }
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
    /// The server's roles, and whether each may do everything; points of older versions have none.
    #[serde(default)]
    pub roles: BTreeMap<String, bool>,
}

impl PointManifest {
    /// The manifest of a point.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is of a version that is not known.
    pub async fn read(point: &OpenPoint) -> Result<Self, Error> {
        let manifest: Self = point.json(MANIFEST).await?;
        match manifest.schema {
            2..=SCHEMA => Ok(manifest), // 2 had no artifacts, 3 only their bytes, 4 no roles
            other => Err(Error::new(format!("`{MANIFEST}`"), format!("its version is {other}, and {SCHEMA} is known"))),
        }
    }
}

/// What was read in the snapshot of a point.
///
/// # Errors
/// When nobody did, or it cannot be read.
pub async fn readings(point: &OpenPoint) -> Result<Readings, Error> {
    point.json(READINGS).await
}
