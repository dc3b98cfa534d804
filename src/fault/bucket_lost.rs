//! The fault that takes the whole bucket away: every object, every version and delete marker, and the bucket itself.
//!
//! Apart from `artifacts-deleted` because nothing is left to undelete: only a copy elsewhere brings it back. A bucket
//! with Object Lock is refused, since that is made to outlast this.

use super::{Fault, Nature, recall};
use crate::client::{Error, s3, versions};
use crate::environment::{Asset, AssetUnder, Inventory, LossKind, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::ObjectLockEnabled;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// `bucket-lost: {}`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "bucket-lost",
    about: "Purges every object with all its versions, and deletes the bucket.",
    example: "bucket-lost: {}",
    schema: |g| g.subschema_for::<BucketLost>(),
    parse: |n, p| read::<BucketLost>(n, p).map(|k| Box::new(k) as _),
};

/// Takes the bucket away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BucketLost {}

/// What was in the bucket: objects, and versions with delete markers.
#[derive(Debug, Serialize, Deserialize)]
struct LostBucket {
    bucket: String,
    objects: usize,
    versions: usize,
}

/// Clients write while it is emptied: so often it is tried anew.
const ROUNDS: u32 = 10;

#[async_trait]
impl Fault for BucketLost {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        vec![Asset::Artifacts.into()]
    }
    fn loss(&self) -> LossKind {
        LossKind::Purged
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.kind("bucket").map(|it| format!("the bucket {} with all versions", it.name)).collect()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let (client, bucket) = (platform.objects()?.s3(), platform.objects()?.bucket().to_owned());
        let what = format!("cannot lose the bucket `{bucket}`");
        match client.get_object_lock_configuration().bucket(&bucket).send().await {
            Ok(answer) => {
                let lock = answer.object_lock_configuration.and_then(|lock| lock.object_lock_enabled);
                if lock == Some(ObjectLockEnabled::Enabled) {
                    return Err(Error::new(what, "it has Object Lock, which keeps what this would delete"));
                }
            }
            // Servers without locks say one or the other.
            Err(error) if matches!(error.code(), Some("ObjectLockConfigurationNotFoundError" | "NotImplemented")) => {}
            Err(error) => return Err(s3::failure(what, &error)),
        }
        let all = versions::list(client, &bucket, "").await?;
        let objects = all.iter().filter(|version| version.latest && !version.marker).count();
        Ok(Receipt(json!(LostBucket { bucket, objects, versions: all.len() })))
    }
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        let (before, there) = (recall::<LostBucket>(bound)?, recall::<LostBucket>(&now)?);
        if before.bucket == there.bucket {
            return Ok(now);
        }
        Err(Error::new(format!("cannot lose the bucket `{}`", before.bucket), "it is another now"))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let (client, LostBucket { bucket, .. }) = (platform.objects()?.s3(), recall(receipt)?);
        for _ in 0..ROUNDS {
            if delete(client, &bucket).await? {
                return Ok(());
            }
        }
        Err(Error::new(format!("cannot lose the bucket `{bucket}`"), "clients fill it again and again"))
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let seen = async { Ok::<_, Error>((platform.objects()?.s3(), recall::<LostBucket>(receipt)?)) };
        let (client, LostBucket { bucket, objects, versions }) = match seen.await {
            Ok(seen) => seen,
            Err(error) => return Finding::unknown(error.to_string()),
        };
        match client.list_objects_v2().bucket(&bucket).max_keys(1).send().await {
            Ok(_) => Finding::missed(format!("the bucket `{bucket}` is still there")),
            Err(error) if error.code() == Some("NoSuchBucket") => {
                Finding::met().figure("objects", objects).figure("versions", versions)
            }
            Err(error) => Finding::unknown(s3::failure(format!("cannot look at `{bucket}`"), &error).to_string()),
        }
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

/// Empties a bucket and deletes it; is it gone?
async fn delete(client: &Client, bucket: &str) -> Result<bool, Error> {
    let what = || format!("cannot lose the bucket `{bucket}`");
    let doomed = versions::list(client, bucket, "").await?.into_iter();
    let doomed: Vec<_> = doomed.map(|version| (version.key, Some(version.id))).collect();
    if let Some((key, why)) = versions::delete(client, bucket, &doomed).await?.first() {
        return Err(Error::new(what(), format!("`{key}`: {why}")));
    }
    let uploads = client.list_multipart_uploads().bucket(bucket).send().await;
    for upload in uploads.map_err(|e| s3::failure(what(), &e))?.uploads.unwrap_or_default() {
        let (Some(key), Some(id)) = (upload.key, upload.upload_id) else { continue };
        let aborted = client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await;
        if let Err(error) = aborted.map_err(|e| (e.code() == Some("NoSuchUpload"), s3::failure(what(), &e)))
            && !error.0
        {
            return Err(error.1);
        }
    }
    match client.delete_bucket().bucket(bucket).send().await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("NoSuchBucket") => Ok(true),
        Err(error) if error.code() == Some("BucketNotEmpty") => Ok(false),
        Err(error) => Err(s3::failure(what(), &error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::stack;

    #[test]
    fn it_aims_at_the_bucket_and_at_no_other_of_the_same_platform() {
        assert_eq!(BucketLost {}.targets(&stack::inventory()), ["the bucket mlflow with all versions"]);
        assert!(BucketLost {}.targets(&Inventory::default()).is_empty());
        let receipt =
            |bucket: &str, objects| Receipt(json!(LostBucket { bucket: bucket.into(), objects, versions: objects }));
        let now = receipt("a", 2);
        assert_eq!(BucketLost {}.still(&receipt("a", 1), now.clone()).unwrap(), now, "clients have written since");
        assert!(BucketLost {}.still(&receipt("b", 1), now).is_err());
    }
}
