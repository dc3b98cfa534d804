//! The session of physical backups: the log is received from the first backup on, base backups are its points, and a
//! restore replays the log on one of them up to the last transaction before the disaster.
//!
//! Dropping it ends `pg_receivewal`; the slot goes with the platform, or by [`tidy`]. After a restore the server is on
//! another timeline: receiving has ended, and the next backup begins anew.

use super::base::BaseBackup;
use super::logs::{LogFolders, SLOT};
use super::point::PointName;
use super::reading::ClockReading;
use super::receiver::{self, CommitMode, ReceiverState};
use super::restore::{PhysicalRestore, RestoredCopy};
use super::{ANSWER, point, swap};
use crate::client::Error;
use crate::clock::{self, Deadline};
use crate::engine::LogTarget;
use crate::engine::TransactionEnd;
use crate::engine::builtin::own;
use crate::engine::{EngineContext, Goal, Lsn, RestorePlan, Session};
use crate::environment::{Asset, Platform, stack};
use crate::model::{Finding, RecoveryPoint};
use crate::repository::OpenRepository;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::time::Duration;

/// The component that is backed up and restored.
const COMPONENT: &str = stack::COMPONENTS[0];
/// What the points are of.
const SUBJECT: &str = "server";
/// How long a restore may take, whatever its caller allows.
const RESTORE: Duration = Duration::from_hours(12);

/// Physical backups of one platform's database server.
pub struct PhysicalSession {
    context: EngineContext,
    repository: OpenRepository,
    points: Mutex<Vec<RecoveryPoint>>,
    /// The newest one.
    reading: Mutex<Option<ClockReading>>,
    /// Held while receiving begins or ends, and by a restore until it is over.
    logs: tokio::sync::Mutex<LogFolders>,
}

impl PhysicalSession {
    /// Uses the run's own repository, with the points that are known.
    pub async fn begin(context: EngineContext, commits: CommitMode) -> Result<Self, Error> {
        let repository = own::open(&context.folder).await?;
        let logs = tokio::sync::Mutex::new(LogFolders::new(&context.folder, commits));
        Ok(Self { points: Mutex::new(context.known.clone()), reading: Mutex::default(), logs, repository, context })
    }

    async fn restored(&self, plan: &RestorePlan) -> Result<Finding, Error> {
        let platform = &self.context.platform;
        let target = plan.target.clone().unwrap_or(LogTarget::Base);
        let (stored, manifest) = point::open(&self.repository, SUBJECT, &plan.point.id).await?;
        let mut logs = self.logs.lock().await;
        let log = manifest.log.clone().unwrap_or_default();
        logs.end(platform).await; // what is still being written cannot be read
        swap::clear(platform.as_ref(), COMPONENT).await?;
        let health = logs.health(&log);
        let restore = PhysicalRestore {
            component: COMPONENT,
            base: &manifest.base,
            log: &logs.path(&log),
            sure: health.as_ref().and_then(|health| health.sure),
            target: &target,
            archives: true,
            relations: false, // clients wait meanwhile, and the check `database-health` looks at the same
            deadline: Deadline::within(RESTORE),
        };
        let mut copy = restore.restore(platform.as_ref(), point::stream(&stored).await?).await?;
        copy.laps.extend(swap::swap_in(platform.as_ref(), COMPONENT).await?);
        Ok(finding(&target, &copy, health.and_then(|health| health.received)))
    }
}

#[async_trait]
impl Session for PhysicalSession {
    async fn backup(&self, label: &str) -> Result<RecoveryPoint, Error> {
        let EngineContext { platform, clock, .. } = &self.context;
        let sql = platform.sql()?;
        let log = self.logs.lock().await.receive(platform).await?;
        *self.reading.lock() = Some(ClockReading::take(sql, *clock).await?);
        let base = BaseBackup::begin(sql, label, Deadline::within(ANSWER)).await?;
        let stored = point::put(
            sql,
            &self.repository,
            base,
            PointName { subject: SUBJECT, name: label, log: Some(log.clone()), sealed: None },
        )
        .await?;
        let health = self.logs.lock().await.health(&log);
        if let Some(health) = health.filter(|health| health.state != ReceiverState::Streaming) {
            let said = health.said.map(|said| format!(": {said}")).unwrap_or_default();
            return Err(Error::new("the log is not received", format!("the receiver is {}{said}", health.state)));
        }
        let (snapshot, taken_at) = (clock.now(), clock::wall());
        let point = RecoveryPoint { id: label.to_owned(), snapshot, taken_at, bytes: Some(stored.bytes) };
        self.points.lock().push(point.clone());
        Ok(point)
    }

    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
        Ok(self.points.lock().clone())
    }

    async fn plan(&self, goal: &Goal) -> Result<RestorePlan, Error> {
        let target = target(goal, *self.reading.lock())?;
        // Which base backup is before a transaction, only its log tells: the newest is tried.
        let of_points = if matches!(goal, Goal::Before(_)) { &Goal::Latest(None) } else { goal };
        let plan = RestorePlan::of_points(&self.points().await?, of_points)?;
        Ok(RestorePlan { goal: goal.clone(), target: Some(target), ..plan })
    }

    async fn restore(&self, plan: &RestorePlan) -> Finding {
        if !plan.restores(Asset::Database) {
            return Finding::missed(format!("the recovery point `{}` has no artifacts", plan.point.id));
        }
        self.restored(plan).await.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }
}

/// Up to where the log is replayed for a goal.
fn target(goal: &Goal, reading: Option<ClockReading>) -> Result<LogTarget, Error> {
    Ok(match goal {
        Goal::Latest(None) => LogTarget::End,
        // The earliest time of that moment: what the disaster did must not be replayed.
        Goal::Latest(Some(before)) => {
            let unread =
                || Error::new(goal.to_string(), "the server's clock was never read, so its log cannot be dated");
            LogTarget::Newest { at: reading.ok_or_else(unread)?.earliest(*before)?, inclusive: false }
        }
        Goal::At(time) => LogTarget::Newest { at: *time, inclusive: true },
        Goal::Point(_) => LogTarget::Base,
        Goal::Before(what) => LogTarget::before(what),
    })
}

/// What is told of a restore.
pub(super) fn finding(target: &LogTarget, copy: &RestoredCopy, received: Option<Lsn>) -> Finding {
    let transaction = |end: &TransactionEnd| format!("{} of {}", end.xid, end.at);
    let figures = [
        ("target", Some(target.to_string())),
        ("last transaction", copy.before.as_ref().map(transaction)),
        ("not replayed", copy.next.as_ref().map(transaction)),
        ("replayed to", Some(copy.replayed.to_string())),
        ("received to", received.map(|lsn| lsn.to_string())),
        ("timeline", Some(copy.timeline.to_string())),
    ];
    let laps = copy.laps.iter().map(|(name, seconds)| (name.as_str(), Some(format!("{seconds:.3} s"))));
    let news = copy.news.iter().map(|news| ("note", Some(news.clone())));
    let all = figures.into_iter().chain(laps).chain(news);
    all.filter_map(|(name, value)| Some((name, value?))).fold(Finding::met(), |f, (name, value)| f.figure(name, value))
}

/// Removes what a session or a restore that was killed left on the platform: the copy beside the live directory, and the
/// slot, with the commits that wait for it.
pub async fn tidy(platform: &dyn Platform) -> Result<(), Error> {
    platform.volumes()?.remove_side(COMPONENT).await?;
    receiver::tidy(platform.sql()?, SLOT, Deadline::within(ANSWER)).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use jiff::Timestamp;

    #[test]
    fn each_goal_has_its_place_in_the_log() {
        let at = |text: &str| format!("2026-11-28T{text}Z").parse::<Timestamp>().unwrap();
        let reading = Some(ClockReading { answered: Moment::at(10.0), server: at("01:00:00") });
        let before_the_onset = Goal::Latest(Some(Moment::at(25.5)));
        let newest = LogTarget::Newest { at: at("01:00:15.5"), inclusive: false };
        assert_eq!(target(&before_the_onset, reading).unwrap(), newest);
        assert!(target(&before_the_onset, None).unwrap_err().to_string().contains("never read"));
        assert_eq!(target(&Goal::Latest(None), None).unwrap(), LogTarget::End);
        assert_eq!(target(&Goal::Point("0001".into()), None).unwrap(), LogTarget::Base);
        let before = LogTarget::Transaction { xid: 735, inclusive: false };
        assert_eq!(target(&Goal::Before("735".into()), None).unwrap(), before);
        let time = LogTarget::Newest { at: at("02:00:00"), inclusive: true };
        assert_eq!(target(&Goal::At(at("02:00:00")), None).unwrap(), time);
    }
}
