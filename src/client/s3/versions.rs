//! Versions of objects in a bucket: whether they are kept, all of them in one list, and many deleted at once.
//!
//! Apart from the few plain calls because servers differ here. For callers with few objects: a list is held whole.
//! Whole buckets are streamed, see `listing`.

use super::batch::{BATCH, delete_batch};
use super::failure;
use super::listing::histories;
use super::pace::PacedStore;
use crate::client::Error;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use std::sync::Arc;

pub use super::batch::ObjectToDelete;
pub use super::history::S3Version;

const AT_ONCE: usize = 8;

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

/// All versions and delete markers under a prefix, each once, in the order of the keys and newest first.
pub async fn list(client: &Client, bucket: &str, prefix: &str) -> Result<Vec<S3Version>, Error> {
    let store = Arc::new(PacedStore::new(client));
    let all = histories(&store, bucket, prefix).map_ok(|history| stream::iter(history.entries).map(Ok)).try_flatten();
    all.try_collect().await
}

/// Deletes objects, many at once; answers those that the server refused, each with its reason.
pub async fn delete(client: &Client, bucket: &str, objects: &[ObjectToDelete]) -> Result<Vec<(String, String)>, Error> {
    let store = PacedStore::new(client);
    // Small batches: one that is not answered in time is sent again, and would put a second marker on each of its keys.
    let batches = objects.chunks(BATCH / 10).map(|batch| delete_batch(&store, bucket, batch.to_vec()).boxed());
    let batches: Vec<_> = batches.collect();
    let refused: Vec<_> = stream::iter(batches).buffer_unordered(AT_ONCE).try_collect().await.map_err(|e| e.error)?;
    Ok(refused.into_iter().flatten().map(|((key, _), why)| (key, why)).collect())
}
