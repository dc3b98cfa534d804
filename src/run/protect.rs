//! Backups on their schedule, during the outage too, as in production.

use super::digests::PointDigests;
use super::recorder::Recorder;
use crate::engine::SnapshotReader;
use crate::environment::Platform;
use crate::model::{Fact, RecoveryPoint};
use crate::spec::Protect;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// A backup that takes longer than this has failed.
const DEADLINE: Duration = Duration::from_mins(10);
/// The longest time that the first backup waits for a write.
const FIRST_WRITE: Duration = Duration::from_secs(5);

/// Backups that are taken at an interval; dropping this ends them.
pub struct Schedule {
    points: Arc<Mutex<Vec<RecoveryPoint>>>,
    task: JoinHandle<()>,
}

impl Schedule {
    /// The complete recovery points so far, oldest first.
    pub fn points(&self) -> Vec<RecoveryPoint> {
        self.points.lock().clone()
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the schedule. If there is a workload, the first backup waits for the first acknowledged write, up to
/// [`FIRST_WRITE`]. No write would survive a restore of a point from before all writes, so the loss would have no bound.
/// A point counts once its digests lie beside it.
pub fn begin(
    recorder: &Recorder,
    platform: Arc<dyn Platform>,
    protect: &Protect,
    repository: PathBuf,
    digests: Option<PointDigests>,
    has_workload: bool,
) -> Schedule {
    let points: Arc<Mutex<Vec<RecoveryPoint>>> = Arc::default();
    let (engine, every, recorder, made) =
        (Arc::clone(&protect.engine.it), protect.every.0, recorder.clone(), points.clone());
    let task = tokio::spawn(async move {
        if has_workload {
            let _ = tokio::time::timeout(FIRST_WRITE, recorder.first_acknowledged()).await; // in any case the backup is taken
        }
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1.. {
            ticks.tick().await;
            recorder.append(Fact::BackupBegan { number });
            let (id, clock) = (format!("{number:04}"), recorder.clock());
            let reader = digests.as_ref().map(|digests| digests as &dyn SnapshotReader);
            let backup = engine.backup(platform.as_ref(), &repository, &id, &clock, reader);
            let (point, error) = match tokio::time::timeout(DEADLINE, backup).await {
                Ok(Ok(point)) => (Some(point), None),
                Ok(Err(error)) => (None, Some(error.to_string())),
                Err(_) => (None, Some("it was not done in time".to_owned())),
            };
            if let (Some(digests), Some(point)) = (&digests, &point) {
                digests.keep(&repository, &point.id);
            }
            made.lock().extend(point.clone());
            recorder.append(Fact::BackupEnded { number, point, error });
        }
    });
    Schedule { points, task }
}
