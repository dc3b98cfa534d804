//! The segments of the log in a folder: which there are, how far they reach without a gap, and what is no segment at all.
//!
//! Apart because a gap must be found before anything is replayed: PostgreSQL ends a recovery at the first missing segment
//! without an error, as if the log ended there. A `.partial` file that is shorter than a segment, or whose first page is
//! empty, holds nothing: `pg_receivewal` was ended while it made the file. Under a segment's name such a file would
//! be a FATAL error of the recovery, and `pg_receivewal` itself refuses to go on while it is there (seen with 15). A file
//! whose header is not that of its name counts as missing: `pg_waldump` reads the header of any file in the folder and
//! gives up on all of them.

use super::segment::Segment;
use crate::engine::Lsn;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What `pg_receivewal` puts behind the name of the segment that it is writing.
pub const PARTIAL: &str = ".partial";

/// The segments of a folder that hold something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceivedLog {
    /// By segment, the name of its file in the folder. A whole segment wins over a partial one of the same name.
    pub files: BTreeMap<Segment, String>,
    /// Files of timelines and backups, which a recovery asks for too.
    pub others: Vec<String>,
    /// The clusters that wrote them, by their own identifiers.
    pub systems: BTreeSet<u64>,
    size: u64,
}

/// How far the log reaches from a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The first segment.
    pub first: Segment,
    /// The last one before the end or the first gap.
    pub last: Segment,
    /// The name of the first that is missing, if later ones are there.
    pub gap: Option<String>,
}

impl Reach {
    /// Where the log ends: right behind its last segment.
    pub fn behind(&self, size: u64) -> Lsn {
        Segment { number: self.last.number + 1, ..self.last }.start(size)
    }
}

impl ReceivedLog {
    /// Looks into a folder with segments of this size; reads the first page of partial ones only.
    pub fn read(folder: &Path, size: u64) -> io::Result<Self> {
        let mut log = Self { size, ..Self::default() };
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let whole = name.strip_suffix(PARTIAL).unwrap_or(&name);
            let Some(segment) = Segment::named(whole, size) else {
                log.others.extend((name.ends_with(".history")).then_some(name));
                continue;
            };
            let partial = whole.len() < name.len();
            let Some(system) = writer(&folder.join(&name), segment, size)? else { continue };
            log.systems.insert(system);
            if !(partial && log.files.contains_key(&segment)) {
                log.files.insert(segment, name);
            }
        }
        Ok(log)
    }

    /// Of these files.
    pub fn of(files: BTreeMap<Segment, String>, size: u64) -> Self {
        Self { files, size, ..Self::default() }
    }

    /// How far it reaches from this position without a gap; nothing if not even the first segment is there.
    pub fn reach(&self, timeline: u32, from: Lsn) -> Option<Reach> {
        let first = Segment::holding(timeline, from, self.size);
        let mut there = self.files.range(first..).map(|(segment, _)| *segment).filter(|s| s.timeline == timeline);
        let mut last = there.next().filter(|segment| *segment == first)?;
        for segment in there {
            if segment.number != last.number + 1 {
                let missing = Segment { number: last.number + 1, ..last };
                return Some(Reach { first, last, gap: Some(missing.name(self.size)) });
            }
            last = segment;
        }
        Some(Reach { first, last, gap: None })
    }

    /// The timelines later than this one of which there are segments.
    pub fn later_timelines(&self, timeline: u32) -> Vec<u32> {
        let mut later: Vec<u32> = self.files.keys().map(|s| s.timeline).filter(|t| *t > timeline).collect();
        later.dedup();
        later
    }
}

/// The cluster that wrote a segment, by the header of its first page (`XLogLongPageHeaderData`); nothing if the file is no
/// such segment.
fn writer(path: &Path, segment: Segment, size: u64) -> io::Result<Option<u64>> {
    let mut file = File::open(path)?;
    let mut page = [0_u8; 40];
    if file.metadata()?.len() != size || file.read(&mut page)? < page.len() {
        return Ok(None);
    }
    let long = |at: usize| u64::from_ne_bytes(page[at..at + 8].try_into().unwrap_or_default());
    let written = u32::from_ne_bytes(page[32..36].try_into().unwrap_or_default());
    let right = long(8) == segment.start(size).0 && u64::from(written) == size;
    Ok(right.then(|| long(24)))
}

/// Removes the partial segments that are too short to hold anything: `pg_receivewal` would refuse to go on. Answers which.
pub fn remove_short(folder: &Path, size: u64) -> io::Result<Vec<PathBuf>> {
    let mut removed = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let partial = path.extension().is_some_and(|e| format!(".{}", e.to_string_lossy()) == PARTIAL);
        if partial && entry.metadata()?.len() != size {
            fs::remove_file(&path)?;
            removed.push(path);
        }
    }
    Ok(removed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 20;

    fn put(folder: &Path, number: u64, suffix: &str, length: u64) {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        bytes[8..16].copy_from_slice(&(number * SIZE).to_ne_bytes());
        bytes[24] = 7;
        bytes[32..36].copy_from_slice(&u32::try_from(SIZE).unwrap().to_ne_bytes());
        fs::write(folder.join(name(number) + suffix), bytes).unwrap();
    }

    fn name(number: u64) -> String {
        Segment { timeline: 1, number }.name(SIZE)
    }

    #[test]
    fn a_gap_is_named_and_what_holds_nothing_is_no_segment() {
        let folder = tempfile::tempdir().unwrap();
        for number in [3, 4, 6] {
            put(folder.path(), number, "", SIZE);
        }
        put(folder.path(), 7, PARTIAL, SIZE);
        fs::write(folder.path().join(name(8) + PARTIAL), vec![0; usize::try_from(SIZE).unwrap()]).unwrap();
        put(folder.path(), 9, PARTIAL, SIZE / 2);
        put(folder.path(), 11, "", SIZE);
        fs::rename(folder.path().join(name(11)), folder.path().join(name(10))).unwrap();
        fs::write(folder.path().join("00000002.history"), "1").unwrap();
        let log = ReceivedLog::read(folder.path(), SIZE).unwrap();
        assert_eq!(log.files.keys().map(|s| s.number).collect::<Vec<_>>(), [3, 4, 6, 7]);
        assert_eq!(
            (log.others.as_slice(), log.systems.iter().collect::<Vec<_>>()),
            (&["00000002.history".to_owned()][..], vec![&7])
        );
        let reach = log.reach(1, Lsn(3 * SIZE + 5)).unwrap();
        assert_eq!((reach.last.number, reach.gap), (4, Some(name(5))));
        assert_eq!(log.reach(1, Lsn(6 * SIZE)).unwrap().gap, None);
        assert_eq!(log.reach(1, Lsn(2 * SIZE)), None, "the first segment is missing");
        assert_eq!(log.later_timelines(1), Vec::<u32>::new());
        assert_eq!(remove_short(folder.path(), SIZE).unwrap().len(), 1);
    }

    #[test]
    fn a_whole_segment_wins_over_a_partial_one() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), 3, PARTIAL, SIZE);
        put(folder.path(), 3, "", SIZE);
        let log = ReceivedLog::read(folder.path(), SIZE).unwrap();
        assert_eq!(log.files.into_values().collect::<Vec<_>>(), [name(3)]);
    }
}
