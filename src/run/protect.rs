//! Backups on their schedule, through the outage too, as in production.

use super::recorder::Recorder;
use crate::environment::Platform;
use crate::model::{Fact, RecoveryPoint};
use crate::spec::Protect;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// A backup that takes longer than this has failed.
const DEADLINE: Duration = Duration::from_mins(10);
/// The first backup does not wait longer for a write than this.
const FIRST_WRITE: Duration = Duration::from_secs(5);

/// The schedule at work.
pub struct Schedule {
    points: Arc<Mutex<Vec<RecoveryPoint>>>,
    task: JoinHandle<()>,
}

impl Schedule {
    /// The complete points so far, oldest first.
    pub fn points(&self) -> Vec<RecoveryPoint> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sets the schedule going. Where clients write, the first backup waits for the first acknowledged write, up to
/// [`FIRST_WRITE`]: of a point from before all writes none would survive, and the recovery point would have no bound.
pub fn begin(
    recorder: &Recorder,
    platform: Arc<dyn Platform>,
    protect: &Protect,
    repository: PathBuf,
    written: bool,
) -> Schedule {
    let points: Arc<Mutex<Vec<RecoveryPoint>>> = Arc::default();
    let (engine, every, recorder, made) =
        (Arc::clone(&protect.engine.it), protect.every.0, recorder.clone(), points.clone());
    let task = tokio::spawn(async move {
        if written {
            let _ = tokio::time::timeout(FIRST_WRITE, recorder.first_acknowledged()).await; // late, and still a backup
        }
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1.. {
            ticks.tick().await;
            recorder.append(Fact::BackupBegan { number });
            let (id, clock) = (format!("{number:04}"), recorder.clock());
            let backup = engine.backup(platform.as_ref(), &repository, &id, &clock);
            let (point, error) = match tokio::time::timeout(DEADLINE, backup).await {
                Ok(Ok(point)) => (Some(point), None),
                Ok(Err(error)) => (None, Some(error.to_string())),
                Err(_) => (None, Some("it took too long".to_owned())),
            };
            made.lock().unwrap_or_else(PoisonError::into_inner).extend(point.clone());
            recorder.append(Fact::BackupEnded { number, point, error });
        }
    });
    Schedule { points, task }
}
