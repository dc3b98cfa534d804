//! The folder of a run whose process is dead: its plan, its timeline, what it recorded, and what is appended to it.
//!
//! Apart because `cleanup` and a restore by hand both begin with it. The lock of the folder says whether the process lives.

use super::{Observer, PLAN, remains};
use crate::client::Error;
use crate::clock::{self, Moment};
use crate::environment::{ENVIRONMENTS, Environment, Journal, Platform, RunContext};
use crate::kind::{Chosen, pick};
use crate::model::{Fact, Line, Receipt};
use crate::node::{self, Node};
use crate::report::words::things;
use crate::store::{self, Timeline};
use async_trait::async_trait;
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK: &str = "lock";

/// A dead run. As long as this lives, its folder is locked.
pub struct DeadRun {
    /// Its name and folder.
    pub context: RunContext,
    /// Its plan, as it was written.
    pub plan: Node,
    /// Its timeline, as it was when this was read.
    pub lines: Vec<Line>,
    /// Its environment.
    pub environment: Chosen<dyn Environment>,
    journal: Arc<DeadJournal>,
    _lock: File,
}

impl DeadRun {
    /// Reads and locks the folder of a run, to `act` on what it left; nothing if that run never began.
    ///
    /// # Errors
    /// When the run is still alive, or its folder cannot be read.
    pub fn read(folder: &Path, act: &str, observer: Arc<dyn Observer>) -> Result<Option<Self>, Error> {
        let cannot = |e: io::Error| Error::caused_by(format!("cannot {act} after `{}`", folder.display()), e);
        if alive(folder) {
            let error = Error::new(format!("`{}`", folder.display()), "the run is still going on");
            return Err(error.hint("stop it with Ctrl-C"));
        }
        let lock = lock(folder).map_err(cannot)?;
        let lines = store::read_timeline(folder).map_err(cannot)?;
        let Some(Line { fact: Fact::Began { run, .. }, .. }) = lines.first() else { return Ok(None) };
        let context = RunContext { run: run.clone(), folder: folder.to_owned() };
        let plan = fs::read_to_string(folder.join(PLAN)).map_err(cannot)?;
        let plan = node::parse(&plan).map_err(|e| Error::caused_by(format!("cannot read the plan of `{run}`"), e))?;
        let environment = plan.get("environment").and_then(|node| pick("environment", ENVIRONMENTS, node, &mut vec![]));
        let none = || Error::new(format!("the plan of `{run}`"), "it names no environment");
        let environment = environment.ok_or_else(none)?;
        let at = lines.last().map(|line| line.at).unwrap_or_default();
        let journal =
            DeadJournal { folder: folder.to_owned(), at, act: act.to_owned(), timeline: Mutex::default(), observer };
        Ok(Some(Self { context, plan, lines, environment, journal: Arc::new(journal), _lock: lock }))
    }

    /// What it recorded before it made or changed something.
    pub fn receipts(&self) -> Vec<Receipt> {
        remains::receipts(&self.lines)
    }

    /// Its platform, as far as it is there and worth finding; what is done to it is recorded on the run's timeline.
    ///
    /// # Errors
    /// When it cannot be found, or is not the one that it was.
    pub async fn platform(&self) -> Result<Option<Arc<dyn Platform>>, Error> {
        let journal = Arc::clone(&self.journal) as _;
        self.environment.open(&self.context, &self.receipts(), journal).await
    }

    /// Appends facts to its timeline; they are on disk when this returns.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn append(&self, facts: Vec<Fact>) -> Result<(), Error> {
        self.journal.append(facts)
    }
}

/// Locks the folder of a run. The kernel releases the lock when the process ends, in whatever way.
pub fn lock(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Is the process of this run still alive?
pub fn alive(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

/// Writes what is done after a run's death to its timeline, all of it at the run's last moment.
struct DeadJournal {
    folder: PathBuf,
    at: Moment,
    act: String,
    /// Opened when something is written.
    timeline: Mutex<Option<Timeline>>,
    observer: Arc<dyn Observer>,
}

impl DeadJournal {
    fn append(&self, facts: Vec<Fact>) -> Result<(), Error> {
        let cannot = |e| Error::caused_by(format!("cannot {} after `{}`", self.act, self.folder.display()), e);
        self.write(facts).map_err(cannot)
    }

    fn write(&self, facts: Vec<Fact>) -> io::Result<()> {
        let (mut open, mut lines) = (self.timeline.lock(), vec![]);
        let timeline = match &mut *open {
            Some(timeline) => timeline,
            closed => {
                let timeline = Timeline::reopen(&self.folder)?;
                if timeline.torn_lines() > 0 {
                    let torn = things(timeline.torn_lines() as u64, "torn line");
                    lines.push(Fact::Note(format!("left out of the timeline: {torn}")));
                }
                closed.insert(timeline)
            }
        };
        lines.extend(facts);
        let line = |fact| Line::new(self.at, clock::wall(), fact);
        timeline.append(&mut lines.into_iter().map(line).collect::<Vec<_>>())?;
        timeline.sync()
    }
}

#[async_trait]
impl Journal for DeadJournal {
    async fn creating(&self, receipt: Receipt) -> Result<(), Error> {
        self.append(vec![Fact::Creating(receipt)])
    }

    async fn acting(&self, receipt: Receipt) -> Result<(), Error> {
        self.append(vec![Fact::Acting(receipt)])
    }

    fn progress(&self, text: &str) {
        self.observer.progress(text);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io::Write;

    struct Nobody;

    impl Observer for Nobody {
        fn line(&self, _: &Line) {}
        fn progress(&self, _: &str) {}
    }

    fn read(folder: &Path) -> Result<Option<DeadRun>, Error> {
        DeadRun::read(folder, "clean up", Arc::new(Nobody))
    }

    #[tokio::test]
    async fn what_is_done_after_a_runs_death_is_on_its_timeline_and_a_torn_line_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join(PLAN), "environment: { simulated: {} }\n").unwrap();
        Timeline::create(folder).unwrap();
        assert!(read(folder).unwrap().is_none(), "it never began");
        let began = Fact::Began {
            run: "r".into(),
            version: String::new(),
            plan: String::new(),
            terms: Box::new(crate::measure::timeline_builder::TimelineBuilder::new().terms),
        };
        let made = Fact::Creating(Receipt(json!({ "folder": "/x" })));
        let lines = [began, made].map(|fact| Line::new(Moment(7), clock::wall(), fact));
        Timeline::reopen(folder).unwrap().append(&mut { lines }).unwrap();
        let file = OpenOptions::new().append(true).open(folder.join(store::TIMELINE));
        file.unwrap().write_all(b"{\"schema\"").unwrap();

        let run = read(folder).unwrap().unwrap();
        assert!(read(folder).is_err(), "its folder is locked");
        assert_eq!((run.context.run.as_str(), run.receipts().len()), ("r", 1));
        run.journal.acting(Receipt(json!({ "ends": "database" }))).await.unwrap();
        run.append(vec![Fact::Removed]).unwrap();
        drop(run);
        let after: Vec<_> = read(folder).unwrap().unwrap().lines.into_iter().skip(2).collect();
        assert!(after.iter().all(|line| line.at == Moment(7)));
        let facts: Vec<_> = after.into_iter().map(|line| line.fact).collect();
        assert!(matches!(&facts[..], [Fact::Note(_), Fact::Acting(_), Fact::Removed]), "{facts:?}");
    }
}
