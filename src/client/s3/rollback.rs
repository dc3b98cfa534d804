//! Rolls a bucket back: the plan of every key into a journal, then the acts, then the proof by a fresh listing.
//!
//! Planned whole before anything is touched, so that it can be looked at, and carried out from the journal, so that a
//! rollback that was killed goes on. Memory holds a few pages and the acts under way, whatever the bucket's size. Writers
//! should be stopped before: what they write meanwhile is named as a difference. No version is ever removed.

use super::batch::{BATCH, ObjectToDelete, delete_batch};
use super::history::S3History;
use super::listing::histories;
use super::pace::{ANSWER, PaceFigures, PacedStore, RequestFailure};
use super::rollback_journal::{DoneActs, RollbackJournal};
use super::rollback_plan::{self, KeyPlan, RollbackAct};
use super::rollback_proof::{self, NAMED};
use super::server_copy::{CopyLimits, CopySource, CopyTarget, abort};
use super::versions;
use crate::client::Error;
use crate::clock::Stopwatch;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, TryStreamExt, pin_mut};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;

pub use super::rollback_journal::{RollbackCounts, RollbackSubject};
pub use super::rollback_plan::{RecordedObject, RollbackGoal};
pub use super::rollback_proof::FailedKeys;

/// So many keys does a failure name.
const SAID: usize = 3;

/// What a recovery point recorded of a bucket, in the order of the keys; it may be larger than memory.
pub trait RecordedObjects: Send + Sync {
    /// All of them from the first on.
    fn read(&self) -> Result<RecordedIter<'_>, Error>;
}

/// Recorded objects, one after the other.
pub type RecordedIter<'a> = Box<dyn Iterator<Item = Result<(String, RecordedObject), Error>> + Send + 'a>;

impl RecordedObjects for BTreeMap<String, RecordedObject> {
    fn read(&self) -> Result<RecordedIter<'_>, Error> {
        Ok(Box::new(self.iter().map(|(key, object)| Ok((key.clone(), object.clone())))))
    }
}

/// A rollback to be planned.
pub struct Rollback<'a> {
    /// The store.
    pub store: &'a Arc<PacedStore>,
    /// What is rolled back to what.
    pub subject: RollbackSubject,
    /// What was recorded, for [`RollbackGoal::Recorded`].
    pub recorded: Option<&'a dyn RecordedObjects>,
    /// What is copied in one request.
    pub limits: CopyLimits,
}

/// A rollback whose plan is whole and on disk.
pub struct PlannedRollback<'a> {
    rollback: Rollback<'a>,
    /// How much is to be done.
    pub counts: RollbackCounts,
    /// Was it begun by another, which did not end?
    goes_on: bool,
    /// What that one noted as done.
    done: DoneActs,
    journal: Mutex<RollbackJournal>,
}

/// What came of a rollback.
#[derive(Debug, Clone, PartialEq)]
pub struct RollbackOutcome {
    /// What was planned.
    pub counts: RollbackCounts,
    /// Keys that were done before this one went on.
    pub resumed: u64,
    /// Keys that were refused, counted, and some of them with their reasons.
    pub refused: FailedKeys,
    /// Keys that are not as they should be now, by a fresh listing.
    pub different: FailedKeys,
    /// What the store was asked.
    pub pace: PaceFigures,
    /// How long the acts took, without plan and proof.
    pub seconds: f64,
}

impl RollbackOutcome {
    /// Is the bucket as it should be?
    pub fn met(&self) -> bool {
        self.counts.gone == 0 && self.refused.count == 0 && self.different.count == 0
    }

    /// Why not all is as it should be, with the first keys by name; nothing if it is.
    pub fn failures(&self) -> Option<String> {
        let count = self.refused.count + self.different.count + self.counts.gone;
        let gone = self.counts.named.iter().filter(|_| self.counts.gone > 0);
        let all = self.refused.named.iter().chain(&self.different.named).chain(gone);
        let said: Vec<_> = all.take(SAID).map(|(key, why)| format!("`{key}`: {why}")).collect();
        let more = count.saturating_sub(said.len() as u64);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        (!self.met()).then(|| format!("{}{more}", said.join("; ")))
    }
}

/// Why a bucket cannot be rolled back: it keeps no versions, or a rule of its lifecycle removes them.
pub async fn refusal(store: &PacedStore, bucket: &str) -> Result<(), Error> {
    let why = versions::lost_for_good(&store.client, bucket).await;
    why.map_or(Ok(()), |why| {
        Err(Error::new(format!("cannot roll `{bucket}` back"), why)
            .hint("turn versioning on and the rule off; nothing was changed"))
    })
}

impl<'a> Rollback<'a> {
    /// Plans every key into the journal, or goes on with the plan that the journal holds. Nothing is changed.
    pub async fn plan(self, journal: &Path) -> Result<PlannedRollback<'a>, Error> {
        let (mut journal, found) = RollbackJournal::open(journal, &self.subject)?;
        let goes_on = found.is_some();
        let (counts, done) = match found {
            Some(found) => found,
            None => {
                let mut counts = RollbackCounts::default();
                self.each(|key, plan| {
                    count(&mut counts, &key, &plan);
                    plan.act.as_ref().map_or(Ok(()), |act| journal.act(act))
                })
                .await?;
                journal.planned(&counts)?;
                if counts.acts() == 0 {
                    journal.ended()?; // so that one that is begun again looks again
                }
                (counts, DoneActs::default())
            }
        };
        Ok(PlannedRollback { rollback: self, counts, goes_on, done, journal: Mutex::new(journal) })
    }

    async fn each(&self, mut act: impl FnMut(String, KeyPlan) -> Result<(), Error>) -> Result<(), Error> {
        let RollbackSubject { bucket, prefix, goal } = &self.subject;
        let mut recorded = Recorded::of(self.recorded)?;
        let all = histories(self.store, bucket, prefix);
        pin_mut!(all);
        while let Some(history) = all.try_next().await? {
            let object = recorded.up_to(&history.key, &mut act)?;
            let plan = rollback_plan::plan(&history, goal, object.as_ref());
            act(history.key, plan)?;
        }
        recorded.rest(&mut act)
    }
}

/// The recorded objects beside a listing: both are in the order of the keys.
struct Recorded<'a>(Option<Peekable<RecordedIter<'a>>>);

impl<'a> Recorded<'a> {
    fn of(recorded: Option<&'a dyn RecordedObjects>) -> Result<Self, Error> {
        Ok(Self(recorded.map(RecordedObjects::read).transpose()?.map(Iterator::peekable)))
    }

    /// What was recorded of a key; those before it are not in the bucket at all.
    fn up_to(
        &mut self,
        key: &str,
        missing: &mut impl FnMut(String, KeyPlan) -> Result<(), Error>,
    ) -> Result<Option<RecordedObject>, Error> {
        let Some(recorded) = &mut self.0 else { return Ok(None) };
        while let Some(next) = recorded.next_if(|next| next.as_ref().map_or(true, |(name, _)| name.as_str() <= key)) {
            let (name, object) = next?;
            if name == key {
                return Ok(Some(object));
            }
            missing(name, rollback_plan::unlisted())?;
        }
        Ok(None)
    }

    fn rest(&mut self, missing: &mut impl FnMut(String, KeyPlan) -> Result<(), Error>) -> Result<(), Error> {
        self.0.iter_mut().flatten().try_for_each(|next| missing(next?.0, rollback_plan::unlisted()))
    }
}

fn count(counts: &mut RollbackCounts, key: &str, plan: &KeyPlan) {
    counts.keys += 1;
    match &plan.act {
        Some(RollbackAct::Remove { markers, .. }) => {
            counts.undeleted += 1;
            counts.markers += markers.len() as u64;
        }
        Some(RollbackAct::Copy { size, .. }) => {
            counts.copies += 1;
            counts.bytes += size;
        }
        Some(RollbackAct::Hide { .. }) => counts.hidden += 1,
        None => {}
    }
    counts.gone += u64::from(plan.gone.is_some());
    counts.ambiguous += u64::from(plan.ambiguous);
    let ambiguous = plan.ambiguous.then(|| "its time is too coarse for this moment".to_owned());
    if counts.named.len() < NAMED
        && let Some(why) = plan.gone.clone().or(ambiguous)
    {
        counts.named.insert(key.to_owned(), why);
    }
}

/// What one request settled: acts that are done, or keys that were refused.
struct Settled {
    done: Vec<u64>,
    copied: Option<(u64, Option<String>)>,
    refused: Vec<(String, String)>,
}

impl PlannedRollback<'_> {
    /// Carries the plan out and looks; keys that were refused do not end it, a store that does not serve does.
    pub async fn carry_out(mut self) -> Result<RollbackOutcome, Error> {
        let store = Arc::clone(self.rollback.store);
        for (id, key) in std::mem::take(&mut self.done.uploads) {
            abort(&store, &self.rollback.subject.bucket, &key, &id).await?;
        }
        let stopwatch = Stopwatch::start();
        let mut refused = FailedKeys::default();
        let (copies, acts) = (Mutex::new(self.done.copies.clone()), self.journal.lock().acts()?);
        {
            let mut settle = |settled: Settled| self.note(settled, &mut refused, &copies);
            self.act(&store, acts, &mut settle).boxed().await?;
        }
        let seconds = stopwatch.seconds();
        let all = histories(&store, &self.rollback.subject.bucket, &self.rollback.subject.prefix);
        let acts = self.journal.lock().acts()?;
        let mut recorded = Recorded::of(self.rollback.recorded)?;
        let plan = |history: &S3History| {
            // Keys that are not there at all have been told in the plan.
            let object = recorded.up_to(&history.key, &mut |_, _| Ok(()))?;
            Ok(rollback_plan::plan(history, &self.rollback.subject.goal, object.as_ref()))
        };
        let (goal, copies) = (&self.rollback.subject.goal, copies.into_inner());
        let mut different = rollback_proof::compare(all, acts, goal, &copies, plan).await?;
        different.forget(&refused);
        if refused.count == 0 {
            self.journal.lock().ended()?;
        }
        let (counts, resumed, pace) = (self.counts, self.done.before, store.figures());
        Ok(RollbackOutcome { counts, resumed, refused, different, pace, seconds })
    }

    /// Sends the acts: removals and markers in batches, copies one by one, many at the same time.
    async fn act(
        &self,
        store: &PacedStore,
        acts: impl Iterator<Item = Result<(u64, RollbackAct), Error>> + Send,
        settle: &mut (impl FnMut(Settled) -> Result<(), Error> + Send),
    ) -> Result<(), Error> {
        let mut requests = FuturesUnordered::new();
        let (mut batch, mut size) = (Batch::default(), BATCH / 10);
        for act in acts {
            let (number, act) = act?;
            if self.done.holds(number) {
                continue;
            }
            match act {
                RollbackAct::Remove { key, markers, .. } => batch.add(number, &key, markers.into_iter().map(Some)),
                RollbackAct::Hide { key } => batch.add(number, &key, [None]),
                RollbackAct::Copy { key, id, size, etag } => {
                    requests.push(self.copy(store, number, (key, id), (size, etag)).boxed());
                }
            }
            if batch.objects.len() >= size {
                // The first are small, so that all who can work have something to do.
                requests.push(self.delete(store, std::mem::take(&mut batch)).boxed());
                size = (size + BATCH / 20).min(BATCH);
            }
            while requests.len() >= PacedStore::at_once() {
                settle_next(&mut requests, settle).await?;
            }
        }
        requests.push(self.delete(store, batch).boxed());
        while !requests.is_empty() {
            settle_next(&mut requests, settle).await?;
        }
        Ok(())
    }

    async fn delete(&self, store: &PacedStore, batch: Batch) -> Result<Settled, Error> {
        let Batch { acts, objects } = batch;
        let mut refused = BTreeMap::new();
        // A key may have more stacked markers than one request takes.
        for part in objects.chunks(BATCH) {
            let answer = delete_batch(store, &self.rollback.subject.bucket, part.to_vec()).await;
            let failed = answer.map_err(|failure| named(failure.error, acts.iter().map(|(_, key)| key.as_str())))?;
            refused.extend(failed.into_iter().map(|((key, _), why)| (key, why)));
        }
        let done = acts.into_iter().filter(|(_, key)| !refused.contains_key(key)).map(|(number, _)| number).collect();
        Ok(Settled { done, copied: None, refused: refused.into_iter().collect() })
    }

    async fn copy(
        &self,
        store: &PacedStore,
        number: u64,
        (key, id): (String, String),
        (size, etag): (u64, String),
    ) -> Result<Settled, Error> {
        let bucket = &self.rollback.subject.bucket;
        let begun = |upload: &str| self.journal.lock().upload(&key, upload);
        if self.goes_on && self.is_there(store, &key, size, &etag).await? {
            return Ok(Settled { done: vec![number], copied: None, refused: vec![] });
        }
        let target = CopyTarget { store, bucket, key: &key, limits: self.rollback.limits, begun: &begun };
        let copied = target.copy(&CopySource { bucket, key: &key, version: Some(&id), size }).await;
        match copied {
            Ok(copy) => Ok(Settled { done: vec![], copied: Some((number, copy.version)), refused: vec![] }),
            Err(RequestFailure { error, all: true }) => Err(named(error, [key.as_str()])),
            Err(RequestFailure { error, .. }) => {
                Ok(Settled { done: vec![], copied: None, refused: vec![(key, error.why)] })
            }
        }
    }

    /// Was it done, and not noted, when the one before was killed? Asking costs less than another copy.
    async fn is_there(&self, store: &PacedStore, key: &str, size: u64, etag: &str) -> Result<bool, Error> {
        let bucket = &self.rollback.subject.bucket;
        let request = || store.client.head_object().bucket(bucket).key(key).send();
        let asked = store.send(|| format!("cannot look at `{bucket}/{key}`"), ANSWER, request).await;
        match asked {
            Ok(head) => {
                let same = head.e_tag.is_some_and(|seen| !etag.is_empty() && seen.trim_matches('"') == etag);
                Ok(same && head.content_length.and_then(|length| u64::try_from(length).ok()) == Some(size))
            }
            Err(RequestFailure { error, all: true }) => Err(named(error, [key])),
            Err(_) => Ok(false), // it is deleted, say
        }
    }

    fn note(
        &self,
        settled: Settled,
        refused: &mut FailedKeys,
        copies: &Mutex<BTreeMap<u64, String>>,
    ) -> Result<(), Error> {
        let mut journal = self.journal.lock();
        if !settled.done.is_empty() {
            journal.done(&settled.done)?;
        }
        if let Some((number, version)) = settled.copied {
            journal.copied(number, version.as_deref())?;
            copies.lock().extend(version.map(|version| (number, version)));
        }
        settled.refused.into_iter().for_each(|(key, why)| refused.add(key, why));
        Ok(())
    }
}

async fn settle_next<F: Future<Output = Result<Settled, Error>>>(
    requests: &mut FuturesUnordered<F>,
    settle: &mut impl FnMut(Settled) -> Result<(), Error>,
) -> Result<(), Error> {
    requests.next().await.map_or(Ok(()), |settled| settle(settled?))
}

/// Acts that go out in one request.
#[derive(Default)]
struct Batch {
    acts: Vec<(u64, String)>,
    objects: Vec<ObjectToDelete>,
}

impl Batch {
    fn add(&mut self, number: u64, key: &str, ids: impl IntoIterator<Item = Option<String>>) {
        self.acts.push((number, key.to_owned()));
        self.objects.extend(ids.into_iter().map(|id| (key.to_owned(), id)));
    }
}

/// The error with the first keys that it is about.
fn named<'k>(mut error: Error, keys: impl IntoIterator<Item = &'k str>) -> Error {
    let mut keys = keys.into_iter();
    let first: Vec<_> = keys.by_ref().take(SAID).map(|key| format!("`{key}`")).collect();
    let more = keys.count();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    error.why = format!("{}; not done: {}{more}", error.why, first.join(", "));
    error
}
