//! The seam of backup engines.
//!
//! Rules of conduct. `backup` leaves a complete, verified point or none: what is half-written is never listed.
//! The point says the latest moment at which its snapshot can have been taken. `restore` never shows clients a
//! half-restored state. Both may be dropped in the middle. An engine keeps its points in the folder it is given,
//! outside the blast radius, and is never asked whether it did well: checks are.

pub mod builtin;
pub mod command;
pub mod job;

use crate::client::Error;
use crate::clock::Clock;
use crate::environment::{Asset, Permission, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, RecoveryPoint};
use async_trait::async_trait;
use std::path::Path;

/// Every engine, in the order of the documentation.
pub const ENGINES: &[Kind<dyn Engine>] = &[builtin::KIND, command::KIND, job::KIND];

/// Reads in the snapshot of a backup, side by side with the engine.
#[async_trait]
pub trait SnapshotReader: Send + Sync {
    /// Reads, while the transaction that has exported `snapshot` is open: `SET TRANSACTION SNAPSHOT` joins it. What it
    /// cannot read is its own affair and fails no backup. Bounded by its caller.
    async fn read(&self, snapshot: &str);
}

/// Takes backups and restores them.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Powers the environment must have.
    fn needs(&self) -> &'static [Power];
    /// What a point of it brings back. What an engine of the user's own covers is what its file says; nothing is assumed.
    fn covers(&self) -> Vec<Asset>;
    /// Is each of its points proved before it counts?
    fn verifies(&self) -> bool;
    /// What the platform must allow, where permissions are asked for.
    fn permissions(&self) -> Vec<Permission> {
        vec![]
    }
    /// Takes a backup into `repository`, under the name `id`. An engine that has a snapshot of PostgreSQL's to export asks
    /// `reader`, once; others never do.
    async fn backup(
        &self,
        platform: &dyn Platform,
        repository: &Path,
        id: &str,
        clock: &Clock,
        reader: Option<&dyn SnapshotReader>,
    ) -> Result<RecoveryPoint, Error>;
    /// Restores the platform's database to a point. A restore that did not work is a missed finding.
    async fn restore(&self, platform: &dyn Platform, repository: &Path, point: &RecoveryPoint) -> Finding;
    /// Removes what a restore that was killed left beside the live state; answers what could not be removed.
    async fn tidy(&self, _platform: &dyn Platform) -> Vec<String> {
        vec![]
    }
}
