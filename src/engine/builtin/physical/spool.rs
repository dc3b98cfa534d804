//! The spool of a protection: the logs that were received on this machine, a folder for each timeline of each server, and
//! beside each what its receiver said last.
//!
//! Apart from the receiver because others read it while that works, and when it is long gone: how far a log is known to be
//! complete must outlive the program that saw it. One program at a time receives into a spool.

use super::receiver::ReceiverHealth;
use super::segments::ReceivedLog;
use super::sure::SurePoint;
use crate::client::Error;
use crate::store;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// A spool.
pub struct Spool<'a>(pub &'a Path);

/// What the receiver of one log said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpooledLog {
    /// Bytes of a segment.
    pub segment_size: u64,
    /// How the receiver was.
    pub health: ReceiverHealth,
    /// How far the log is known to be complete, by this receiver or one before it.
    pub sure: Option<SurePoint>,
    /// When it said so.
    pub at: Timestamp,
}

/// What keeps others from receiving into the same spool, while it lives.
pub struct SpoolLock(#[allow(dead_code)] File);

impl Spool<'_> {
    /// Keeps others out.
    ///
    /// # Errors
    /// When another receives into it, or it cannot be made.
    pub fn lock(&self) -> Result<SpoolLock, Error> {
        let what = format!("cannot receive into `{}`", self.0.display());
        let open = || {
            fs::create_dir_all(self.0)?;
            OpenOptions::new().create(true).truncate(false).write(true).open(self.0.join("lock"))
        };
        let file = open().map_err(|e| Error::caused_by(&what, e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(SpoolLock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(what, "another `lifeboat receive` does")),
            Err(errno) => Err(Error::caused_by(what, std::io::Error::from(errno))),
        }
    }

    /// The folder of a log.
    pub fn folder(&self, system: &str, timeline: u32) -> PathBuf {
        self.0.join(format!("{system}-{timeline}"))
    }

    /// What its receiver said last; nothing if none ever received it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self, system: &str, timeline: u32) -> Result<Option<SpooledLog>, Error> {
        let path = self.beside(system, timeline);
        let cannot = |e: std::io::Error| Error::caused_by(format!("cannot read `{}`", path.display()), e);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| cannot(e.into())).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot(error)),
        }
    }

    /// Keeps what a receiver says. What was sure once stays so.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(
        &self,
        (system, timeline): (&str, u32),
        segment_size: u64,
        health: &ReceiverHealth,
    ) -> Result<(), Error> {
        let path = self.beside(system, timeline);
        let before = self.log(system, timeline)?.and_then(|log| log.sure);
        let sure = SurePoint::further(health.sure, before);
        let log = SpooledLog { segment_size, health: health.clone(), sure, at: crate::clock::wall() };
        let cannot = |e: std::io::Error| Error::caused_by(format!("cannot write `{}`", path.display()), e);
        let text = serde_json::to_vec_pretty(&log).map_err(|e| cannot(e.into()))?;
        store::replace_durable(&path, &text).map_err(cannot)
    }

    /// The segments of a log in it.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn segments(&self, system: &str, timeline: u32, size: u64) -> Result<ReceivedLog, Error> {
        let folder = self.folder(system, timeline);
        let read = ReceivedLog::read(&folder, size);
        read.map_err(|e| Error::caused_by(format!("cannot read `{}`", folder.display()), e))
    }

    /// Server and timeline of each log in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn logs(&self) -> Result<Vec<(String, u32)>, Error> {
        let cannot = |e| Error::caused_by(format!("cannot read `{}`", self.0.display()), e);
        let mut logs = vec![];
        for entry in fs::read_dir(self.0).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name().to_string_lossy().into_owned();
            let log = name.strip_suffix(".json").and_then(|name| name.split_once('-'));
            logs.extend(log.and_then(|(system, timeline)| Some((system.to_owned(), timeline.parse().ok()?))));
        }
        logs.sort();
        Ok(logs)
    }

    fn beside(&self, system: &str, timeline: u32) -> PathBuf {
        self.folder(system, timeline).with_extension("json")
    }
}
