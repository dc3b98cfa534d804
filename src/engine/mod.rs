//! The seam of backup engines.
//!
//! Rules of conduct. An engine opens one session for a drill or a command, which lasts as long as that does: what has to
//! run all the time runs in it. `backup` leaves a complete, verified point or none: what is half-written is never listed.
//! The point says the latest moment at which its snapshot can have been taken. `plan` decides and touches nothing;
//! `restore` carries out what was planned and never shows clients a half-restored state. All of them may be dropped in the
//! middle. An engine keeps its points in the folder it is given, outside the blast radius, and is never asked whether it
//! did well: checks are.

pub mod builtin;
pub mod command;
mod configuration;
mod goal;
pub mod job;
mod log_target;
mod lsn;
mod receiving;
mod unfinished;
mod wanted_model;

pub use configuration::{CONFIGURATION, SealedConfiguration};
pub use goal::{Goal, ReplayedLog, RestorePlan};
pub use log_target::{LogTarget, TransactionEnd};
pub use lsn::Lsn;
pub use receiving::{LogReach, Receiving, ReceivingNews, ShippedLog, receives_nothing};
pub use wanted_model::{ModelRestore, WantedModel, WantedVersions};

use crate::client::Error;
use crate::client::s3::ObjectSource;
use crate::clock::Clock;
use crate::environment::{Asset, LossKind, Permission, Platform, Power, ThrowawayServer};
use crate::kind::Kind;
use crate::model::{Finding, Planted, RecoveryPoint};
use crate::repository::OpenRepository;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Every engine, in the order of the documentation.
pub const ENGINES: &[Kind<dyn Engine>] = &[builtin::KIND, command::KIND, job::KIND];

/// Reads in the snapshot of a backup, side by side with the engine.
#[async_trait]
pub trait SnapshotReader: Send + Sync {
    /// Reads, while the transaction that has exported `snapshot` is open: `SET TRANSACTION SNAPSHOT` joins it. What it
    /// cannot read is its own affair and fails no backup. Bounded by its caller.
    async fn read(&self, snapshot: &str) -> Readings;
}

/// What was read in a backup's snapshot, by the names of the checks that will compare with it.
pub type Readings = BTreeMap<String, Planted>;

/// A recovery point that lies beside the live state: whole, and seen by no client.
pub struct PointBeside<'a> {
    /// The platform with the point's database in place of the live one; of the bucket it has the names.
    pub platform: &'a dyn Platform,
    /// The point's artifacts; nothing if it holds none.
    pub artifacts: Option<PointArtifacts<'a>>,
}

/// The artifacts of a recovery point, and where they were when it was taken.
#[derive(Clone, Copy)]
pub struct PointArtifacts<'a> {
    /// The objects, by the keys that they had in the bucket.
    pub objects: &'a dyn ObjectSource,
    /// The bucket.
    pub bucket: &'a str,
    /// What stood before MLflow's own artifact paths there, without a slash at its end.
    pub prefix: &'a str,
}

/// Decides whether a recovery point may take the place of the live state.
#[async_trait]
pub trait PointJudge: Send + Sync {
    /// Looks at a point that lies beside the live state; unless it answers met, the point stays beside and is removed.
    async fn judge(&self, beside: &PointBeside<'_>) -> Finding;
}

/// What a session works with.
#[derive(Clone)]
pub struct EngineContext {
    /// The platform that is protected.
    pub platform: Arc<dyn Platform>,
    /// The folder of the run's points, or of what a protection receives on this machine: outside the blast radius.
    pub folder: PathBuf,
    /// The clock that dates points.
    pub clock: Clock,
    /// The points that the repository is known to hold, oldest first.
    pub known: Vec<RecoveryPoint>,
    /// Who reads in the snapshots of backups, if anybody.
    pub reader: Option<Arc<dyn SnapshotReader>>,
    /// Where a protection keeps its points. Without one, an engine keeps them in the folder.
    pub repository: Option<NamedRepository>,
}

/// The repository that a protection names, and under which name its points are there: others may keep theirs beside them.
#[derive(Clone)]
pub struct NamedRepository {
    /// The repository.
    pub repository: OpenRepository,
    /// The protection.
    pub protection: String,
    /// The configuration, sealed for whoever may read it, that goes into each point as it is.
    pub configuration: Option<SealedConfiguration>,
}

/// Takes backups and restores them.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Powers the environment must have.
    fn needs(&self) -> &'static [Power];
    /// What a point of it brings back. What an engine of the user's own covers is what its file says; nothing is assumed.
    fn covers(&self) -> Vec<Asset>;
    /// Does a point of it bring back an asset that was lost in this way?
    fn brings_back(&self, asset: Asset, _how: LossKind) -> bool {
        self.covers().contains(&asset)
    }
    /// Can it keep its points in a repository that it is given?
    fn uses_repositories(&self) -> bool {
        false
    }
    /// Does it back up a whole server, and receive its log between the points? Then a protection says where the log goes,
    /// and what is restored is a data directory.
    fn keeps_log(&self) -> bool {
        false
    }
    /// Receives the log of a server until it is told to end; what goes wrong meanwhile is told, and tried again.
    async fn receive(&self, _server: Arc<dyn Platform>, _receiving: Receiving<'_>) -> Result<(), Error> {
        Err(receives_nothing())
    }
    /// Is each of its points proved before it counts?
    fn verifies(&self) -> bool;
    /// Can it restore a point beside the live state, to be judged before that is replaced?
    fn restores_beside(&self) -> bool {
        false
    }
    /// What the platform must allow, where permissions are asked for.
    fn permissions(&self) -> Vec<Permission> {
        vec![]
    }
    /// Begins a session. It begins nothing on the platform: the first backup does.
    async fn open(&self, context: EngineContext) -> Result<Box<dyn Session>, Error>;
    /// Removes what a restore that was killed left beside the live state; answers what could not be removed.
    async fn tidy(&self, _platform: &dyn Platform) -> Vec<String> {
        vec![]
    }
}

/// An engine at work, from its first backup to the end of the drill or command.
#[async_trait]
pub trait Session: Send + Sync {
    /// Takes a backup under the name `label`, which no other of the session has. An engine that has a snapshot of
    /// PostgreSQL's to export asks the reader, once, and keeps with the point what it read; others never do.
    async fn backup(&self, label: &str) -> Result<RecoveryPoint, Error>;
    /// The complete points, oldest first.
    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error>;
    /// How far the log reaches from each of them; nothing where no log is kept. With `read` every record of it is looked
    /// at, else only which parts there are.
    async fn reaches(&self, _read: bool) -> Result<Vec<LogReach>, Error> {
        Ok(vec![])
    }
    /// Puts what was received of the log into the repository, as far as it lacks it.
    async fn ship(&self) -> Result<ShippedLog, Error> {
        Ok(ShippedLog::default())
    }
    /// The snapshots of the log in the repository that none of these points needs. No points: nothing is known of any need.
    async fn obsolete_log(&self, _kept: &[String]) -> Result<Vec<String>, Error> {
        Ok(vec![])
    }
    /// Decides how a goal is reached; reads only.
    async fn plan(&self, goal: &Goal) -> Result<RestorePlan, Error> {
        RestorePlan::of_points(&self.points().await?, goal)
    }
    /// Carries out a plan. A restore that did not work is a missed finding.
    async fn restore(&self, plan: &RestorePlan) -> Finding;
    /// As `restore`, of a plan for the whole point; but when all is ready beside the live state, the judge decides. Unless
    /// it says met, nothing of the live state has changed, and the answer is the judge's. Only for engines that restore
    /// beside.
    async fn restore_judged(&self, _plan: &RestorePlan, _judge: &dyn PointJudge) -> Finding {
        Finding::unknown("the engine cannot restore a recovery point beside the live state")
    }
    /// Restores the point of a plan on a server that was made for it, reads what else it holds, and lets the judge look at
    /// it there. What is protected is asked nothing. A point that cannot be restored is missed; an error says nothing of
    /// the point, only that it could not be tried here.
    async fn restore_apart(
        &self,
        _plan: &RestorePlan,
        _on: &ThrowawayServer,
        _judge: &dyn PointJudge,
    ) -> Result<Finding, Error> {
        Err(Error::new("cannot restore on a throw-away server", "this engine restores only what it protects"))
    }
    /// Restores one registered model of the point, its rows and artifacts, and changes nothing else. Where the model is
    /// there and differs, nothing is written, unless `replace` says so.
    async fn restore_model(&self, _plan: &RestorePlan, model: &ModelRestore) -> Finding {
        Finding::missed(format!("this engine cannot restore {} alone", model.model))
    }
    /// What was read in the snapshot of a point; nothing if nobody did, or if it cannot be read any more.
    async fn readings(&self, _point: &str) -> Readings {
        Readings::new()
    }
}
