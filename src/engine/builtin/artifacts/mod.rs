//! The artifacts of a point: listed right after the database's snapshot was taken, read into the repository as they were
//! listed, and put back by content.
//!
//! An object that the bucket still has, byte for byte, is left alone; to know that, it is read, since a server's own word
//! for a content may outlive that content. What came later than the point stays: no row of the restored database knows
//! it, and it does no harm. Not kept: an object's content type, tags and metadata.

mod by_version;
mod read_back;

pub use by_version::VersionObjects;
pub use read_back::read_back;

use crate::client::access;
use crate::client::s3::rollback::refusal;
use crate::client::s3::{self, ObjectRead, PacedStore, S3Version, Upload, download, histories, versions};
use crate::client::{Error, ErrorKind};
use crate::clock::wall;
use crate::environment::{MlflowKey, Objects, Platform};
use crate::model::Finding;
use crate::repository::{NewFile, OpenPoint, StoredFile, Turn, in_pack_order, order};
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The folder of the objects in a point.
pub const FOLDER: &str = "objects";
/// So many objects are put back at once, out of so many that are looked at together.
pub(super) const AT_ONCE: usize = 16;
const WINDOW: usize = 1_000;
/// So long may the answer to a question about one object take.
const ANSWER: Duration = Duration::from_secs(30);

/// What a point holds of the artifacts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactContent {
    /// The bucket.
    pub bucket: String,
    /// What stood before MLflow's own artifact paths there.
    pub prefix: String,
    /// How many objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long after the database's snapshot the list of them was complete, in seconds.
    pub seconds_after: f64,
    /// Did the bucket keep versions?
    pub versions: bool,
    /// The bucket's policy, if it had one.
    pub policy: Option<String>,
    /// What the point has of them.
    #[serde(default)]
    pub method: ArtifactMethod,
}

/// How artifacts are backed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactMethod {
    /// By their bytes, in the same recovery point as the database; what has not changed is not read again.
    #[default]
    Objects,
    /// By the ids of their versions, in the same recovery point as the database. Their bytes stay in the bucket, which
    /// must keep versions: a version that is purged does not come back.
    Versions,
}

/// The artifacts as they were listed for a point.
pub struct ListedArtifacts {
    /// What they are.
    pub content: ArtifactContent,
    store: Arc<PacedStore>,
    /// In the order of the keys.
    pub objects: Vec<S3Version>,
}

/// Lists the artifacts for a point whose database's snapshot was taken at `snapshot`.
///
/// # Errors
/// When the bucket cannot be listed; when it does not keep the versions that the method rests on.
pub async fn list(
    objects: &dyn Objects,
    snapshot: Timestamp,
    method: ArtifactMethod,
) -> Result<ListedArtifacts, Error> {
    let (store, bucket) = (Arc::new(PacedStore::new(objects.s3())), objects.bucket().to_owned());
    let root = root(objects.prefix());
    if method == ArtifactMethod::Versions {
        refusal(&store, &bucket).await?;
    }
    let all = histories(&store, &bucket, &root);
    let visible = all.try_filter_map(async |history| Ok(history.visible().cloned()));
    let found: Vec<S3Version> = visible.try_collect().await?;
    let content = ArtifactContent {
        prefix: objects.prefix().to_owned(),
        objects: found.len() as u64,
        bytes: found.iter().map(|object| object.size).sum(),
        seconds_after: wall().duration_since(snapshot).as_secs_f64(),
        versions: versions::kept(objects.s3(), &bucket).await?,
        policy: access::policy(objects.s3(), &bucket).await?,
        bucket,
        method,
    };
    Ok(ListedArtifacts { content, store, objects: found })
}

impl ListedArtifacts {
    /// The files of the point, in its order: the objects, each read when its turn comes, or the list of them.
    pub fn files(self) -> Result<Box<dyn Iterator<Item = NewFile> + Send>, Error> {
        Ok(match self.content.method {
            ArtifactMethod::Objects => Box::new(self.objects()),
            ArtifactMethod::Versions => Box::new(std::iter::once(by_version::list_file(&self)?)),
        })
    }

    fn objects(self) -> impl Iterator<Item = NewFile> + Send {
        let Self { content, store, mut objects } = self;
        let root = root(&content.prefix).len();
        objects.sort_by(|one, other| order(&one.key[root..], &other.key[root..]));
        objects.into_iter().map(move |object| new_file(&store, &content.bucket, root, object))
    }
}

fn new_file(store: &Arc<PacedStore>, bucket: &str, root: usize, object: S3Version) -> NewFile {
    let S3Version { key, id, from, size, etag, .. } = object;
    let name = format!("{FOLDER}/{}", &key[root..]);
    let attributes = vec![("etag".to_owned(), etag.clone()), ("version".to_owned(), id.clone())];
    let identity = Some(format!("{etag} {id}")).filter(|_| !etag.is_empty());
    let read = ObjectRead { bucket: bucket.to_owned(), key, version: id, etag, size };
    let store = Arc::clone(store);
    let file = NewFile::stream(name, move || async move { Ok(Box::new(download(store, read)) as _) });
    NewFile { size: Some(size), modified: Some(from), identity, attributes, turn: Turn::Ahead, ..file }
}

/// Puts the artifacts of a point back into the platform's bucket, which is made anew if it is gone.
///
/// # Errors
/// When one of them cannot be read or put. Those before it are back.
pub async fn restore(platform: &dyn Platform, point: &OpenPoint, content: &ArtifactContent) -> Result<Finding, Error> {
    if content.method == ArtifactMethod::Versions {
        return by_version::restore(platform, point, content).await;
    }
    let objects = platform.objects()?;
    make_bucket(platform, objects, content).await?;
    let back = Back::new(objects, point);
    let (mut found, mut put, mut bytes) = (0, 0_u64, 0);
    let mut windows = windows(point);
    while let Some(window) = windows.next().await {
        let mut window = window.into_iter().collect::<Result<Vec<_>, _>>()?;
        found += window.len() as u64;
        in_pack_order(&mut window);
        let putting: Vec<_> = window.into_iter().map(|file| back.put_one(file)).collect();
        let sizes: Vec<_> = stream::iter(putting).buffer_unordered(AT_ONCE).try_collect().await?;
        put += sizes.iter().flatten().count() as u64;
        bytes += sizes.iter().flatten().sum::<u64>();
    }
    if found != content.objects {
        return Ok(Finding::missed(format!("the point has {found} of {} artifacts", content.objects)));
    }
    let finding = Finding::met().figure("artifacts", found).figure("artifacts put back", put);
    let after = format!("{:.1} s after the rows", content.seconds_after);
    Ok(finding.figure("bytes put back", bytes).figure("artifacts listed", after))
}

/// The artifacts of a point, so many at a time that those that lie together can be read together.
fn windows(point: &OpenPoint) -> BoxStream<'static, Vec<Result<StoredFile, Error>>> {
    point.list(FOLDER).ready_chunks(WINDOW).boxed()
}

/// Where artifacts are put back.
pub(super) struct Back<'a> {
    store: Arc<PacedStore>,
    bucket: &'a str,
    root: String,
    point: &'a OpenPoint,
}

/// What a bucket has of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectState {
    /// Nothing.
    Gone,
    /// Other bytes, or some that cannot be read.
    Different,
    /// Its bytes.
    Same,
}

impl<'a> Back<'a> {
    /// Into this bucket, out of this point.
    pub(super) fn new(objects: &'a dyn Objects, point: &'a OpenPoint) -> Self {
        let (store, root) = (Arc::new(PacedStore::new(objects.s3())), root(objects.prefix()));
        Self { store, bucket: objects.bucket(), root, point }
    }

    /// The key of a location, if it is in this bucket.
    pub(super) fn located(&self, location: &str) -> Option<String> {
        s3::located(self.bucket, self.root.trim_end_matches('/'), location)
    }

    /// The objects of the point in these folders, as MLflow names artifacts.
    pub(super) async fn files(&self, folder: &str) -> Result<Vec<StoredFile>, Error> {
        self.point.list(&format!("{FOLDER}/{}", folder.trim_matches('/'))).try_collect().await
    }

    /// Puts an object back, if the bucket does not have it as it was; answers the bytes that were put.
    pub(super) async fn put(&self, file: &StoredFile) -> Result<Option<u64>, Error> {
        if self.state(file).await? == ObjectState::Same {
            return Ok(None);
        }
        let key = self.key(file);
        let upload = Upload { store: &self.store, bucket: self.bucket, key: &key };
        upload.put(file.size, self.point.read(file)).await?;
        Ok(Some(file.size))
    }

    async fn put_one(&self, file: StoredFile) -> Result<Option<u64>, Error> {
        self.put(&file).await
    }

    fn key(&self, file: &StoredFile) -> String {
        format!("{}{}", self.root, path(file))
    }

    /// What the bucket has of an object of the point; what it has is read.
    pub(super) async fn state(&self, file: &StoredFile) -> Result<ObjectState, Error> {
        let key = &self.key(file);
        let request = || self.store.client.head_object().bucket(self.bucket).key(key).send();
        let what = || format!("cannot look at `{}/{key}`", self.bucket);
        let head = match self.store.send(what, ANSWER, request).await {
            Ok(head) => head,
            Err(failure) if failure.error.kind == ErrorKind::NotFound => return Ok(ObjectState::Gone),
            Err(failure) => return Err(failure.error),
        };
        if head.content_length.and_then(|length| u64::try_from(length).ok()) != Some(file.size) {
            return Ok(ObjectState::Different);
        }
        let etag = head.e_tag.unwrap_or_default().trim_matches('"').to_owned();
        let (bucket, version, size) = (self.bucket.to_owned(), head.version_id.unwrap_or_default(), file.size);
        let there = ObjectRead { bucket, key: key.clone(), version, etag, size };
        // One that cannot be read is damaged; if it is the store that does not serve, nothing can be put either.
        let same = self.point.same(file, download(Arc::clone(&self.store), there)).await.unwrap_or(false);
        Ok(if same { ObjectState::Same } else { ObjectState::Different })
    }
}

/// The path of an artifact in a point, as MLflow names it.
pub(super) fn path(file: &StoredFile) -> &str {
    file.name.strip_prefix(FOLDER).and_then(|path| path.strip_prefix('/')).unwrap_or(&file.name)
}

/// Makes the bucket, if it is not there: by the one who uses it, since that one owns it then.
pub async fn make_bucket(
    platform: &dyn Platform,
    objects: &dyn Objects,
    content: &ArtifactContent,
) -> Result<(), Error> {
    let (client, bucket) = (objects.s3(), objects.bucket());
    let what = format!("cannot make the bucket `{bucket}`");
    match client.head_bucket().bucket(bucket).send().await {
        Ok(_) => return Ok(()),
        Err(error) if error.as_service_error().is_some_and(HeadBucketError::is_not_found) => {}
        Err(error) => return Err(s3::failure(format!("cannot reach the bucket `{bucket}`"), &error)),
    }
    let owner = platform.policies().map_or_else(|_| client.clone(), MlflowKey::s3);
    let made = owner.create_bucket().bucket(bucket).send().await;
    made.map_err(|e| s3::failure(&what, &e))?;
    if content.versions {
        let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = client.put_bucket_versioning().bucket(bucket).versioning_configuration(versions);
        request.send().await.map_err(|e| s3::failure(&what, &e))?;
    }
    if let Some(policy) = &content.policy {
        access::set_policy(client, bucket, Some(policy)).await?;
    }
    Ok(())
}

/// What stands before the keys of all artifacts in the bucket.
pub fn root(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("{prefix}/") }
}
