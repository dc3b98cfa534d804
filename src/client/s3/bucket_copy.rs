//! Copies all objects under a prefix to another bucket of the same store, by the server; then counts and compares.
//!
//! Apart from the rollback, whose copies stay in one bucket. Both listings are read beside each other, so that memory
//! holds a few pages, and only what is not there yet is copied: a copy that was interrupted goes on by being begun again.
//! Not here: versions other than the current ones, and deleting what the target has besides.

use super::ListedObject;
use super::pace::{ANSWER, PaceFigures, PacedStore, RequestFailure};
use super::rollback_proof::FailedKeys;
use super::server_copy::{CopyLimits, CopySource, CopyTarget};
use crate::client::Error;
use crate::clock::Stopwatch;
use futures::{FutureExt, Stream, TryStreamExt, pin_mut, stream};
use std::cmp::Ordering;
use std::future::ready;

/// A bucket and what its keys begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPart {
    /// The bucket.
    pub bucket: String,
    /// The prefix; what follows it is the same on both sides.
    pub prefix: String,
}

/// What was copied, and what a listing found afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketCopyOutcome {
    /// Objects in the source.
    pub objects: u64,
    /// Of those, copied now.
    pub copied: u64,
    /// Their bytes, none of which came through the client.
    pub bytes: u64,
    /// Objects whose entity tags cannot be compared, because they were uploaded in parts: their sizes were.
    pub by_size: u64,
    /// Objects that were refused.
    pub refused: FailedKeys,
    /// Objects that the target does not have, or has with another content.
    pub different: FailedKeys,
    /// What the store was asked.
    pub pace: PaceFigures,
    /// How long the copies took, without the comparison.
    pub seconds: f64,
}

impl BucketCopyOutcome {
    /// Is all there?
    pub fn met(&self) -> bool {
        self.refused.count == 0 && self.different.count == 0
    }
}

/// Copies what the target has not yet, and compares.
///
/// # Errors
/// The source is the target, or the store does not serve.
pub async fn copy_bucket(
    store: &PacedStore,
    from: &BucketPart,
    to: &BucketPart,
    limits: CopyLimits,
) -> Result<BucketCopyOutcome, Error> {
    if from.bucket == to.bucket && (from.prefix.starts_with(&to.prefix) || to.prefix.starts_with(&from.prefix)) {
        let what = format!("cannot copy `{}/{}`", from.bucket, from.prefix);
        return Err(Error::new(what, "the target lies in the source, or the source in it"));
    }
    let stopwatch = Stopwatch::start();
    let (mut refused, mut copied, mut bytes) = (FailedKeys::default(), 0, 0);
    {
        // The next page is asked for while copies are under way.
        let missing = pairs(store, from, to).try_filter(|pair| ready(!pair.same() || pair.by_size()));
        let copies = missing.map_ok(|pair| copy(store, from, to, limits, pair.source).map(Ok));
        let copies = copies.try_buffer_unordered(PacedStore::at_once());
        pin_mut!(copies);
        while let Some((object, done)) = copies.try_next().await? {
            match done {
                Ok(()) => {
                    copied += 1;
                    bytes += object.size;
                }
                Err(RequestFailure { error, all: true }) => return Err(error),
                Err(failure) => refused.add(object.key, failure.error.why),
            }
        }
    }
    let seconds = stopwatch.seconds();
    let (mut different, mut objects, mut by_size) = (FailedKeys::default(), 0, 0);
    let compared = pairs(store, from, to);
    pin_mut!(compared);
    while let Some(pair) = compared.try_next().await? {
        objects += 1;
        by_size += u64::from(pair.same() && pair.by_size());
        if !pair.same() {
            let why = pair.target.map_or("it is not there", |_| "it has another content");
            different.add(pair.source.key, why.into());
        }
    }
    different.forget(&refused);
    Ok(BucketCopyOutcome { objects, copied, bytes, by_size, refused, different, pace: store.figures(), seconds })
}

async fn copy(
    store: &PacedStore,
    from: &BucketPart,
    to: &BucketPart,
    limits: CopyLimits,
    object: ListedObject,
) -> (ListedObject, Result<(), RequestFailure>) {
    let key = format!("{}{}", to.prefix, object.key.strip_prefix(&from.prefix).unwrap_or(&object.key));
    let target = CopyTarget { store, bucket: &to.bucket, key: &key, limits, begun: &|_| Ok(()) };
    let source = CopySource { bucket: &from.bucket, key: &object.key, version: None, size: object.size };
    let copied = target.copy(&source).await.map(|_| ());
    (object, copied)
}

/// An object of the source, and the target's of the same name.
struct ObjectPair {
    source: ListedObject,
    target: Option<ListedObject>,
}

impl ObjectPair {
    fn same(&self) -> bool {
        let Some(target) = &self.target else { return false };
        target.size == self.source.size && (self.by_size() || target.etag == self.source.etag)
    }

    /// The entity tag of an upload in parts is not that of its copy.
    fn by_size(&self) -> bool {
        let Some(target) = &self.target else { return false };
        let in_parts = |object: &ListedObject| object.etag.as_ref().is_none_or(|etag| etag.contains('-'));
        target.etag != self.source.etag && (in_parts(&self.source) || in_parts(target))
    }
}

/// Each object of the source beside that of the target: both listings are in the order of the keys.
fn pairs<'a>(
    store: &'a PacedStore,
    from: &'a BucketPart,
    to: &'a BucketPart,
) -> impl Stream<Item = Result<ObjectPair, Error>> + 'a {
    struct Sides<S, T> {
        sources: S,
        targets: T,
        target: Option<ListedObject>,
    }
    let (sources, targets) = (Box::pin(current(store, from)), Box::pin(current(store, to)));
    stream::try_unfold(Sides { sources, targets, target: None }, move |mut sides| async move {
        let Some(source) = sides.sources.try_next().await? else { return Ok(None) };
        let rest = |key: &'_ str, part: &BucketPart| key.strip_prefix(part.prefix.as_str()).unwrap_or(key).to_owned();
        let name = rest(&source.key, from);
        loop {
            if sides.target.is_none() {
                sides.target = sides.targets.try_next().await?;
            }
            let order = sides.target.as_ref().map_or(Ordering::Greater, |target| rest(&target.key, to).cmp(&name));
            match order {
                Ordering::Less => sides.target = None,
                Ordering::Equal => {
                    let target = sides.target.take();
                    return Ok(Some((ObjectPair { source, target }, sides)));
                }
                Ordering::Greater => return Ok(Some((ObjectPair { source, target: None }, sides))),
            }
        }
    })
}

/// The current objects, page by page.
fn current<'a>(store: &'a PacedStore, part: &'a BucketPart) -> impl Stream<Item = Result<ListedObject, Error>> + 'a {
    let pages = stream::try_unfold(Some(None::<String>), move |token| async move {
        let Some(token) = token else { return Ok(None) };
        let what = || format!("cannot list `{}/{}`", part.bucket, part.prefix);
        let request = || {
            let request = store.client.list_objects_v2().bucket(&part.bucket).prefix(&part.prefix);
            request.set_continuation_token(token.clone()).send()
        };
        let page = store.send(what, ANSWER, request).await.map_err(|failure| failure.error)?;
        let next = page.next_continuation_token.filter(|_| page.is_truncated == Some(true));
        if next.is_some() && next == token {
            return Err(Error::new(what(), "the server's pages do not go on"));
        }
        let objects: Vec<_> = page.contents.unwrap_or_default().into_iter().filter_map(ListedObject::of).collect();
        Ok(Some((stream::iter(objects.into_iter().map(Ok)), next.map(Some))))
    });
    pages.try_flatten()
}
