//! All that is known of the log of a base backup: what is in its repository, and what is in the spool of this machine.
//!
//! Apart from both because either may be gone, and only together they tell how far a base backup can be taken.

use super::base::BaseRecord;
use super::segments::{Reach, ReceivedLog};
use super::shipped::{self, LogBatch};
use super::spool::Spool;
use super::sure::SurePoint;
use crate::client::Error;
use crate::repository::OpenRepository;
use jiff::Timestamp;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// The log of a base backup.
pub struct KnownLog<'a> {
    base: &'a BaseRecord,
    batches: &'a [(String, LogBatch)],
    /// Bytes of a segment.
    pub size: u64,
    /// How far it is known to be complete.
    pub sure: Option<SurePoint>,
    /// How far it reaches; nothing if its beginning is missing.
    pub reach: Option<Reach>,
    /// The folder of its spool, with what is in it.
    spooled: Option<(PathBuf, ReceivedLog)>,
}

/// A folder with the segments of a log; what was fetched goes with this value.
pub struct LogFolder {
    /// Where they are.
    pub path: PathBuf,
    /// Which there are.
    pub segments: ReceivedLog,
    _fetched: Option<FetchedLog>,
}

impl<'a> KnownLog<'a> {
    /// Of this base backup; nothing if no log of its server and timeline was received.
    pub fn of(
        base: &'a BaseRecord,
        spool: &Spool<'_>,
        batches: &'a [(String, LogBatch)],
    ) -> Result<Option<Self>, Error> {
        let log = spool.log(&base.system, base.timeline)?;
        let of_log: Vec<_> =
            batches.iter().map(|(_, batch)| batch).filter(|batch| batch.is_of(&base.system, base.timeline)).collect();
        let size = log.as_ref().map(|log| log.segment_size).or_else(|| Some(of_log.first()?.segment_size));
        let Some(size) = size else { return Ok(None) };
        let spooled = match &log {
            Some(_) => {
                let segments = spool.segments(&base.system, base.timeline, size)?;
                Some((spool.folder(&base.system, base.timeline), segments))
            }
            None => None,
        };
        let mut all =
            spooled.as_ref().map_or_else(|| ReceivedLog::of([].into(), size), |(_, segments)| segments.clone());
        shipped::add_to(&mut all, batches, (&base.system, base.timeline), size);
        let sure =
            of_log.iter().filter_map(|batch| batch.sure).fold(None, |all, sure| SurePoint::further(all, Some(sure)));
        let sure = SurePoint::further(sure, log.and_then(|log| log.sure));
        Ok(Some(Self { base, batches, size, sure, reach: all.reach(base.timeline, base.start), spooled }))
    }

    /// Up to when it reaches, and why no further, if that is not as it should be.
    pub fn judge(&self) -> (Option<Timestamp>, Option<String>) {
        let flaw = |why: String| (None, Some(why));
        let Some(reach) = &self.reach else { return flaw("its log was not received from the beginning".into()) };
        if let Some(gap) = &reach.gap {
            return flaw(format!("segment `{gap}` of its log is missing or damaged"));
        }
        let behind = reach.behind(self.size);
        match self.sure {
            None => flaw("its receiver has received nothing yet".into()),
            Some(sure) if sure.lsn > behind => {
                flaw(format!("its log had been received up to {}, and is there up to {behind} only", sure.lsn))
            }
            Some(sure) if sure.lsn < self.base.stop => {
                flaw(format!("its log was received up to {}, and the backup ended at {}", sure.lsn, self.base.stop))
            }
            Some(sure) => (Some(sure.at), None),
        }
    }

    /// The folder of the spool, if all that is known of the log is in it.
    pub fn spooled(&self) -> Option<LogFolder> {
        let (path, segments) = self.spooled.as_ref()?;
        let whole = segments.reach(self.base.timeline, self.base.start) == self.reach && self.reach.is_some();
        whole.then(|| LogFolder { path: path.clone(), segments: segments.clone(), _fetched: None })
    }

    /// A folder with all of it: the spool's, or this one with what is in the repository and in the spool, made anew in the
    /// place of one that was left there.
    pub async fn folder(&self, repository: &OpenRepository, path: PathBuf) -> Result<LogFolder, Error> {
        if let Some(folder) = self.spooled() {
            return Ok(folder);
        }
        let cannot = |e: io::Error| Error::caused_by(format!("cannot gather the log in `{}`", path.display()), e);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
            _ => fs::DirBuilder::new().mode(0o700).create(&path).map_err(cannot)?,
        }
        let fetched = FetchedLog(path.clone());
        shipped::fetch(repository, self.batches, self.base, &path).await?;
        if let Some((folder, segments)) = &self.spooled {
            shipped::complete(folder, segments, (self.base, self.size), &path).map_err(cannot)?;
        }
        let segments = ReceivedLog::read(&path, self.size).map_err(cannot)?;
        Ok(LogFolder { path, segments, _fetched: Some(fetched) })
    }
}

/// A folder that goes with this value.
struct FetchedLog(PathBuf);

impl Drop for FetchedLog {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // the next one into the same folder removes it
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::Segment;
    use super::*;
    use crate::engine::Lsn;

    const MB: u64 = 1 << 20;

    #[test]
    fn a_log_that_does_not_reach_the_end_of_the_backup_is_a_flaw() {
        let base = BaseRecord { stop: Lsn(3 * MB), ..BaseRecord::sample() };
        let segment = |number| Segment { timeline: 1, number };
        let said = |sure: Option<u64>| {
            let sure = sure.map(|lsn| SurePoint { lsn: Lsn(lsn), at: Timestamp::UNIX_EPOCH });
            let reach = Some(Reach { first: segment(2), last: segment(3), gap: None });
            let log = KnownLog { base: &base, batches: &[], size: MB, sure, reach, spooled: None };
            let (until, flaw) = log.judge();
            assert_eq!(until.is_some(), flaw.is_none());
            flaw.unwrap_or_default()
        };
        assert_eq!(said(Some(3 * MB)), "");
        assert_eq!(said(Some(3 * MB - 1)), "its log was received up to 0/2FFFFF, and the backup ended at 0/300000");
        assert_eq!(said(None), "its receiver has received nothing yet");
        assert!(said(Some(5 * MB)).ends_with("and is there up to 0/400000 only"));
    }
}
