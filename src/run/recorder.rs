//! The recorder: the one writer of the timeline. Intents are on disk before the act, observations follow in groups.

use super::Observer;
use crate::client::Error;
use crate::clock::{self, Clock, Moment};
use crate::environment::Journal;
use crate::model::{Fact, JudgementKind, Line, Mark, Receipt, Verdict};
use crate::store::Timeline;
use crate::workload::Ledger;
use async_trait::async_trait;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// The longest time until an observation is durable.
const GROUP: Duration = Duration::from_millis(200);

type DurableReply = oneshot::Sender<Result<(), String>>;

/// Appends facts to the timeline. Cheap to clone. A fact has the time at which it was appended.
#[derive(Clone)]
pub struct Recorder {
    clock: Clock,
    sender: mpsc::UnboundedSender<(Line, Option<DurableReply>)>,
    observer: Arc<dyn Observer>,
    marks: Arc<AtomicU64>,
    /// Why the timeline cannot be written, once that is so.
    broken: watch::Sender<Option<String>>,
    /// Has any mark been acknowledged?
    acknowledged: watch::Sender<bool>,
}

impl Recorder {
    /// Begins a timeline in `folder`. The returned task ends when every recorder is dropped and all facts are on disk.
    pub fn begin(folder: &Path, clock: Clock, observer: Arc<dyn Observer>) -> Result<(Self, JoinHandle<()>), Error> {
        let timeline = Timeline::create(folder)
            .map_err(|e| Error::caused_by(format!("cannot begin the timeline in `{}`", folder.display()), e))?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let broken = watch::Sender::new(None);
        let writer = Writer {
            timeline,
            unwritten: vec![],
            clock,
            synced: clock.now(),
            observer: Arc::clone(&observer),
            broken: broken.clone(),
        };
        let writer = tokio::spawn(writer.write(receiver));
        let (marks, acknowledged) = (Arc::default(), watch::Sender::new(false));
        Ok((Self { clock, sender, observer, marks, broken, acknowledged }, writer))
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Appends an observation; it is on disk soon.
    pub fn append(&self, fact: Fact) {
        let _ = self.sender.send((self.line(fact), None)); // the writer ends only when the run is over
    }

    /// Appends an intent; it is on disk when this returns.
    ///
    /// # Errors
    /// When it could not be written: then the act must not be done.
    pub async fn append_durable(&self, fact: Fact) -> Result<(), Error> {
        let (done, written) = oneshot::channel();
        self.sender.send((self.line(fact), Some(done))).map_err(|_| unwritable("the writer has ended"))?;
        written.await.unwrap_or_else(|_| Err("the writer has ended".into())).map_err(unwritable)
    }

    /// Returns when the timeline cannot be written: then the run cannot go on, whoever waits for what.
    pub async fn broken(&self) -> Error {
        let mut broken = self.broken.subscribe();
        let why = broken.wait_for(Option::is_some).await.map(|why| why.clone().unwrap_or_default());
        unwritable(why.unwrap_or_default()) // its sender lives as long as `self`
    }

    /// Appends a decision that the run took about itself.
    pub fn decide(&self, kind: JudgementKind, what: &str, verdict: Verdict, reason: Option<String>) {
        self.append(Fact::Decided { kind, what: what.to_owned(), verdict, reason });
    }

    /// Returns when a first mark has been acknowledged.
    pub async fn first_acknowledged(&self) {
        let _ = self.acknowledged.subscribe().wait_for(|done| *done).await; // its sender lives as long as `self`
    }

    fn line(&self, fact: Fact) -> Line {
        Line::new(self.clock.now(), clock::wall(), fact)
    }
}

fn unwritable(why: impl std::fmt::Display) -> Error {
    Error::new("cannot write the timeline", why).hint("is the disk of the reports folder full?")
}

/// Writes what the recorders send.
struct Writer {
    timeline: Timeline,
    /// What could not be written; it is tried again before what follows, so that nothing is missing when it can.
    unwritten: Vec<Line>,
    clock: Clock,
    synced: Moment,
    observer: Arc<dyn Observer>,
    broken: watch::Sender<Option<String>>,
}

impl Writer {
    async fn write(mut self, mut receiver: mpsc::UnboundedReceiver<(Line, Option<DurableReply>)>) {
        let mut batch = vec![];
        while receiver.recv_many(&mut batch, 4096).await > 0 {
            let (lines, replies): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            let replies: Vec<DurableReply> = replies.into_iter().flatten().collect();
            let sync = !replies.is_empty() || self.clock.now() >= self.synced.plus(GROUP);
            // Written here, because that is quicker than waking a thread; only the sync waits for the disk in another thread.
            let mut result = self.append(lines);
            if sync {
                let timeline = self.timeline;
                let job = tokio::task::spawn_blocking(move || {
                    let synced = timeline.sync();
                    (timeline, synced)
                });
                let Ok((back, on_disk)) = job.await else { return };
                (self.timeline, self.synced) = (back, self.clock.now());
                result = result.and(on_disk);
            }
            let result = result.map_err(|error| error.to_string());
            if let Err(why) = &result {
                self.broken.send_if_modified(|broken| broken.replace(why.clone()).is_none());
            }
            for reply in replies {
                let _ = reply.send(result.clone()); // the caller may no longer wait
            }
        }
        let _ = self.append(vec![]); // the last try
        let timeline = self.timeline;
        let _ = tokio::task::spawn_blocking(move || timeline.sync()).await; // the last observations; no caller is left to get an error
    }

    /// Appends lines, after those that could not be written before. People see each line once, on disk or not.
    fn append(&mut self, lines: Vec<Line>) -> io::Result<()> {
        let new = self.unwritten.len();
        self.unwritten.extend(lines);
        let written = self.timeline.append(&mut self.unwritten);
        self.unwritten[new..].iter().for_each(|line| self.observer.line(line));
        written.map(|()| self.unwritten.clear())
    }
}

#[async_trait]
impl Journal for Recorder {
    async fn creating(&self, receipt: Receipt) -> Result<(), Error> {
        self.append_durable(Fact::Creating(receipt)).await
    }

    async fn acting(&self, receipt: Receipt) -> Result<(), Error> {
        self.append_durable(Fact::Acting(receipt)).await
    }

    fn progress(&self, text: &str) {
        self.observer.progress(text);
    }
}

#[async_trait]
impl Ledger for Recorder {
    fn number(&self) -> u64 {
        self.marks.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn sending(&self, mark: Mark) -> Result<(), Error> {
        self.append_durable(Fact::Sending(mark)).await
    }

    async fn acknowledged(&self, mark: u64, at: Option<String>) -> Result<(), Error> {
        self.append_durable(Fact::Acknowledged { mark, at }).await?;
        self.acknowledged.send_if_modified(|done| !std::mem::replace(done, true));
        Ok(())
    }

    async fn unanswered(&self, mark: u64, reason: String) -> Result<(), Error> {
        self.append_durable(Fact::Unanswered { mark, reason }).await
    }
}
