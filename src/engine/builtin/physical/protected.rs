//! The session of physical backups in a protection: base backups are the points of a repository, their log is beside
//! them and in the spool of this machine, and a restore makes a new data directory.
//!
//! Apart from a drill's session because here nothing of the server is ours: another program receives the log all the time,
//! and a server that others started is never stopped or replaced. What is restored is given to its owner stopped.

use super::super::apart;
use super::base::BaseBackup;
use super::known::KnownLog;
use super::point::{self, BaseManifest, PointName};
use super::restore::PhysicalRestore;
use super::session::finding;
use super::shipped::{self, LogBatch, LogBatches};
use super::spool::Spool;
use super::view::LogView;
use super::{ANSWER, settings};
use crate::client::Error;
use crate::clock::{Deadline, Stopwatch, wall};
use crate::engine::{
    EngineContext, Goal, LogReach, LogTarget, NamedRepository, PointBeside, PointJudge, ReplayedLog, RestorePlan,
    Session, ShippedLog,
};
use crate::environment::{NewDirectory, ThrowawayServer, tools};
use crate::model::{Finding, RecoveryPoint};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The figure with the command that starts a restored server.
const TO_START: &str = "to start it, as its owner";
/// How long a restore may take, whatever its caller allows.
const RESTORE: Duration = Duration::from_hours(24);

/// So many of the newest segments stay in the spool, so that its receiver knows where it was, and whoever reads the spool
/// is not overtaken.
const SPOOLED: usize = 16;
/// After so long the repository is asked anew what it holds of the log.
const RELIST: Duration = Duration::from_mins(10);

/// Physical backups of a server that others run.
pub struct ProtectedServer {
    context: EngineContext,
    named: NamedRepository,
    points: Mutex<Vec<RecoveryPoint>>,
    /// The batches of the log that the repository is known to hold, and since when.
    shipped: tokio::sync::Mutex<Option<(Stopwatch, LogBatches)>>,
}

impl ProtectedServer {
    /// With the points that are known.
    pub fn new(context: EngineContext, named: NamedRepository) -> Self {
        Self { points: Mutex::new(context.known.clone()), shipped: tokio::sync::Mutex::default(), named, context }
    }

    fn spool(&self) -> Spool<'_> {
        Spool(&self.context.folder)
    }

    async fn manifest(&self, point: &str) -> Result<BaseManifest, Error> {
        Ok(point::open(&self.named.repository, &self.named.protection, point).await?.1)
    }

    /// The newest base backup from which the target can be reached, with what is known of its log.
    async fn base_for(&self, goal: &Goal, target: &LogTarget) -> Result<(RecoveryPoint, Option<ReplayedLog>), Error> {
        let points = self.points().await?;
        let of_points = if matches!(goal, Goal::Point(_)) { goal } else { &Goal::Latest(None) };
        let newest = RestorePlan::of_points(&points, of_points)?.point;
        if matches!(goal, Goal::Latest(_) | Goal::Point(_)) {
            let log = self.look(&newest.id, target).await?;
            return Ok((newest, log));
        }
        let mut refused = None;
        for point in points.into_iter().rev() {
            match self.look(&point.id, target).await {
                Ok(log) => return Ok((point, log)),
                // An older one may begin early enough. The newest knows best how far the log reaches.
                Err(error) => refused = Some(refused.unwrap_or(error)),
            }
        }
        Err(refused.unwrap_or_else(|| Error::new(goal.to_string(), "there is no recovery point")))
    }

    /// Looks whether the log reaches a target from a point; nothing if that is only found out when it is restored.
    async fn look(&self, point: &str, target: &LogTarget) -> Result<Option<ReplayedLog>, Error> {
        let base = self.manifest(point).await?.base;
        if *target == LogTarget::Base {
            return Ok(Some(ReplayedLog { from: base.start, bytes: 0, before: None, next: None }));
        }
        target.check(&base)?;
        if let LogTarget::Time { at, .. } = target
            && *at < base.ended
        {
            return Err(target.early(&base));
        }
        let batches = self.batches().await?;
        let Some(log) = KnownLog::of(&base, &self.spool(), &batches)? else { return Err(no_log(target, point)) };
        let Some(bin) = tools::server_programs(base.major()).await else { return Ok(None) };
        let gathered;
        let folder = match (log.spooled(), target) {
            (Some(folder), _) => folder,
            // Which base backup is before a transaction, only the log tells.
            (None, LogTarget::Transaction { .. } | LogTarget::Name(_)) => {
                gathered = temporary()?;
                log.folder(&self.named.repository, gathered.path().join("log")).await?
            }
            (None, _) => return Ok(None),
        };
        let Some(reach) = folder.segments.reach(base.timeline, base.start) else { return Ok(None) };
        let view = LogView::of(&folder.path, &base, &folder.segments, reach, log.size)?;
        let found = view.find(&bin, target, log.sure).await?;
        Ok(Some(ReplayedLog { from: base.start, bytes: view.bytes, before: found.before, next: found.next }))
    }

    async fn batches(&self) -> Result<LogBatches, Error> {
        shipped::batches(&self.named.repository, &self.named.protection).await
    }

    async fn restored(&self, plan: &RestorePlan, path: &Path) -> Result<Finding, Error> {
        let target = plan.target.clone().unwrap_or(LogTarget::Base);
        let (stored, manifest) = point::open(&self.named.repository, &self.named.protection, &plan.point.id).await?;
        let base = &manifest.base;
        let directory = NewDirectory::at(path, base.major(), &manifest.administrator).await?;
        let (batches, spool) = (self.batches().await?, self.spool());
        let log = KnownLog::of(base, &spool, &batches)?.filter(|_| target != LogTarget::Base);
        let mut received = path.as_os_str().to_owned();
        received.push(".received");
        let (folder, none);
        let segments = match &log {
            Some(log) => {
                folder = log.folder(&self.named.repository, received.into()).await?;
                &folder.path
            }
            None if target == LogTarget::Base => {
                none = temporary()?;
                none.path() // the base backup has the log that it needs by itself
            }
            None => return Err(no_log(&target, &plan.point.id)),
        };
        let restore = PhysicalRestore {
            component: directory.component(),
            base,
            log: segments,
            sure: log.as_ref().and_then(|log| log.sure),
            target: &target,
            relations: true,
            archives: false,
            deadline: Deadline::within(RESTORE),
        };
        let copy = restore.restore(&directory, point::stream(&stored).await?).await?;
        let start = directory.finish().await?;
        let mut finding = finding(&target, &copy, log.as_ref().and_then(|log| log.sure).map(|sure| sure.lsn));
        if !directory.has_settings() {
            let note =
                "its `postgresql.conf` and `pg_hba.conf` are not in it, as they were not in the server's directory";
            finding = finding.figure("note", note);
        }
        Ok(finding.figure(TO_START, start))
    }
}

fn temporary() -> Result<TempDir, Error> {
    let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir();
    folder.map_err(|e| Error::caused_by("cannot make a temporary folder", e))
}

#[async_trait]
impl Session for ProtectedServer {
    async fn backup(&self, label: &str) -> Result<RecoveryPoint, Error> {
        let sql = self.context.platform.sql()?;
        let unmet = settings::unmet(sql).await?;
        if !unmet.is_empty() {
            return Err(settings::refusal(&unmet));
        }
        let (snapshot, taken_at) = (self.context.clock.now(), wall());
        let base = BaseBackup::begin(sql, label, Deadline::within(ANSWER)).await?;
        let sealed = self.named.configuration.as_ref();
        let named = PointName { subject: &self.named.protection, name: label, log: None, sealed };
        let stored = point::put(sql, &self.named.repository, base, named).await?;
        let point = RecoveryPoint { id: label.to_owned(), snapshot, taken_at, bytes: Some(stored.bytes) };
        self.points.lock().push(point.clone());
        Ok(point)
    }

    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
        Ok(self.points.lock().clone())
    }

    async fn reaches(&self, read: bool) -> Result<Vec<LogReach>, Error> {
        let (mut reaches, mut known, batches) = (vec![], BTreeSet::new(), self.batches().await?);
        for point in self.points().await? {
            let base = self.manifest(&point.id).await?.base;
            let log = KnownLog::of(&base, &self.spool(), &batches)?;
            let none = || (None, Some("no log of its server and timeline was received".to_owned()));
            let (until, mut flaw) = log.as_ref().map_or_else(none, KnownLog::judge);
            // What is in the repository is as it was put, and is read there. The log of the oldest point has that of the
            // later ones in it.
            let spooled = log.is_some_and(|log| log.spooled().is_some());
            if read && spooled && flaw.is_none() && known.insert((base.system, base.timeline)) {
                flaw = match self.look(&point.id, &LogTarget::End).await {
                    Ok(Some(_)) => None,
                    Ok(None) => Some("its log was not read: PostgreSQL's programs of its version are not here".into()),
                    Err(error) => Some(error.to_string()),
                };
            }
            reaches.push(LogReach { point: point.id, until, flaw });
        }
        Ok(reaches)
    }

    async fn ship(&self) -> Result<ShippedLog, Error> {
        let mut known = self.shipped.lock().await;
        if known.as_ref().is_none_or(|(since, _)| since.elapsed() > RELIST) {
            *known = Some((Stopwatch::start(), self.batches().await?));
        }
        let Some((_, batches)) = known.as_mut() else { return Ok(ShippedLog::default()) };
        let (spool, mut removable, mut parts) = (self.spool(), BTreeSet::new(), 0);
        for (system, timeline) in spool.logs()? {
            let Some(log) = spool.log(&system, timeline)? else { continue };
            let (repository, protection) = (&self.named.repository, &self.named.protection);
            let new = shipped::ship(repository, protection, (&spool, &system, timeline), &log, batches).await?;
            parts += new.iter().map(|(_, batch)| batch.last + 1 - batch.first).sum::<u64>();
            batches.extend(new);
            let (folder, segments) =
                (spool.folder(&system, timeline), spool.segments(&system, timeline, log.segment_size)?);
            let held = shipped::held(&segments, batches, (&system, timeline), SPOOLED);
            removable.extend(held.into_iter().map(|name| folder.join(name)));
        }
        Ok(ShippedLog { parts, removable })
    }

    async fn obsolete_log(&self, kept: &[String]) -> Result<Vec<String>, Error> {
        let mut bases = vec![];
        for point in kept {
            bases.push(self.manifest(point).await?.base);
        }
        let unneeded = |batch: &LogBatch| !bases.is_empty() && !bases.iter().any(|base| batch.needed_by(base));
        let batches = self.batches().await?.into_iter();
        Ok(batches.filter(|(_, batch)| unneeded(batch)).map(|(id, _)| id).collect())
    }

    async fn plan(&self, goal: &Goal) -> Result<RestorePlan, Error> {
        let target = match goal {
            Goal::Latest(_) => LogTarget::End,
            Goal::Point(_) => LogTarget::Base,
            Goal::At(at) => LogTarget::Time { at: *at, inclusive: true },
            Goal::Before(what) => LogTarget::before(what),
        };
        let (point, log) = self.base_for(goal, &target).await?;
        Ok(RestorePlan { target: Some(target), log, ..RestorePlan::of_point(goal, &point) })
    }

    async fn restore_apart(
        &self,
        plan: &RestorePlan,
        on: &ThrowawayServer,
        judge: &dyn PointJudge,
    ) -> Result<Finding, Error> {
        let BaseManifest { base, administrator, .. } = match self.manifest(&plan.point.id).await {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Finding::missed(error.to_string())),
        };
        tools::programs_of(base.major(), "cannot restore on a throw-away server").await?;
        let mut restored = match self.restored(plan, &on.data()).await {
            Ok(restored) => restored,
            Err(error) => return apart::refused(error),
        };
        let server = on.start(base.major(), &administrator).await?;
        let judged = judge.judge(&PointBeside { platform: &server, artifacts: None }).await;
        restored.figures.retain(|(name, _)| name != TO_START);
        Ok(restored.and(judged))
    }

    async fn restore(&self, plan: &RestorePlan) -> Finding {
        let Some(directory) = &plan.directory else {
            return Finding::missed("a server that others run is not replaced: a new data directory must be named");
        };
        let restored = self.restored(plan, &PathBuf::from(directory)).await;
        restored.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }
}

fn no_log(target: &LogTarget, point: &str) -> Error {
    let error = Error::new(format!("cannot restore {target}"), "no log of its server and timeline was received");
    error.hint(format!("`--to {point}` restores the base backup alone"))
}
