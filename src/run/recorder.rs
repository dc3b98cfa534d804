//! The one writer of the timeline: intents are on disk before the act, observations in groups.

use super::Observer;
use crate::client::Error;
use crate::clock::{self, Clock};
use crate::environment::Journal;
use crate::model::{Fact, Line, Mark, Receipt, Verdict};
use crate::store::{Timeline, VERSION};
use crate::workload::Ledger;
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Observations are durable after this long at the latest.
const GROUP: Duration = Duration::from_millis(200);

type DurableReply = oneshot::Sender<Result<(), String>>;

/// Tells facts to the writer. Cheap to clone; a fact bears the time at which it was told.
#[derive(Clone)]
pub struct Recorder {
    clock: Clock,
    sender: mpsc::UnboundedSender<(Line, Option<DurableReply>)>,
    observer: Arc<dyn Observer>,
    marks: Arc<AtomicU64>,
    /// Was a mark acknowledged already?
    acknowledged: watch::Sender<bool>,
}

impl Recorder {
    /// Begins a timeline in `folder`. The handle ends when every recorder is dropped and all is on disk.
    pub fn begin(folder: &Path, clock: Clock, observer: Arc<dyn Observer>) -> Result<(Self, JoinHandle<()>), Error> {
        let timeline = Timeline::create(folder)
            .map_err(|e| Error::caused_by(format!("cannot begin the timeline in `{}`", folder.display()), e))?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write(timeline, receiver, clock, Arc::clone(&observer)));
        Ok((Self { clock, sender, observer, marks: Arc::default(), acknowledged: watch::Sender::new(false) }, writer))
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// An observation: on disk soon.
    pub fn append(&self, fact: Fact) {
        let _ = self.sender.send((self.line(fact), None)); // the writer is gone only when the run is over
    }

    /// An intent: on disk when this returns.
    ///
    /// # Errors
    /// When the disk says no: then the act must not be done.
    pub async fn append_durable(&self, fact: Fact) -> Result<(), Error> {
        let (done, written) = oneshot::channel();
        let failed =
            |why: String| Error::new("cannot write the timeline", why).hint("is the disk of the reports folder full?");
        self.sender.send((self.line(fact), Some(done))).map_err(|_| failed("the writer has ended".into()))?;
        written.await.unwrap_or_else(|_| Err("the writer has ended".into())).map_err(failed)
    }

    /// A decision of the run about itself.
    pub fn decide(&self, what: &str, verdict: Verdict, reason: Option<String>) {
        self.append(Fact::Decided { what: what.to_owned(), verdict, reason });
    }

    /// Returns once a mark was acknowledged.
    pub async fn first_acknowledged(&self) {
        let _ = self.acknowledged.subscribe().wait_for(|done| *done).await; // its sender lives as long as `self`
    }

    fn line(&self, fact: Fact) -> Line {
        Line { schema: VERSION, number: 0, at: self.clock.now(), wall: clock::wall(), before: String::new(), fact }
    }
}

async fn write(
    mut timeline: Timeline,
    mut receiver: mpsc::UnboundedReceiver<(Line, Option<DurableReply>)>,
    clock: Clock,
    observer: Arc<dyn Observer>,
) {
    let mut synced = clock.now();
    let mut broken = None;
    let mut batch = vec![];
    while receiver.recv_many(&mut batch, 4096).await > 0 {
        let (lines, dones): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let dones: Vec<DurableReply> = dones.into_iter().flatten().collect();
        let sync = !dones.is_empty() || clock.now() >= synced.plus(GROUP);
        // Written here, because that is quicker than to wake a thread for it; only the disk is waited for elsewhere.
        let mut result = timeline.append(lines);
        if sync {
            let job = tokio::task::spawn_blocking(move || {
                let synced = timeline.sync();
                (timeline, synced)
            });
            let Ok((back, on_disk)) = job.await else { return };
            timeline = back;
            synced = clock.now();
            result = result.and_then(|lines| on_disk.map(|()| lines));
        }
        match result {
            Ok(lines) => lines.iter().for_each(|line| observer.line(line)),
            Err(error) => broken = Some(error.to_string()),
        }
        for done in dones {
            let _ = done.send(broken.clone().map_or(Ok(()), Err)); // who no longer waits need not know
        }
    }
    let _ = tokio::task::spawn_blocking(move || timeline.sync()).await; // the last observations; nobody is left to tell
}

#[async_trait]
impl Journal for Recorder {
    async fn creating(&self, receipt: Receipt) -> Result<(), Error> {
        self.append_durable(Fact::Creating(receipt)).await
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
