//! The objects of the platform: key, size, and what tells their content.
//!
//! Small ones are read, up to a limit in all, since a server's own word for a content may outlive that content. Of the
//! others the server's word counts. Version ids and times are not looked at: an honest restore changes them.

use super::own::KnownExperiments;
use crate::client::Error;
use crate::client::s3::{BucketObjects, ListedObject, ObjectSource, versions};
use crate::environment::Objects;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// So many bytes are read in all, the smallest objects first.
const READ: u64 = 256 * 1024 * 1024;
/// Of more objects than this, only groups are kept, one for each experiment.
const DETAILED: usize = 10_000;
/// Requests at a time.
const AT_ONCE: usize = 8;

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectContent {
    /// Bytes.
    pub size: u64,
    /// What the server calls its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// BLAKE3 of its bytes, if they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Many objects as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectGroup {
    /// How many.
    pub objects: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Digest of keys, sizes and the server's words.
    pub digest: String,
}

/// What is in a bucket, under the platform's prefix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BucketContents {
    /// Each object by its key, if there are not too many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, ObjectContent>,
    /// Otherwise the groups by their prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<BTreeMap<String, ObjectGroup>>,
    /// Does the bucket keep versions? Nothing if it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<bool>,
}

impl BucketContents {
    /// How many objects.
    pub fn count(&self) -> u64 {
        let groups = self.groups.iter().flat_map(BTreeMap::values);
        self.objects.len() as u64 + groups.map(|group| group.objects).sum::<u64>()
    }

    /// How many of them were read.
    pub fn read(&self) -> usize {
        self.objects.values().filter(|object| object.digest.is_some()).count()
    }
}

/// Reads the bucket before the fault.
pub async fn plant(objects: &dyn Objects, known: &KnownExperiments) -> Result<BucketContents, Error> {
    plant_within(objects, known, READ, DETAILED).await
}

async fn plant_within(
    objects: &dyn Objects,
    known: &KnownExperiments,
    bytes: u64,
    most: usize,
) -> Result<BucketContents, Error> {
    let source = in_bucket(objects);
    let mut found = list(&source, objects, known).await?;
    found.versions = versions::kept(objects.s3(), objects.bucket()).await.ok();
    if found.objects.len() > most {
        return Ok(grouped(objects, found));
    }
    let mut sizes: Vec<_> = found.objects.iter().map(|(key, object)| (object.size, key.clone())).collect();
    sizes.sort();
    let mut left = bytes;
    let fits = sizes.into_iter().take_while(|(size, _)| {
        let fits = *size <= left;
        left = left.saturating_sub(*size);
        fits
    });
    let keys = fits.map(|(_, key)| key).collect();
    read_into(&source, &mut found, keys).await?;
    Ok(found)
}

/// Reads it again, as it was read before.
pub async fn read(
    objects: &dyn Objects,
    known: &KnownExperiments,
    before: &BucketContents,
) -> Result<BucketContents, Error> {
    let versions = versions::kept(objects.s3(), objects.bucket()).await.ok();
    Ok(BucketContents { versions, ..read_from(&in_bucket(objects), objects, known, before).await? })
}

/// Reads the objects of this source, as the bucket was read before. Whether a bucket keeps versions is not asked.
pub async fn read_from(
    source: &dyn ObjectSource,
    objects: &dyn Objects,
    known: &KnownExperiments,
    before: &BucketContents,
) -> Result<BucketContents, Error> {
    let mut found = list(source, objects, known).await?;
    if before.groups.is_some() {
        return Ok(grouped(objects, found));
    }
    let as_before = |(key, object): &(&String, &ObjectContent)| {
        before.objects.get(*key).is_some_and(|then| then.digest.is_some() && then.size == object.size)
    };
    let keys = found.objects.iter().filter(as_before).map(|(key, _)| key.clone()).collect();
    read_into(source, &mut found, keys).await?;
    Ok(found)
}

fn in_bucket(objects: &dyn Objects) -> BucketObjects<'_> {
    BucketObjects { client: objects.s3(), bucket: objects.bucket() }
}

/// All objects but the drill's own, unread.
async fn list(
    source: &dyn ObjectSource,
    objects: &dyn Objects,
    known: &KnownExperiments,
) -> Result<BucketContents, Error> {
    let listed = source.list(&root(objects)).await?;
    let others = listed.into_iter().filter(|object| !known.owns(&object.key));
    let content =
        |object: ListedObject| (object.key, ObjectContent { size: object.size, etag: object.etag, digest: None });
    Ok(BucketContents { objects: others.map(content).collect(), groups: None, versions: None })
}

fn root(objects: &dyn Objects) -> String {
    if objects.prefix().is_empty() { String::new() } else { format!("{}/", objects.prefix()) }
}

async fn read_into(source: &dyn ObjectSource, found: &mut BucketContents, keys: BTreeSet<String>) -> Result<(), Error> {
    let digest = async |key: String| {
        let digest = source.digest(&key).await?;
        Ok::<_, Error>((key, digest))
    };
    let reads: Vec<_> = keys.into_iter().map(digest).collect();
    let digests: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
    for (key, digest) in digests {
        if let Some(object) = found.objects.get_mut(&key) {
            object.digest = Some(digest);
        }
    }
    Ok(())
}

/// One group for each experiment: by the part of the key that follows the platform's prefix.
fn grouped(objects: &dyn Objects, found: BucketContents) -> BucketContents {
    let root = root(objects);
    let mut hashers: BTreeMap<String, (ObjectGroup, blake3::Hasher)> = BTreeMap::new();
    for (key, object) in found.objects {
        let path = key.strip_prefix(&root).unwrap_or(&key);
        let prefix = path.split_once('/').map_or_else(|| root.clone(), |(first, _)| format!("{root}{first}/"));
        let new = || (ObjectGroup { objects: 0, bytes: 0, digest: String::new() }, blake3::Hasher::new());
        let (group, hasher) = hashers.entry(prefix).or_insert_with(new);
        (group.objects, group.bytes) = (group.objects + 1, group.bytes + object.size);
        hasher.update(format!("{key}\0{}\0{}\0", object.size, object.etag.unwrap_or_default()).as_bytes());
    }
    let done = hashers.into_iter().map(|(prefix, (group, hasher))| {
        let digest = hasher.finalize().to_hex()[..32].to_owned();
        (prefix, ObjectGroup { digest, ..group })
    });
    BucketContents { objects: BTreeMap::new(), groups: Some(done.collect()), versions: found.versions }
}
