//! The log in a repository: batches of segments, each a snapshot of its own beside the points.
//!
//! Apart from the spool because this outlives the machine that received it. A batch holds segments that follow each other, and
//! the one that is still being received as far as it is; what it holds stands in its tag, so that a list tells how far the
//! log reaches, and no batch need be opened for that. It is never changed: with a key that cannot delete, batches are
//! added as points are. Its label is not the protection's, so no list of points has it.

use super::base::BaseRecord;
use super::segment::Segment;
use super::segments::{PARTIAL, ReceivedLog};
use super::spool::{Spool, SpooledLog};
use super::sure::SurePoint;
use crate::client::Error;
use crate::clock::wall;
use crate::repository::{NewFile, NewPoint, OpenRepository};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;

/// So many segments are in a batch at most: 1 GiB of the usual ones.
const BATCH: usize = 64;
/// The folder of the segments in a batch.
const FOLDER: &str = "log/";

/// What a batch holds, as its tag tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBatch {
    /// The cluster's own identifier.
    pub system: String,
    /// The timeline.
    pub timeline: u32,
    /// Bytes of a segment.
    pub segment_size: u64,
    /// The number of its first segment.
    pub first: u64,
    /// The number of its last one.
    pub last: u64,
    /// Is the last one still being received?
    pub partial: bool,
    /// How far the log is known to be complete up to this batch.
    pub sure: Option<SurePoint>,
}

/// Batches, each with the id of its snapshot.
pub type LogBatches = Vec<(String, LogBatch)>;

/// The label of the batches of a protection. No protection has such a name.
pub fn label(protection: &str) -> String {
    format!("{protection}/log")
}

impl LogBatch {
    /// Is it of this log?
    pub fn is_of(&self, system: &str, timeline: u32) -> bool {
        self.system == system && self.timeline == timeline
    }

    fn holds_whole(&self, number: u64) -> bool {
        (self.first..=self.last).contains(&number) && !(self.partial && number == self.last)
    }

    /// Is it needed by a base backup, or by one that is newer?
    pub fn needed_by(&self, base: &BaseRecord) -> bool {
        self.system == base.system && self.last >= Segment::holding(base.timeline, base.start, self.segment_size).number
    }
}

/// The batches of a protection in a repository, the oldest first.
pub async fn batches(repository: &OpenRepository, protection: &str) -> Result<LogBatches, Error> {
    let label = label(protection);
    let mut all = vec![];
    for point in repository.points().await?.points.into_iter().filter(|point| point.label == label) {
        let batch = point.tags.iter().find_map(|tag| serde_json::from_str(tag).ok());
        let unread =
            || Error::new(format!("cannot read the tag of the log `{}`", point.id), "it is of another version");
        all.push((point.id.clone(), batch.ok_or_else(unread)?));
    }
    Ok(all)
}

/// Adds to what is known of a log the segments that these batches hold. One that was put while it was being received counts
/// only at the end of the log: behind it, the rest of it is missing.
pub fn add_to(received: &mut ReceivedLog, batches: &[(String, LogBatch)], (system, timeline): (&str, u32), size: u64) {
    let of_log = || batches.iter().map(|(_, batch)| batch).filter(|batch| batch.is_of(system, timeline));
    for batch in of_log() {
        for number in (batch.first..=batch.last).filter(|number| batch.holds_whole(*number)) {
            let segment = Segment { timeline, number };
            received.files.entry(segment).or_insert_with(|| segment.name(size));
        }
    }
    let last = received.files.keys().filter(|segment| segment.timeline == timeline).map(|segment| segment.number).max();
    let newest = of_log().filter(|batch| batch.partial).map(|batch| batch.last).max();
    if let Some(number) = newest.filter(|newest| last.is_none_or(|last| *newest == last + 1)) {
        let segment = Segment { timeline, number };
        received.files.entry(segment).or_insert_with(|| segment.name(size));
    }
}

/// Puts into the repository what it lacks of a log in the spool; answers the batches that are new.
pub async fn ship(
    repository: &OpenRepository,
    protection: &str,
    (spool, system, timeline): (&Spool<'_>, &str, u32),
    log: &SpooledLog,
    known: &[(String, LogBatch)],
) -> Result<LogBatches, Error> {
    let folder = spool.folder(system, timeline);
    let cannot = |e| Error::caused_by(format!("cannot read `{}`", folder.display()), e);
    let received = ReceivedLog::read(&folder, log.segment_size).map_err(cannot)?;
    let known: Vec<_> = known.iter().map(|(_, batch)| batch).filter(|batch| batch.is_of(system, timeline)).collect();
    let sure = known.iter().filter_map(|batch| batch.sure).map(|sure| sure.lsn).max();
    let grown = log.sure.map(|sure| sure.lsn) > sure;
    let is_new = |segment: &Segment, name: &str| {
        if name.ends_with(PARTIAL) { grown } else { !known.iter().any(|batch| batch.holds_whole(segment.number)) }
    };
    let new: Vec<_> = received.files.iter().filter(|(segment, name)| is_new(segment, name)).collect();
    let runs = new.chunk_by(|(a, _), (b, _)| a.number + 1 == b.number).flat_map(|run| run.chunks(BATCH));
    let newest = received.files.keys().next_back();
    let mut put = vec![];
    for run in runs {
        let ([(first, _), ..], [.., (last, name)]) = (run, run) else { continue };
        let batch = LogBatch {
            system: system.to_owned(),
            timeline,
            segment_size: log.segment_size,
            first: first.number,
            last: last.number,
            partial: name.ends_with(PARTIAL),
            sure: log.sure.filter(|_| Some(*last) == newest),
        };
        put.push((put_batch(repository, protection, &folder, &batch, run).await?, batch));
    }
    Ok(put)
}

async fn put_batch(
    repository: &OpenRepository,
    protection: &str,
    folder: &Path,
    batch: &LogBatch,
    run: &[(&Segment, &String)],
) -> Result<String, Error> {
    let time = wall();
    let tag = serde_json::to_string(batch).map_err(|e| Error::caused_by("the tag of a log", e))?;
    let name = time.strftime("log-%Y%m%dT%H%M%S.%6fZ").to_string();
    let size = batch.segment_size;
    let files: Vec<_> = run.iter().map(|(_, name)| (folder.join(name), format!("{FOLDER}{name}"))).collect();
    let files = files.into_iter().map(move |(path, name)| {
        let open = move || async move {
            let opened = tokio::fs::File::open(&path).await;
            let file = opened.map_err(|e| Error::caused_by(format!("cannot read `{}`", path.display()), e))?;
            Ok(Box::new(file) as Box<_>)
        };
        Ok(NewFile { size: Some(size), ..NewFile::stream(name, open) })
    });
    let point = NewPoint { label: label(protection), tags: vec![name, tag], time };
    Ok(repository.put(point, futures::stream::iter(files)).await?.id)
}

/// Which of the spool's files a repository with these batches holds whole, but for the newest ones.
pub fn held<'a>(
    received: &'a ReceivedLog,
    batches: &[(String, LogBatch)],
    (system, timeline): (&str, u32),
    but: usize,
) -> Vec<&'a str> {
    let of_log: Vec<_> = batches.iter().filter(|(_, batch)| batch.is_of(system, timeline)).collect();
    let whole = received.files.iter().rev().skip(but).filter(|(_, name)| !name.ends_with(PARTIAL));
    let held = whole.filter(|(segment, _)| of_log.iter().any(|(_, batch)| batch.holds_whole(segment.number)));
    held.map(|(_, name)| name.as_str()).collect()
}

/// Fetches the segments of a log from the one on that a base backup begins in. Of one that was put while it was being
/// received, the newest stays.
pub async fn fetch(
    repository: &OpenRepository,
    batches: &[(String, LogBatch)],
    base: &BaseRecord,
    into: &Path,
) -> Result<(), Error> {
    let of_log = |batch: &LogBatch| batch.is_of(&base.system, base.timeline) && batch.needed_by(base);
    for (id, batch) in batches.iter().filter(|(_, batch)| of_log(batch)) {
        let from = Segment::holding(base.timeline, base.start, batch.segment_size);
        let contents = repository.point(id).await?;
        let mut files = std::pin::pin!(contents.list(FOLDER));
        while let Some(file) = files.next().await {
            let file = file?;
            let name = file.name.strip_prefix(FOLDER).unwrap_or(&file.name);
            let whole = name.strip_suffix(PARTIAL).unwrap_or(name);
            if Segment::named(whole, batch.segment_size).is_none_or(|segment| segment < from) {
                continue;
            }
            let path = into.join(name);
            let cannot = |e| Error::caused_by(format!("cannot fetch the log into `{}`", into.display()), e);
            let mut to = tokio::fs::File::create(&path).await.map_err(cannot)?;
            tokio::io::copy(&mut contents.read(&file), &mut to).await.map_err(cannot)?;
            to.sync_all().await.map_err(cannot)?;
        }
    }
    Ok(())
}

/// Adds the segments of a folder, from the one on that a base backup begins in, that another lacks or has only in part.
pub fn complete(
    folder: &Path,
    received: &ReceivedLog,
    (base, size): (&BaseRecord, u64),
    into: &Path,
) -> io::Result<()> {
    for (_, name) in received.files.range(Segment::holding(base.timeline, base.start, size)..) {
        let whole = into.join(name.strip_suffix(PARTIAL).unwrap_or(name));
        if !whole.exists() {
            let to = into.join(name);
            if to.exists() {
                fs::remove_file(&to)?; // the spool has more of it
            }
            let from = folder.join(name);
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop))?; // on another disk
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::Lsn;
    use std::collections::BTreeMap;

    const SIZE: u64 = 1 << 20;

    fn batch(first: u64, last: u64, partial: bool) -> (String, LogBatch) {
        let sure = None;
        let batch = LogBatch { system: "7".into(), timeline: 1, segment_size: SIZE, first, last, partial, sure };
        (format!("{first}-{last}"), batch)
    }

    fn gap(batches: &[(String, LogBatch)]) -> (u64, Option<String>) {
        let mut all = ReceivedLog::of(BTreeMap::new(), SIZE);
        add_to(&mut all, batches, ("7", 1), SIZE);
        let reach = all.reach(1, Lsn(3 * SIZE)).unwrap();
        (reach.last.number, reach.gap)
    }

    #[test]
    fn a_batch_that_is_missing_is_a_gap_also_where_a_part_of_its_segment_is_there() {
        let name = |number| Segment { timeline: 1, number }.name(SIZE);
        assert_eq!(gap(&[batch(3, 4, true), batch(4, 6, true), batch(6, 7, true)]), (7, None));
        assert_eq!(gap(&[batch(3, 4, true), batch(5, 6, false)]), (3, Some(name(4))));
        assert_eq!(gap(&[batch(3, 3, false), batch(5, 6, true)]), (3, Some(name(4))));
        assert_eq!(gap(&[batch(3, 3, false), batch(3, 3, true)]), (3, None), "the whole one was put later");
    }

    #[test]
    fn a_batch_goes_once_it_ends_before_the_base_backups_begin() {
        let (start, stop) = (Lsn(5 * SIZE + 10), Lsn(5 * SIZE + 20));
        let base = BaseRecord { timeline: 2, start, stop, ..BaseRecord::sample() };
        let needed = |first, last| batch(first, last, false).1.needed_by(&base);
        assert!(!needed(3, 4) && needed(4, 5) && needed(6, 9), "by the numbers, on whatever timeline");
        let other = LogBatch { system: "8".into(), ..batch(4, 9, false).1 };
        assert!(!other.needed_by(&base), "of another server");
    }
}
