//! All versions and delete markers under a prefix as a stream, key by key: pages are read while the last ones are used,
//! and no more than a few of them are held.
//!
//! Apart because servers differ here. A page has versions and markers in two lists, which may end at different keys
//! (aws/aws-cli#8131 and others). `VersityGW` 1.8 repeats entries at the ends of pages, and with pages of one entry it
//! does not go on at all. So a key is given out once the server's own marker is past it, an entry that comes twice is
//! dropped, and an entry of a key that was given out already ends the listing with an error.

use super::history::{S3History, S3Version};
use super::pace::{ANSWER, PacedStore};
use crate::client::Error;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// So many parts of the key space are listed at once, each so many pages ahead of its reader.
const AT_ONCE: usize = 8;
const AHEAD: usize = 3;
/// So many folders become a part each; of more, ranges of keys are made, which share pages.
const MOST_FOLDERS: usize = 64;
const RANGES: usize = 32;
/// So many keys and folders of one level are looked at, and so many levels.
const MOST_LOOKED_AT: usize = 2_000;
const DEEPEST: usize = 4;

/// The keys of a page that can be given out; nothing at the end of a part, so that one that broke off is seen.
type ListedPage = Result<Option<Vec<S3History>>, Error>;

/// Lists everything under a prefix, in the order of the keys; the key space is split at its folders, whose parts are
/// listed at the same time.
pub fn histories(store: &Arc<PacedStore>, bucket: &str, prefix: &str) -> BoxStream<'static, Result<S3History, Error>> {
    let (store, bucket, prefix) = (Arc::clone(store), bucket.to_owned(), prefix.to_owned());
    let parts = async move {
        let parts = split(&store, &bucket, prefix).await?;
        let running =
            RunningParts { store, bucket, waiting: parts.into(), running: VecDeque::new(), tasks: JoinSet::new() };
        Ok(stream::try_unfold(running, |mut parts| async move { Ok(parts.next().await?.map(|page| (page, parts))) }))
    };
    // In a box, as futures of futures make a type that the compiler gives up on.
    stream::once(parts).try_flatten().map_ok(|page| stream::iter(page).map(Ok)).try_flatten().boxed()
}

/// A part of the key space.
enum KeyPart {
    /// It is known already.
    Known(Vec<S3History>),
    /// The keys of a range.
    Range(KeyRange),
}

/// Keys that begin with a prefix and lie between two others.
#[derive(Debug, Clone, Default, PartialEq)]
struct KeyRange {
    prefix: String,
    from: Option<String>,
    before: Option<String>,
}

impl KeyRange {
    fn under(prefix: String) -> Self {
        Self { prefix, from: None, before: None }
    }

    fn holds(&self, key: &str) -> bool {
        self.from.as_deref().is_none_or(|from| key >= from) && !self.is_before(key)
    }

    /// Does the range end before this key?
    fn is_before(&self, key: &str) -> bool {
        self.before.as_deref().is_some_and(|before| key >= before)
    }

    /// The key after which a server is to begin: less than the first folder, which may be a key of its own.
    fn marker(&self) -> Option<String> {
        self.from.as_deref().map(|from| from.trim_end_matches('/').to_owned())
    }
}

/// The parts of a listing: some wait, some are being read.
struct RunningParts {
    store: Arc<PacedStore>,
    bucket: String,
    waiting: VecDeque<KeyPart>,
    running: VecDeque<mpsc::Receiver<ListedPage>>,
    tasks: JoinSet<()>,
}

impl RunningParts {
    async fn next(&mut self) -> Result<Option<Vec<S3History>>, Error> {
        loop {
            while self.running.len() < AT_ONCE
                && let Some(part) = self.waiting.pop_front()
            {
                self.begin(part);
            }
            let Some(first) = self.running.front_mut() else { return Ok(None) };
            match first.recv().await {
                Some(Ok(None)) => drop(self.running.pop_front()),
                Some(page) => return page,
                None => return Err(Error::new("cannot list the versions", "the listing of a part broke off")),
            }
            while self.tasks.try_join_next().is_some() {}
        }
    }

    fn begin(&mut self, part: KeyPart) {
        let (sender, receiver) = mpsc::channel(AHEAD);
        self.running.push_back(receiver);
        let (store, bucket) = (Arc::clone(&self.store), self.bucket.clone());
        self.tasks.spawn(async move {
            match part {
                KeyPart::Known(page) => drop(sender.send(Ok(Some(page))).await),
                KeyPart::Range(range) => {
                    let mut pages = Pages::new(&store, &bucket, range, None);
                    while let Some(page) = pages.next().await.transpose() {
                        let page = page.map(|page| Some(page.histories));
                        let ends = page.is_err();
                        if sender.send(page).await.is_err() || ends {
                            return; // nobody reads any more
                        }
                    }
                }
            }
            sender.send(Ok(None)).await.ok();
        });
    }
}

/// Splits the key space at its folders, one level after the other, until there are enough parts to list at once. What
/// fits on one page is not split.
async fn split(store: &PacedStore, bucket: &str, prefix: String) -> Result<Vec<KeyPart>, Error> {
    let mut pages = Pages::new(store, bucket, KeyRange::under(prefix.clone()), None);
    let page = pages.next().await?.map(|page| page.histories).unwrap_or_default();
    if pages.ended {
        return Ok(vec![KeyPart::Known(page)]);
    }
    let mut parts = vec![KeyPart::Range(KeyRange::under(prefix))];
    for _ in 0..DEEPEST {
        let ranges = parts.iter().filter(|part| matches!(part, KeyPart::Range(_))).count();
        if ranges == 0 || ranges >= AT_ONCE {
            break;
        }
        let mut finer = vec![];
        for part in parts {
            match part {
                KeyPart::Range(range) if range.from.is_none() && range.before.is_none() => {
                    finer.extend(level(store, bucket, &range.prefix).await?);
                }
                other => finer.push(other),
            }
        }
        parts = finer;
    }
    Ok(parts)
}

/// What is right under a prefix, as parts: its keys and folders, or ranges between some of the folders if those are many.
async fn level(store: &PacedStore, bucket: &str, prefix: &str) -> Result<Vec<KeyPart>, Error> {
    let mut pages = Pages::new(store, bucket, KeyRange::under(prefix.to_owned()), Some("/"));
    let (mut folders, mut keys) = (vec![], BTreeMap::new());
    while let Some(page) = pages.next().await? {
        folders.extend(page.folders);
        keys.extend(page.histories.into_iter().map(|it| (it.key.clone(), KeyPart::Known(vec![it]))));
        if folders.len() + keys.len() > MOST_LOOKED_AT {
            break;
        }
    }
    folders.sort();
    folders.dedup();
    if pages.ended && folders.len() <= MOST_FOLDERS {
        keys.extend(folders.into_iter().map(|folder| (folder.clone(), KeyPart::Range(KeyRange::under(folder)))));
        return Ok(keys.into_values().collect());
    }
    Ok(ranges(prefix, &folders).into_iter().map(KeyPart::Range).collect())
}

/// All keys under a prefix as ranges between some of its folders.
fn ranges(prefix: &str, folders: &[String]) -> Vec<KeyRange> {
    let step = folders.len().div_ceil(RANGES).max(1);
    let bounds: Vec<_> = folders.iter().step_by(step).skip(1).cloned().map(Some).collect();
    let starts = std::iter::once(None).chain(bounds.iter().cloned());
    let ends = bounds.iter().cloned().chain(std::iter::once(None));
    starts.zip(ends).map(|(from, before)| KeyRange { prefix: prefix.to_owned(), from, before }).collect()
}

/// One page, as far as its keys are complete.
struct Page {
    histories: Vec<S3History>,
    folders: Vec<String>,
}

/// The pages of a listing, one after the other.
struct Pages<'a> {
    store: &'a PacedStore,
    bucket: &'a str,
    range: KeyRange,
    delimiter: Option<&'a str>,
    after: Option<(String, Option<String>)>,
    ended: bool,
    keys: OpenKeys,
}

impl<'a> Pages<'a> {
    fn new(store: &'a PacedStore, bucket: &'a str, range: KeyRange, delimiter: Option<&'a str>) -> Self {
        let after = range.marker().map(|key| (key, None));
        Self { store, bucket, range, delimiter, after, ended: false, keys: OpenKeys::default() }
    }

    async fn next(&mut self) -> Result<Option<Page>, Error> {
        if self.ended {
            return Ok(None);
        }
        let (bucket, range) = (self.bucket, self.range.clone());
        let what = || format!("cannot list the versions in `{bucket}/{}`", range.prefix);
        let page = self.ask(what).await?;
        let versions = page.versions.unwrap_or_default().into_iter().filter_map(S3Version::of_version);
        let markers = page.delete_markers.unwrap_or_default().into_iter().filter_map(S3Version::of_marker);
        let folders = page.common_prefixes.unwrap_or_default().into_iter().filter_map(|it| it.prefix).collect();
        self.keys.add(versions.chain(markers)).map_err(|why| Error::new(what(), why))?;
        let upto = if page.is_truncated == Some(true) {
            let next = page.next_key_marker.filter(|key| !key.is_empty());
            let next = next.map(|key| (key, page.next_version_id_marker.filter(|id| !id.is_empty())));
            let advances = next.as_ref().is_some_and(|next| self.after.as_ref() != Some(next));
            let next =
                next.filter(|_| advances).ok_or_else(|| Error::new(what(), "the server's pages do not go on"))?;
            let upto = next.0.clone();
            self.ended = range.is_before(&upto);
            self.after = Some(next);
            Some(upto)
        } else {
            self.ended = true;
            None
        };
        let mut histories = self.keys.complete(upto.as_deref());
        histories.retain(|it| range.holds(&it.key));
        Ok(Some(Page { histories, folders }))
    }

    async fn ask(&self, what: impl Fn() -> String) -> Result<ListObjectVersionsOutput, Error> {
        let (key, id) = self.after.clone().map_or((None, None), |(key, id)| (Some(key), id));
        let request = || {
            let request = self.store.client.list_object_versions().bucket(self.bucket).prefix(&self.range.prefix);
            let request = request.set_key_marker(key.clone()).set_version_id_marker(id.clone());
            request.set_delimiter(self.delimiter.map(str::to_owned)).send()
        };
        self.store.send(what, ANSWER, request).await.map_err(|failure| failure.error)
    }
}

/// Keys of which more may come, and what was given out last.
#[derive(Default)]
struct OpenKeys {
    open: BTreeMap<String, Vec<S3Version>>,
    given: Option<String>,
    lately: HashSet<(String, String)>,
    before: HashSet<(String, String)>,
}

impl OpenKeys {
    fn add(&mut self, entries: impl Iterator<Item = S3Version>) -> Result<(), String> {
        for entry in entries {
            if self.given.as_ref().is_some_and(|given| entry.key <= *given) {
                let name = (entry.key, entry.id);
                if self.lately.contains(&name) || self.before.contains(&name) {
                    continue;
                }
                return Err(format!("the server's list is not in order: `{}` comes late", name.0));
            }
            let known = self.open.entry(entry.key.clone()).or_default();
            if !known.iter().rev().any(|it| it.id == entry.id) {
                known.push(entry);
            }
        }
        Ok(())
    }

    /// The keys before `upto`, or all of them: nothing more comes of them.
    fn complete(&mut self, upto: Option<&str>) -> Vec<S3History> {
        let rest = upto.map(|upto| self.open.split_off(upto)).unwrap_or_default();
        let complete = std::mem::replace(&mut self.open, rest);
        if let Some((last, _)) = complete.last_key_value() {
            self.given = Some(last.clone());
            let names = complete.values().flatten().map(|it| (it.key.clone(), it.id.clone()));
            self.before = std::mem::replace(&mut self.lately, names.collect());
        }
        complete.into_iter().map(|(key, entries)| S3History::new(key, entries)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn entry(key: &str, id: &str) -> S3Version {
        let (marker, at) = (id.starts_with('x'), Timestamp::UNIX_EPOCH);
        let (key, id, etag) = (key.to_owned(), id.to_owned(), String::new());
        S3Version { key, id, marker, latest: false, from: at, to: at, size: 0, etag }
    }

    fn given(keys: &mut OpenKeys, page: &[(&str, &str)], upto: Option<&str>) -> Result<Vec<(String, usize)>, String> {
        keys.add(page.iter().map(|(key, id)| entry(key, id)))?;
        Ok(keys.complete(upto).into_iter().map(|it| (it.key, it.entries.len())).collect())
    }

    #[test]
    fn a_key_is_given_out_once_the_servers_marker_is_past_it() {
        let mut keys = OpenKeys::default();
        assert_eq!(given(&mut keys, &[("a", "1"), ("b", "1"), ("a", "x")], Some("b")).unwrap(), [("a".into(), 2)]);
        assert_eq!(given(&mut keys, &[("b", "x1"), ("b", "x2")], Some("b")).unwrap(), [], "a page of markers only");
        assert_eq!(given(&mut keys, &[("b", "2"), ("c", "1")], None).unwrap(), [("b".into(), 4), ("c".into(), 1)]);
    }

    #[test]
    fn ranges_between_folders_leave_no_key_out_and_none_overlap() {
        let folders: Vec<_> = (0..100).map(|n| format!("p/{n:03}/")).collect();
        let ranges = ranges("p/", &folders);
        assert_eq!(ranges.len(), 25);
        for key in ["p/", "p/000/a", "p/003/z", "p/004", "p/004-x", "p/004/", "p/004/a", "p/050/a", "p/099/zz", "p/zz"]
        {
            assert_eq!(ranges.iter().filter(|range| range.holds(key)).count(), 1, "{key}");
            let range = ranges.iter().find(|range| range.holds(key)).unwrap();
            assert!(range.marker().is_none_or(|marker| marker.as_str() < key), "{key} is listed");
        }
        assert_eq!(super::ranges("p/", &[]), [KeyRange::under("p/".into())]);
    }

    #[test]
    fn an_entry_that_comes_twice_counts_once_and_one_that_comes_late_is_an_error() {
        let mut keys = OpenKeys::default();
        given(&mut keys, &[("a", "1"), ("a", "1"), ("b", "1")], Some("c")).unwrap();
        assert_eq!(given(&mut keys, &[("b", "1"), ("c", "1")], Some("d")).unwrap(), [("c".into(), 1)]);
        assert!(given(&mut keys, &[("b", "2")], None).unwrap_err().contains("`b` comes late"));
    }
}
