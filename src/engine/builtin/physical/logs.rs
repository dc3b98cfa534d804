//! The logs that a session receives: one folder for each time that receiving began, in the folder of the run's points.
//!
//! Apart because a log outlives its receiver: a point is restored with the log that it was taken beside, also when another
//! is being received by then. A log belongs to one timeline of one server; a receiver that finds another is ended, and
//! the next one begins a new folder, followed by a new base backup.

use super::receiver::{CommitMode, Receiver, ReceiverHealth, ReceiverSettings, ReceiverState};
use super::settings;
use crate::client::Error;
use crate::clock::Deadline;
use crate::environment::Platform;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The name of the slot, and of the receiver where commits wait for it.
pub const SLOT: &str = "lifeboat";
/// How long a start may take.
const START: Duration = Duration::from_secs(30);
/// How long an end may take. A server that is gone does not hold it up; one that is frozen does.
const END: Duration = Duration::from_secs(5);
/// After how long without a sign of life the receiver counts as stalled, and how long commits then wait for it.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// The logs in a folder.
pub struct LogFolders {
    folder: PathBuf,
    commits: CommitMode,
    current: Option<(String, Receiver)>,
    /// How far those that have ended were received.
    ended: BTreeMap<String, ReceiverHealth>,
}

impl LogFolders {
    /// None yet; they will lie in this folder.
    pub fn new(folder: &Path, commits: CommitMode) -> Self {
        Self { folder: folder.to_owned(), commits, current: None, ended: BTreeMap::new() }
    }

    /// Sees to it that the log is received; answers the name of its folder.
    ///
    /// # Errors
    /// When the server is not set up for it, or the receiver does not start.
    pub async fn receive(&mut self, platform: &Arc<dyn Platform>) -> Result<String, Error> {
        match &self.current {
            Some((name, receiver)) if receiver.health().state != ReceiverState::Broken => return Ok(name.clone()),
            _ => self.end(platform).await,
        }
        let unmet = settings::unmet(platform.sql()?).await?;
        if !unmet.is_empty() {
            return Err(settings::refusal(&unmet));
        }
        let mut names = (1..).map(|number| format!("log-{number:04}"));
        let name = names.find(|name| !self.path(name).exists()).unwrap_or_default();
        let (folder, (patience, hold)) = (self.path(&name), PATIENCE);
        let settings = ReceiverSettings { slot: SLOT.into(), folder, mode: self.commits, patience, hold };
        let receiver = Receiver::start(Arc::clone(platform), settings, Deadline::within(START)).await?;
        self.current = Some((name.clone(), receiver));
        Ok(name)
    }

    /// Ends receiving, with the slot if the server is still there.
    pub async fn end(&mut self, platform: &Arc<dyn Platform>) {
        let Some((name, receiver)) = self.current.take() else { return };
        self.ended.insert(name, receiver.health());
        if let Ok(sql) = platform.sql() {
            let _ = receiver.stop(sql, true, Deadline::within(END)).await; // a server that is gone has no slot any more
        }
    }

    /// How far the log of this name was received; nothing if that is not known.
    pub fn health(&self, name: &str) -> Option<ReceiverHealth> {
        let current = self.current.as_ref().filter(|(current, _)| current == name);
        current.map(|(_, receiver)| receiver.health()).or_else(|| self.ended.get(name).cloned())
    }

    /// Where the log of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
