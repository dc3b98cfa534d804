//! The fault that deletes artifacts as a careless script does: by key, so that a versioned bucket keeps each one under
//! a delete marker.

use super::drawn_artifacts::{ArtifactShare, DrawnArtifacts, parse};
use super::{Fault, Nature, recall};
use crate::client::{Error, s3, versions};
use crate::environment::{AssetUnder, Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use async_trait::async_trait;
use schemars::JsonSchema;

/// `artifacts-deleted: { percent: 30 }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "artifacts-deleted",
    about: "Deletes artifacts by their keys; a bucket with versions keeps each one under a delete marker.",
    example: "artifacts-deleted: { percent: 30, prefix: 1/, seed: 7 }",
    schema: |g| g.subschema_for::<ArtifactsDeleted>(),
    parse: |n, p| parse(n, "deletes", p).map(|share| Box::new(ArtifactsDeleted(share)) as _),
};

/// Deletes artifacts: a count, a share, or all of them if neither is said.
#[derive(Debug, JsonSchema)]
struct ArtifactsDeleted(ArtifactShare);

#[async_trait]
impl Fault for ArtifactsDeleted {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        self.0.takes()
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects]
    }
    fn targets(&self, _: &Inventory) -> Vec<String> {
        self.0.targets()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        Ok(Receipt(serde_json::json!(self.0.drawn(platform.objects()?, "delete").await?)))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let (client, drawn) = (platform.objects()?.s3(), recall::<DrawnArtifacts>(receipt)?);
        let what = format!("cannot delete artifacts in `{}`", drawn.bucket);
        drawn.prove_bucket(client, &what).await?;
        let doomed: Vec<_> = drawn.objects.into_keys().map(|key| (key, None)).collect();
        match versions::delete(client, &drawn.bucket, &doomed).await?.first() {
            Some((key, why)) => Err(Error::new(what, format!("`{key}`: {why}"))),
            None => Ok(()),
        }
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        gone(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

/// A drawn object is gone when it is not listed, or is another version: a client may have written it anew since. All
/// versions would tell as much, but to list them takes twice as long.
async fn gone(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let (client, DrawnArtifacts { bucket, prefix, of, objects }) =
        (platform.objects()?.s3(), recall::<DrawnArtifacts>(receipt)?);
    for (key, _) in s3::list(client, &bucket, &prefix).await? {
        let Some(version) = objects.get(&key) else { continue };
        let head = client.head_object().bucket(&bucket).key(&key).send().await;
        let head = head.map_err(|e| s3::failure(format!("cannot look at `{bucket}/{key}`"), &e))?;
        if head.version_id.as_ref() == Some(version) {
            return Ok(Finding::missed(format!("`{key}` is still there")));
        }
    }
    Ok(Finding::met().figure("deleted", objects.len()).figure("of", of))
}
