//! The order of a physical restore: check, unpack beside the live directory, verify, find the target in the log, replay,
//! prove, look for damage. What it leaves is ready to be swapped in; after a failure nothing is left.
//!
//! The live directory is not touched, so the server may run meanwhile. Not here: the swap itself, and whether clients are
//! served again; that is the session's, by the powers.

use super::base::BaseRecord;
use super::log::SideLog;
use super::resolve::ResolvedTarget;
use super::sure::SurePoint;
use super::{bounded, side, soundness};
use crate::client::Error;
use crate::clock::{Deadline, Stopwatch};
use crate::engine::LogTarget;
use crate::engine::Lsn;
use crate::engine::TransactionEnd;
use crate::environment::{Platform, SidePart, Volumes};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::pin::Pin;
use tokio::io::AsyncRead;

/// What is restored, and up to where.
#[derive(Debug, Clone)]
pub struct PhysicalRestore<'a> {
    /// The component whose volume it is for.
    pub component: &'a str,
    /// The base backup.
    pub base: &'a BaseRecord,
    /// A folder with the segments of its log, on this machine: received ones, or an archive that `archive_command` filled.
    pub log: &'a Path,
    /// How far the log is known to be complete, if it was received: one that ends earlier is refused.
    pub sure: Option<SurePoint>,
    /// Up to where the log is replayed.
    pub target: &'a LogTarget,
    /// Compare tables and indexes too (`pg_amcheck`)? Checksums are always looked at.
    pub relations: bool,
    /// May the copy archive once it is started? One that is started beside its original must not, for both have one archive.
    pub archives: bool,
    /// When it must be done.
    pub deadline: Deadline,
}

/// A restored copy beside the live directory, proved, sound and stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoredCopy {
    /// Up to here the log was replayed.
    pub replayed: Lsn,
    /// The last transaction that is in it, of those in the log.
    pub before: Option<TransactionEnd>,
    /// The first that is not; none if the log ended.
    pub next: Option<TransactionEnd>,
    /// The copy's new timeline.
    pub timeline: u32,
    /// Which looks for damage could not be taken, and what its owner has to know.
    pub news: Vec<String>,
    /// Seconds that each part took, in order.
    pub laps: Vec<(String, f64)>,
}

impl PhysicalRestore<'_> {
    /// Restores, from the stream of the base backup. An error leaves no side folder, and the live directory as it was.
    pub async fn restore(
        &self,
        platform: &dyn Platform,
        stream: Pin<Box<dyn AsyncRead + Send>>,
    ) -> Result<RestoredCopy, Error> {
        let volumes = platform.volumes()?;
        self.check(volumes).await?;
        let restored = bounded(self.deadline, "restore the data directory", self.fill(platform, volumes, stream)).await;
        if restored.is_err() {
            // The error says more than a failed clean-up; `make_side` and `cleanup` remove what is left.
            let _ = volumes.remove_side(self.component).await;
        }
        restored
    }

    /// What can be refused before anything is touched.
    async fn check(&self, volumes: &dyn Volumes) -> Result<(), Error> {
        let what = "cannot restore the data directory";
        self.target.check(self.base)?;
        let state = volumes.volume(self.component).await?;
        if state.programs != self.base.major() {
            let why =
                format!("the backup is of version {}, the server's programs are {}", self.base.major(), state.programs);
            return Err(Error::new(what, why).hint("a data directory is of one major version: install that one"));
        }
        if state.swapped || state.before {
            let why = "an earlier restore was neither settled nor put back";
            return Err(Error::new(what, why).hint("settle it, or put back what was before"));
        }
        if state.free < self.base.bytes {
            let why = format!("{} bytes are free beside it, and {} are needed", state.free, self.base.bytes);
            return Err(Error::new(what, why));
        }
        Ok(())
    }

    async fn fill(
        &self,
        platform: &dyn Platform,
        volumes: &dyn Volumes,
        stream: Pin<Box<dyn AsyncRead + Send>>,
    ) -> Result<RestoredCopy, Error> {
        let (component, deadline) = (self.component, self.deadline);
        let (mut stopwatch, mut laps) = (Stopwatch::start(), vec![]);
        let mut lap = |name: &str| laps.push((name.to_owned(), stopwatch.lap()));
        volumes.make_side(component).await?;
        volumes.unpack(component, SidePart::Data, stream).await?;
        lap("unpack");
        soundness::verify(volumes, component, self.base, deadline).await?;
        lap("verify");
        let log = SideLog::bring(volumes, component, self.base, self.log, platform.run()).await?;
        let target = log.find(volumes, self.target, self.sure).await?;
        lap("find");
        let copy = side::start(volumes, component, &target, deadline).await?;
        let at_end = target.settings.is_empty();
        let replayed = side::replayed(volumes, component, &*copy, at_end, deadline).await?;
        side::prove(&replayed, target.before.as_ref(), target.next.as_ref())?;
        lap("replay");
        let timeline = side::promote(&*copy, deadline).await?;
        let mut news = side::ask_back(&*copy, self.archives, deadline).await?;
        lap("promote");
        if self.relations {
            if soundness::relations(&*copy, deadline).await?.is_none() {
                news.push("tables and indexes were not compared: the server has no `amcheck`".into());
            }
            lap("relations");
        }
        drop(copy);
        volumes.stop_side(component).await?;
        if soundness::checksums(volumes, component, self.base, deadline).await?.is_none() {
            news.push("pages were not checked: the cluster has no checksums".into());
        }
        let rest = ["-f", "data/backup_manifest", "data/backup_label.old", "data/tablespace_map.old"];
        volumes.side_tool(component, "rm", &rest).await?.text("cannot tidy the restored copy").await?;
        lap("checksums");
        let ResolvedTarget { before, next, .. } = target;
        Ok(RestoredCopy { replayed: replayed.lsn, before, next, timeline, news, laps })
    }
}
