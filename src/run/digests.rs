//! What the checks read in the snapshots of backups, kept beside each recovery point.
//!
//! Only on a standing platform, whose users go on working between the planting and a backup. Elsewhere nothing is asked.
//! Whatever goes wrong here, the backup counts: its point then has no digests, and the timeline says so once.

use super::recorder::Recorder;
use crate::check::Check;
use crate::client::Error;
use crate::engine::SnapshotReader;
use crate::environment::Platform;
use crate::kind::Chosen;
use crate::model::{Fact, Planted};
use crate::store;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
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
    found: Mutex<Vec<(&'static str, Planted)>>,
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
            found: Mutex::default(),
            noted: AtomicBool::new(false),
        })
    }

    /// Writes what was read of a point beside it, durably.
    pub fn keep(&self, repository: &Path, point: &str) {
        for (check, found) in std::mem::take(&mut *self.found.lock()) {
            let path = path(repository, point, check);
            let written = serde_json::to_vec(&found).map_err(std::io::Error::from);
            if let Err(error) = written.and_then(|bytes| store::replace_durable(&path, &bytes)) {
                self.note(check, &Error::caused_by(format!("cannot write `{}`", path.display()), error));
            }
        }
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
    async fn read(&self, snapshot: &str) {
        self.found.lock().clear(); // of a backup that failed
        for (check, planted) in &self.checks {
            let read = check.at_point(self.platform.as_ref(), planted, snapshot);
            let late = Error::new("reading in a backup's snapshot", format!("not done within {} s", READ.as_secs()));
            match tokio::time::timeout(READ, read).await.unwrap_or(Err(late)) {
                Ok(found) => self.found.lock().extend(found.map(|found| (check.name, found))),
                Err(error) => self.note(check.name, &error),
            }
        }
    }
}

/// What a check had read of a point; none if there is nothing, or nothing that can be read.
pub fn kept(repository: &Path, point: &str, check: &str) -> Option<Planted> {
    let bytes = std::fs::read(path(repository, point, check)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn path(repository: &Path, point: &str, check: &str) -> PathBuf {
    repository.join(point).join(format!("{check}.json"))
}

#[cfg(test)]
#[path = "digests_tests.rs"]
mod tests;
