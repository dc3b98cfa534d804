//! What the checks read in the snapshots of backups, which engines keep with each recovery point.
//!
//! Only on a standing platform, whose users go on working between the planting and a backup. Elsewhere nothing is asked.
//! Whatever goes wrong here, the backup counts: its point then has no digests, and the timeline says so once.

use super::recorder::Recorder;
use crate::check::Check;
use crate::client::Error;
use crate::engine::{Readings, SnapshotReader};
use crate::environment::Platform;
use crate::kind::Chosen;
use crate::model::{Fact, Planted};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest time that one check reads in a snapshot: the backup waits for it.
const READ: Duration = Duration::from_mins(1);

/// Lets the checks read in the snapshots of backups.
pub struct PointDigests {
    platform: Arc<dyn Platform>,
    recorder: Recorder,
    checks: Vec<(Chosen<dyn Check>, Planted)>,
    noted: AtomicBool,
}

impl PointDigests {
    /// For the checks that have planted; none where nobody else writes.
    pub fn new(
        platform: &Arc<dyn Platform>,
        recorder: &Recorder,
        checks: &[Chosen<dyn Check>],
        planted: &[Planted],
    ) -> Option<Self> {
        let checks = || checks.iter().cloned().zip(planted.iter().cloned());
        platform.standing().then(|| Self {
            platform: Arc::clone(platform),
            recorder: recorder.clone(),
            checks: checks().collect(),
            noted: AtomicBool::new(false),
        })
    }

    fn note(&self, check: &str, error: &Error) {
        if !self.noted.swap(true, Ordering::Relaxed) {
            let text = format!("recovery points without digests of the check `{check}`: {error}");
            self.recorder.append(Fact::Note(text));
        }
    }
}

#[async_trait]
impl SnapshotReader for PointDigests {
    async fn read(&self, snapshot: &str) -> Readings {
        let mut readings = Readings::new();
        for (check, planted) in &self.checks {
            let read = check.at_point(self.platform.as_ref(), planted, snapshot);
            let late = Error::new("reading in a backup's snapshot", format!("not done within {} s", READ.as_secs()));
            match tokio::time::timeout(READ, read).await.unwrap_or(Err(late)) {
                Ok(found) => readings.extend(found.map(|found| (check.name.to_owned(), found))),
                Err(error) => self.note(check.name, &error),
            }
        }
        readings
    }
}

#[cfg(test)]
#[path = "digests_tests.rs"]
mod tests;
