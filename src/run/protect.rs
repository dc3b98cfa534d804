//! Backups on their schedule, during the outage too, as in production.

use super::recorder::Recorder;
use crate::engine::Session;
use crate::model::{Fact, Period};
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
    task: JoinHandle<()>,
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the schedule. If there is a workload, the first backup waits for the first acknowledged write, up to
/// [`FIRST_WRITE`]. No write would survive a restore of a point from before all writes, so the loss would have no bound.
pub fn begin(recorder: &Recorder, session: Arc<dyn Session>, every: Period, has_workload: bool) -> Schedule {
    let (recorder, backups) = (recorder.clone(), session);
    let task = tokio::spawn(async move {
        if has_workload {
            let _ = tokio::time::timeout(FIRST_WRITE, recorder.first_acknowledged()).await; // in any case the backup is taken
        }
        let mut ticks = tokio::time::interval(every.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1.. {
            ticks.tick().await;
            recorder.append(Fact::BackupBegan { number });
            let label = format!("{number:04}");
            let (point, error) = match tokio::time::timeout(DEADLINE, backups.backup(&label)).await {
                Ok(Ok(point)) => (Some(point), None),
                Ok(Err(error)) => (None, Some(error.to_string())),
                Err(_) => (None, Some("it was not done in time".to_owned())),
            };
            recorder.append(Fact::BackupEnded { number, point, error });
        }
    });
    Schedule { task }
}
