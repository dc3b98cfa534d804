//! A look into a log on this machine before anything is unpacked: does it reach the target, and what is on both sides?
//!
//! Apart from the log beside a copy because here nothing is copied: `pg_waldump` reads links to the segments, under the
//! names that it wants.

use super::base::BaseRecord;
use super::log::{reached, read};
use super::resolve::ResolvedTarget;
use super::segment::Segment;
use super::segments::{Reach, ReceivedLog};
use super::sure::SurePoint;
use crate::client::{Error, Running};
use crate::engine::LogTarget;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Links to the segments of a log, from a base backup on.
pub struct LogView<'a> {
    links: TempDir,
    base: &'a BaseRecord,
    size: u64,
    reach: Reach,
    /// Bytes of the segments.
    pub bytes: u64,
}

impl<'a> LogView<'a> {
    /// Of a folder with these segments.
    pub fn of(folder: &Path, base: &'a BaseRecord, log: &ReceivedLog, reach: Reach, size: u64) -> Result<Self, Error> {
        let cannot = |e| Error::caused_by(format!("cannot look into `{}`", folder.display()), e);
        let links = tempfile::Builder::new().prefix("lifeboat-").tempdir().map_err(cannot)?;
        let folder = std::path::absolute(folder).map_err(cannot)?;
        let (mut bytes, first) = (0, Segment::holding(base.timeline, base.start, size));
        for (segment, name) in log.files.range(first..).filter(|(it, _)| it.number <= reach.last.number) {
            symlink(folder.join(name), links.path().join(segment.name(size))).map_err(cannot)?;
            bytes += size;
        }
        Ok(Self { links, base, size, reach, bytes })
    }

    /// Reads it for the target, by the programs in `bin`.
    pub async fn find(&self, bin: &Path, target: &LogTarget, sure: Option<SurePoint>) -> Result<ResolvedTarget, Error> {
        let mut command = Command::new(bin.join("pg_waldump"));
        command.arg("-p").arg(self.links.path()).args(super::log::arguments(
            self.base,
            target,
            self.reach.behind(self.size),
        ));
        command.env("TZ", "UTC").env("LC_ALL", "C");
        let scan = read(Running::process(command.into())?, target, self.base.stop).await?;
        reached(scan, (&self.reach, self.size), self.base, target, sure)
    }
}
