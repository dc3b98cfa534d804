//! The artifacts of a point by their versions alone: which version of each object clients saw. Their bytes stay in the
//! bucket, which must keep versions.
//!
//! Apart from the artifacts whose bytes are in the point: here the server does all the work, and what it has lost, or
//! keeps with other bytes than it says, does not come back. A restore rolls the bucket back to those versions, or has the
//! server copy them into another bucket of the same store. What came later than the point stays.

use super::{ArtifactContent, ListedArtifacts, make_bucket, root};
use crate::client::Error;
use crate::client::s3::rollback::{
    FailedKeys, RecordedIter, RecordedObject, RecordedObjects, Rollback, RollbackGoal, RollbackSubject,
};
use crate::client::s3::{
    CopyLimits, CopySource, CopyTarget, ListedObject, NO_VERSION, ObjectRead, ObjectSource, PacedStore, S3Version,
    download, histories,
};
use crate::environment::Platform;
use crate::model::Finding;
use crate::repository::{NewFile, OpenPoint};
use async_trait::async_trait;
use futures::{TryStreamExt, pin_mut, stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::AsyncRead;

/// The list's name in a point: one object a line, in the order of the keys.
const LIST: &str = "objects.jsonl";

/// One object as a point lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ListedVersion {
    /// Its path as MLflow names it, without the prefix.
    path: String,
    /// The version that clients saw.
    version: String,
    /// Its entity tag.
    etag: String,
    /// Its bytes.
    size: u64,
}

/// The list as a file of the point.
pub fn list_file(listed: &ListedArtifacts) -> Result<NewFile, Error> {
    let root = root(&listed.content.prefix).len();
    let mut text = vec![];
    for S3Version { key, id, etag, size, .. } in &listed.objects {
        let (path, version) = (key[root..].to_owned(), id.clone());
        let line = serde_json::to_string(&ListedVersion { path, version, etag: etag.clone(), size: *size });
        let line = line.map_err(|e| Error::caused_by("cannot write the list of artifacts", e))?;
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    Ok(NewFile::bytes(LIST, text))
}

/// Shows the artifacts again as a point lists them.
///
/// # Errors
/// When the list cannot be read, or the store does not serve. A restore that was interrupted is begun again: what is done
/// is not done twice.
pub async fn restore(platform: &dyn Platform, point: &OpenPoint, content: &ArtifactContent) -> Result<Finding, Error> {
    let objects = platform.objects()?;
    let store = Arc::new(PacedStore::new(objects.s3()));
    let list = ObjectList::fetch(point, root(objects.prefix())).await?;
    if list.objects != content.objects {
        return Ok(Finding::missed(format!("the point lists {} of {} artifacts", list.objects, content.objects)));
    }
    if objects.bucket() == content.bucket && objects.prefix() == content.prefix {
        return roll_back(&store, content, &list).await;
    }
    make_bucket(platform, objects, content).await?;
    copy(&store, content, objects.bucket(), &list).await
}

async fn roll_back(store: &Arc<PacedStore>, content: &ArtifactContent, list: &ObjectList) -> Result<Finding, Error> {
    let goal = RollbackGoal::Recorded { keep_others: true };
    let subject = RollbackSubject { bucket: content.bucket.clone(), prefix: root(&content.prefix), goal };
    let rollback = Rollback { store, subject, recorded: Some(list), limits: CopyLimits::default() };
    let outcome = rollback.plan(&list.folder.path().join("journal.jsonl")).await?.carry_out().await?;
    let finding = match outcome.failures() {
        None => Finding::met(),
        Some(why) => Finding::missed(format!("not all artifacts are back: {why}")),
    };
    let counts = &outcome.counts;
    let finding = finding.figure("artifacts", list.objects).figure("artifacts undeleted", counts.undeleted);
    Ok(finding.figure("artifacts put back", counts.copies).figure("bytes moved by the server", counts.bytes))
}

/// Copies the listed versions into another bucket of the same store, then looks at every one.
async fn copy(
    store: &Arc<PacedStore>,
    content: &ArtifactContent,
    bucket: &str,
    list: &ObjectList,
) -> Result<Finding, Error> {
    let source_root = root(&content.prefix);
    let copied = stream::iter(list.lines()?).map_ok(|object| {
        let (from, to) = (format!("{source_root}{}", object.path), format!("{}{}", list.root, object.path));
        async move {
            let limits = CopyLimits::default();
            let target = CopyTarget { store, bucket, key: &to, limits, begun: &|_| Ok(()) };
            let version = Some(object.version.as_str());
            let source = CopySource { bucket: &content.bucket, key: &from, version, size: object.size };
            let mut copied = target.copy(&source).await;
            if copied.is_err() && object.version == NO_VERSION {
                // Whether it still is what it was, the comparison says.
                copied = target.copy(&CopySource { version: None, ..source }).await;
            }
            match copied {
                Err(failure) if failure.all => Err(failure.error),
                Err(failure) => Ok(Some((to, failure.error.why))),
                Ok(_) => Ok(None),
            }
        }
    });
    let copied = copied.try_buffer_unordered(PacedStore::at_once());
    pin_mut!(copied);
    let mut failed = FailedKeys::default();
    while let Some(refused) = copied.try_next().await? {
        refused.into_iter().for_each(|(key, why)| failed.add(key, why));
    }
    let mut different = different(store, bucket, list).await?;
    different.forget(&failed);
    let why = [&failed, &different].into_iter().find_map(|keys| keys.named.iter().next());
    let finding = match why {
        None => Finding::met(),
        Some((key, why)) => {
            let count = failed.count + different.count;
            Finding::missed(format!("{count} of {} artifacts were not copied: `{key}`: {why}", list.objects))
        }
    };
    Ok(finding.figure("artifacts", list.objects).figure("bytes moved by the server", list.bytes))
}

/// Which of the listed objects a bucket does not show with their contents. The entity tag of a copy is another where an
/// upload in parts was copied; then the size is compared.
async fn different(store: &Arc<PacedStore>, bucket: &str, list: &ObjectList) -> Result<FailedKeys, Error> {
    let in_parts = |etag: &str| etag.contains('-');
    let (mut different, mut lines) = (FailedKeys::default(), list.lines()?.peekable());
    let all = histories(store, bucket, &list.root);
    pin_mut!(all);
    while let Some(history) = all.try_next().await? {
        let path = &history.key[list.root.len()..];
        while let Some(listed) = lines.next_if(|it| it.as_ref().map_or(true, |it| it.path.as_str() <= path)) {
            let listed = listed?;
            let there = history.visible().filter(|_| listed.path == path);
            let same = |it: &S3Version| {
                it.size == listed.size && (it.etag == listed.etag || in_parts(&it.etag) || in_parts(&listed.etag))
            };
            if !there.is_some_and(same) {
                different.add(format!("{}{}", list.root, listed.path), "it is not there as it was".into());
            }
        }
    }
    for listed in lines {
        different.add(format!("{}{}", list.root, listed?.path), "it is not there".into());
    }
    Ok(different)
}

/// The artifacts of a point as the bucket still holds them, for who compares them.
pub struct VersionObjects {
    store: Arc<PacedStore>,
    bucket: String,
    objects: BTreeMap<String, ListedVersion>,
}

impl VersionObjects {
    /// Of this point.
    ///
    /// # Errors
    /// When the point's list cannot be read.
    pub async fn of(platform: &dyn Platform, point: &OpenPoint, content: &ArtifactContent) -> Result<Self, Error> {
        let list = ObjectList::fetch(point, root(&content.prefix)).await?;
        let keyed = |object: Result<ListedVersion, Error>| {
            let object = object?;
            Ok::<_, Error>((format!("{}{}", list.root, object.path), object))
        };
        let objects = list.lines()?.map(keyed).collect::<Result<_, _>>()?;
        let store = Arc::new(PacedStore::new(platform.objects()?.s3()));
        Ok(Self { store, bucket: content.bucket.clone(), objects })
    }
}

#[async_trait]
impl ObjectSource for VersionObjects {
    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, Error> {
        let under = self.objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let listed = |(key, object): (&String, &ListedVersion)| {
            let etag = Some(object.etag.clone()).filter(|etag| !etag.is_empty());
            ListedObject { key: key.clone(), size: object.size, etag }
        };
        Ok(under.map(listed).collect())
    }

    async fn read(&self, key: &str) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        let object = self.objects.get(key).ok_or_else(|| io::Error::other("the point does not list it"))?;
        let ListedVersion { version, etag, size, .. } = object.clone();
        let (bucket, key) = (self.bucket.clone(), key.to_owned());
        Ok(Box::new(download(Arc::clone(&self.store), ObjectRead { bucket, key, version, etag, size })))
    }
}

/// A point's list in a file of its own: it may be larger than memory.
struct ObjectList {
    folder: TempDir,
    /// What stands before the paths where they are restored.
    root: String,
    objects: u64,
    bytes: u64,
}

impl ObjectList {
    async fn fetch(point: &OpenPoint, root: String) -> Result<Self, Error> {
        let what = "cannot keep the list of artifacts";
        let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir().map_err(|e| Error::caused_by(what, e))?;
        let file = point.find(LIST).await?;
        let mut list = Self { folder, root, objects: 0, bytes: 0 };
        let mut kept = tokio::fs::File::create(list.path()).await.map_err(|e| Error::caused_by(what, e))?;
        tokio::io::copy(&mut point.read(&file), &mut kept).await.map_err(|e| Error::caused_by(what, e))?;
        kept.sync_all().await.map_err(|e| Error::caused_by(what, e))?;
        for object in list.lines()? {
            list.objects += 1;
            list.bytes += object?.size;
        }
        Ok(list)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(LIST)
    }

    fn lines(&self) -> Result<impl Iterator<Item = Result<ListedVersion, Error>> + Send + use<>, Error> {
        let what = "cannot read the list of artifacts";
        let file = std::fs::File::open(self.path()).map_err(|e| Error::caused_by(what, e))?;
        let parse = move |line: std::io::Result<String>| {
            let line = line.map_err(|e| Error::caused_by(what, e))?;
            serde_json::from_str(&line).map_err(|e| Error::caused_by(what, e))
        };
        Ok(BufReader::new(file).lines().map(parse))
    }
}

impl RecordedObjects for ObjectList {
    fn read(&self) -> Result<RecordedIter<'_>, Error> {
        let recorded = |object: Result<ListedVersion, Error>| {
            let ListedVersion { path, version, etag, .. } = object?;
            let etag = Some(etag).filter(|etag| !etag.is_empty());
            Ok((format!("{}{path}", self.root), RecordedObject { id: version, etag }))
        };
        Ok(Box::new(self.lines()?.map(recorded)))
    }
}
