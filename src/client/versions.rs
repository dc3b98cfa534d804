//! Versions of objects in a bucket: listing them whole, and deleting many at once.
//!
//! Apart from the few plain calls because servers differ here. Seen with VersityGW 1.8: entries twice at the ends of
//! pages, pages that never end, and delete markers that bear the time of the object they hide.

use super::Error;
use super::s3::failure;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    BucketVersioningStatus, Delete, DeleteMarkerEntry, ExpirationStatus, ObjectIdentifier, ObjectVersion,
};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashSet;
use ulid::Ulid;

/// So many keys are in one request, of 1000 that are allowed: a server that works on them one by one must answer
/// before the client's time limit.
const BATCH: usize = 100;
const AT_ONCE: usize = 8;

/// One version of an object, or a marker that it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Version {
    /// The object's key.
    pub key: String,
    /// The version's id.
    pub id: String,
    /// Is it a delete marker?
    pub marker: bool,
    /// Is it what a client sees who asks for no version?
    pub latest: bool,
    /// When it was made at the earliest, by the server's clock.
    pub from: Timestamp,
    /// When it was made at the latest: servers may give whole seconds.
    pub to: Timestamp,
}

/// An object to delete: its key, and the id of one version or nothing, which makes a delete marker.
pub type ObjectToDelete = (String, Option<String>);

/// Does the bucket keep versions of what is deleted?
pub async fn kept(client: &Client, bucket: &str) -> Result<bool, Error> {
    let asked = client.get_bucket_versioning().bucket(bucket).send().await;
    let asked = asked.map_err(|e| failure(format!("cannot ask whether `{bucket}` keeps versions"), &e))?;
    Ok(asked.status == Some(BucketVersioningStatus::Enabled))
}

/// Why what is deleted could not be brought back by the bucket's versions; nothing if it could.
pub async fn lost_for_good(client: &Client, bucket: &str) -> Option<String> {
    match kept(client, bucket).await {
        Ok(true) => {}
        Ok(false) => return Some(format!("the bucket `{bucket}` keeps no versions")),
        Err(error) => return Some(error.to_string()),
    }
    match client.get_bucket_lifecycle_configuration().bucket(bucket).send().await {
        Ok(lifecycle) => {
            let rules = lifecycle.rules.unwrap_or_default();
            let expiring = rules
                .iter()
                .find(|rule| rule.status == ExpirationStatus::Enabled && rule.noncurrent_version_expiration.is_some());
            let named = |id: &str| format!("the rule `{id}` of the bucket `{bucket}` removes old versions");
            expiring.map(|rule| named(rule.id.as_deref().unwrap_or_default()))
        }
        // Servers without rules say one or the other.
        Err(error) if matches!(error.code(), Some("NoSuchLifecycleConfiguration" | "NotImplemented")) => None,
        Err(error) => Some(failure(format!("cannot read the lifecycle of `{bucket}`"), &error).to_string()),
    }
}

/// All versions and delete markers under a prefix, each once.
pub async fn list(client: &Client, bucket: &str, prefix: &str) -> Result<Vec<S3Version>, Error> {
    let what = || format!("cannot list the versions in `{bucket}/{prefix}`");
    let (mut found, mut seen) = (vec![], HashSet::new());
    let mut after: (Option<String>, Option<String>) = (None, None);
    loop {
        let request = client.list_object_versions().bucket(bucket).prefix(prefix);
        let request = request.set_key_marker(after.0.clone()).set_version_id_marker(after.1.clone());
        let page = request.send().await.map_err(|e| failure(what(), &e))?;
        let versions = page.versions.unwrap_or_default().into_iter().filter_map(version);
        let markers = page.delete_markers.unwrap_or_default().into_iter().filter_map(marker);
        found.extend(versions.chain(markers).filter(|it| seen.insert((it.key.clone(), it.id.clone()))));
        if page.is_truncated != Some(true) {
            return Ok(found);
        }
        let next = (page.next_key_marker, page.next_version_id_marker.filter(|id| !id.is_empty()));
        if next.0.is_none() || next == after {
            return Err(Error::new(what(), "the server's pages do not go on"));
        }
        after = next;
    }
}

/// Deletes objects, many at once; answers those that the server refused, each with its reason.
pub async fn delete(client: &Client, bucket: &str, objects: &[ObjectToDelete]) -> Result<Vec<(String, String)>, Error> {
    let batches: Vec<_> = objects.chunks(BATCH).map(|batch| delete_batch(client, bucket, batch)).collect();
    let refused: Vec<_> = stream::iter(batches).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(refused.concat())
}

async fn delete_batch(client: &Client, bucket: &str, batch: &[ObjectToDelete]) -> Result<Vec<(String, String)>, Error> {
    let what = || format!("cannot delete objects in `{bucket}`");
    let mut delete = Delete::builder().quiet(true);
    for (key, version) in batch {
        let object = ObjectIdentifier::builder().key(key).set_version_id(version.clone()).build();
        delete = delete.objects(object.map_err(|e| Error::caused_by(what(), e))?);
    }
    let delete = delete.build().map_err(|e| Error::caused_by(what(), e))?;
    let answer = client.delete_objects().bucket(bucket).delete(delete).send().await.map_err(|e| failure(what(), &e))?;
    let refused = answer.errors.unwrap_or_default().into_iter();
    Ok(refused.map(|e| (e.key.unwrap_or_default(), e.message.or(e.code).unwrap_or_default())).collect())
}

fn version(entry: ObjectVersion) -> Option<S3Version> {
    let (id, latest) = (entry.version_id?, entry.is_latest == Some(true));
    let (from, to) = made(&id, entry.last_modified?)?;
    Some(S3Version { key: entry.key?, id, marker: false, latest, from, to })
}

fn marker(entry: DeleteMarkerEntry) -> Option<S3Version> {
    let (id, latest) = (entry.version_id?, entry.is_latest == Some(true));
    let (from, to) = made(&id, entry.last_modified?)?;
    Some(S3Version { key: entry.key?, id, marker: true, latest, from, to })
}

/// When a version was made. Where ids are ULIDs they hold the time, and VersityGW's `LastModified` does not: a marker
/// takes over that of the object it hides, while the hidden version gets the time of the deletion.
fn made(id: &str, modified: DateTime) -> Option<(Timestamp, Timestamp)> {
    if let Ok(id) = Ulid::from_string(id) {
        let from = Timestamp::from_millisecond(i64::try_from(id.timestamp_ms()).ok()?).ok()?;
        return Some((from, from + SignedDuration::from_millis(1)));
    }
    let nanoseconds = i32::try_from(modified.subsec_nanos()).ok()?;
    let from = Timestamp::new(modified.secs(), nanoseconds).ok()?;
    let precision = if nanoseconds == 0 { SignedDuration::from_secs(1) } else { SignedDuration::from_millis(1) };
    Some((from, from + precision))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_version_id_that_holds_a_time_goes_before_the_time_of_the_object() {
        let modified = DateTime::from_secs(1_000);
        let (from, to) = made("01ARYZ6S41TSV4RRFFQ69G5FAV", modified).unwrap();
        assert_eq!((from.as_millisecond(), to.as_millisecond()), (1_469_918_176_385, 1_469_918_176_386));
        for id in ["null", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo"] {
            assert_eq!(made(id, modified).unwrap().0.as_second(), 1_000, "{id}");
        }
    }

    #[test]
    fn a_time_in_whole_seconds_may_be_any_within() {
        let precision = |modified| made("null", modified).map(|(from, to)| to.duration_since(from)).unwrap();
        assert_eq!(precision(DateTime::from_secs(5)), SignedDuration::from_secs(1));
        assert_eq!(precision(DateTime::from_millis(5_250)), SignedDuration::from_millis(1));
    }
}
