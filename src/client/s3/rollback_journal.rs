//! The journal of a rollback: its plan, and which acts of it are done, in one file that is only appended to.
//!
//! Apart because a rollback that was killed goes on from it alone: the plan is whole once its last line says so, and what
//! is done is not done again. It is synced in groups: an act that was done and not yet noted is done once more, which
//! harms nothing, because acts name versions. A torn line at the end is dropped. Two processes cannot have it open.

use super::rollback_plan::{RollbackAct, RollbackGoal};
use crate::client::Error;
use crate::clock::Stopwatch;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// So long may something that is done be in no file.
const SYNC_EVERY: f64 = 0.5;

/// What a rollback is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackSubject {
    /// The bucket.
    pub bucket: String,
    /// What its keys begin with.
    pub prefix: String,
    /// To what.
    pub goal: RollbackGoal,
}

impl RollbackSubject {
    /// The journal of its rollback in a folder: one that is begun again finds it.
    pub fn journal(&self, folder: &Path, name: &str) -> PathBuf {
        let digest = blake3::hash(format!("{self:?}").as_bytes()).to_hex();
        folder.join(format!("{name}-{}.jsonl", &digest[..8]))
    }
}

/// How much a plan is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackCounts {
    /// Keys that were looked at.
    pub keys: u64,
    /// Keys that come back by the removal of their markers.
    pub undeleted: u64,
    /// Markers to be removed.
    pub markers: u64,
    /// Keys that come back by a copy.
    pub copies: u64,
    /// Bytes of these copies.
    pub bytes: u64,
    /// Keys that get a marker.
    pub hidden: u64,
    /// Keys that cannot come back.
    pub gone: u64,
    /// Keys whose time is too coarse to be sure.
    pub ambiguous: u64,
    /// Some of those that cannot come back, each with its reason, and of those that are ambiguous.
    pub named: BTreeMap<String, String>,
}

impl RollbackCounts {
    /// Keys that are changed.
    pub fn acts(&self) -> u64 {
        self.undeleted + self.copies + self.hidden
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum JournalLine {
    Begun(RollbackSubject),
    Act(RollbackAct),
    Planned(RollbackCounts),
    Done(Vec<u64>),
    Copied { act: u64, version: Option<String> },
    Upload { key: String, id: String },
    Ended,
}

/// What was done of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoneActs {
    acts: BTreeSet<u64>,
    /// How many were done already when it went on.
    pub before: u64,
    /// The ids of copies.
    pub copies: BTreeMap<u64, String>,
    /// Uploads in parts that may not be ended, by id, with their keys.
    pub uploads: BTreeMap<String, String>,
}

impl DoneActs {
    /// Is this act done?
    pub fn holds(&self, act: u64) -> bool {
        self.acts.contains(&act)
    }
}

/// An open journal.
#[derive(Debug)]
pub struct RollbackJournal {
    path: PathBuf,
    file: BufWriter<File>,
    since_sync: Stopwatch,
}

impl RollbackJournal {
    /// Opens the journal of a rollback. If it holds the whole plan of one that has not ended, this goes on; else it is
    /// begun anew.
    ///
    /// # Errors
    /// It is open already, belongs to another rollback, or cannot be read or written.
    pub fn open(path: &Path, subject: &RollbackSubject) -> Result<(Self, Option<(RollbackCounts, DoneActs)>), Error> {
        let what = || format!("cannot open the journal `{}`", path.display());
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
        let file = file.map_err(|e| Error::caused_by(what(), e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::new(what(), "another rollback has it open")),
            Err(TryLockError::Error(error)) => return Err(Error::caused_by(what(), error)),
        }
        let found = Found::read(path).map_err(|e| Error::caused_by(what(), e))?;
        if found.subject.as_ref().is_some_and(|other| other != subject) && !found.ended {
            return Err(Error::new(what(), "it is of another rollback, which has not ended")
                .hint("carry that one out to its end, or remove the file to give it up"));
        }
        let mut this = Self { path: path.into(), file: BufWriter::new(file), since_sync: Stopwatch::start() };
        if let (Some(counts), false) = (found.counts, found.ended) {
            this.cut(found.whole)?;
            return Ok((this, Some((counts, found.done))));
        }
        this.cut(0)?;
        this.append(&JournalLine::Begun(subject.clone()))?;
        Ok((this, None))
    }

    /// Adds an act to the plan.
    pub fn act(&mut self, act: &RollbackAct) -> Result<(), Error> {
        self.append(&JournalLine::Act(act.clone()))
    }

    /// The plan is whole; on disk when this returns.
    pub fn planned(&mut self, counts: &RollbackCounts) -> Result<(), Error> {
        self.append(&JournalLine::Planned(counts.clone()))?;
        self.sync()
    }

    /// These acts are done.
    pub fn done(&mut self, acts: &[u64]) -> Result<(), Error> {
        self.append(&JournalLine::Done(acts.to_vec()))?;
        self.sync_in_groups()
    }

    /// This copy is done.
    pub fn copied(&mut self, act: u64, version: Option<&str>) -> Result<(), Error> {
        self.append(&JournalLine::Copied { act, version: version.map(str::to_owned) })?;
        self.sync_in_groups()
    }

    /// An upload in parts begins; on disk when this returns.
    pub fn upload(&mut self, key: &str, id: &str) -> Result<(), Error> {
        self.append(&JournalLine::Upload { key: key.into(), id: id.into() })?;
        self.sync()
    }

    /// All is done; on disk when this returns.
    pub fn ended(&mut self) -> Result<(), Error> {
        self.append(&JournalLine::Ended)?;
        self.sync()
    }

    /// The acts of the plan with their numbers, in the order of the keys.
    pub fn acts(&self) -> Result<impl Iterator<Item = Result<(u64, RollbackAct), Error>> + use<>, Error> {
        let path = self.path.clone();
        let what = move || format!("cannot read the journal `{}`", path.display());
        let file = File::open(&self.path).map_err(|e| Error::caused_by(what(), e))?;
        let lines = BufReader::new(file).lines().map(move |line| {
            let line = line.map_err(|e| Error::caused_by(what(), e))?;
            serde_json::from_str::<JournalLine>(&line).map_err(|e| Error::caused_by(what(), e))
        });
        let planned = lines.take_while(|line| !matches!(line, Ok(JournalLine::Planned(_))));
        let acts = planned.filter_map(|line| match line {
            Ok(JournalLine::Act(act)) => Some(Ok(act)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        Ok((0..).zip(acts).map(|(number, act)| Ok((number, act?))))
    }

    fn append(&mut self, line: &JournalLine) -> Result<(), Error> {
        let written = serde_json::to_writer(&mut self.file, line).map_err(std::io::Error::from);
        let written = written.and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|e| self.cannot_write(e))
    }

    fn sync_in_groups(&mut self) -> Result<(), Error> {
        if self.since_sync.seconds() < SYNC_EVERY {
            return Ok(());
        }
        self.sync()
    }

    fn sync(&mut self) -> Result<(), Error> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        self.since_sync = Stopwatch::start();
        synced.map_err(|e| self.cannot_write(e))
    }

    fn cut(&mut self, length: u64) -> Result<(), Error> {
        let cut = self.file.get_ref().set_len(length).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.map(|_| ()).map_err(|e| self.cannot_write(e))
    }

    fn cannot_write(&self, error: std::io::Error) -> Error {
        Error::caused_by(format!("cannot write the journal `{}`", self.path.display()), error)
    }
}

/// What a journal holds.
#[derive(Default)]
struct Found {
    subject: Option<RollbackSubject>,
    counts: Option<RollbackCounts>,
    done: DoneActs,
    ended: bool,
    /// The bytes of its whole lines.
    whole: u64,
}

impl Found {
    fn read(path: &Path) -> std::io::Result<Self> {
        let (mut this, mut reader, mut line) = (Self::default(), BufReader::new(File::open(path)?), String::new());
        loop {
            line.clear();
            let length = reader.read_line(&mut line)?;
            if length == 0 || !line.ends_with('\n') {
                break;
            }
            let Ok(read) = serde_json::from_str(&line) else { break };
            this.whole += length as u64;
            match read {
                JournalLine::Begun(subject) => this.subject = Some(subject),
                JournalLine::Act(_) => {}
                JournalLine::Planned(counts) => this.counts = Some(counts),
                JournalLine::Done(acts) => this.done.acts.extend(acts),
                JournalLine::Copied { act, version } => {
                    this.done.acts.insert(act);
                    this.done.copies.extend(version.map(|version| (act, version)));
                }
                JournalLine::Upload { key, id } => drop(this.done.uploads.insert(id, key)),
                JournalLine::Ended => this.ended = true,
            }
        }
        this.done.before = this.done.acts.len() as u64;
        Ok(this)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    fn subject() -> RollbackSubject {
        RollbackSubject {
            bucket: "b".into(),
            prefix: String::new(),
            goal: RollbackGoal::Recorded { keep_others: false },
        }
    }

    fn planned(path: &Path) -> RollbackJournal {
        let (mut journal, found) = RollbackJournal::open(path, &subject()).unwrap();
        assert_eq!(found, None);
        for key in ["a", "b", "c"] {
            journal.act(&RollbackAct::Hide { key: key.into() }).unwrap();
        }
        journal.planned(&RollbackCounts { hidden: 3, ..RollbackCounts::default() }).unwrap();
        journal
    }

    #[test]
    fn a_journal_goes_on_where_it_ended_and_drops_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = planned(&path);
        journal.done(&[0, 2]).unwrap();
        journal.sync().unwrap();
        assert!(RollbackJournal::open(&path, &subject()).unwrap_err().to_string().contains("has it open"));
        drop(journal);
        let whole = fs::metadata(&path).unwrap().len();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"done\":[1").unwrap();
        let (journal, found) = RollbackJournal::open(&path, &subject()).unwrap();
        let (counts, done) = found.unwrap();
        assert_eq!((counts.hidden, done.before), (3, 2));
        assert!(done.holds(0) && !done.holds(1) && done.holds(2));
        assert_eq!(fs::metadata(&path).unwrap().len(), whole);
        let keys: Vec<_> = journal.acts().unwrap().map(|act| act.unwrap().1.key().to_owned()).collect();
        assert_eq!(keys, ["a", "b", "c"]);
    }

    #[test]
    fn half_a_plan_and_one_that_has_ended_are_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, _) = RollbackJournal::open(&path, &subject()).unwrap();
        journal.act(&RollbackAct::Hide { key: "a".into() }).unwrap();
        journal.sync().unwrap();
        drop(journal);
        let mut journal = planned(&path);
        journal.ended().unwrap();
        drop(journal);
        let journal = planned(&path);
        assert_eq!(journal.acts().unwrap().count(), 3);
    }

    #[test]
    fn the_journal_of_another_rollback_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        drop(planned(&path));
        let other = RollbackSubject { bucket: "c".into(), ..subject() };
        assert!(RollbackJournal::open(&path, &other).unwrap_err().to_string().contains("another rollback"));
    }
}
