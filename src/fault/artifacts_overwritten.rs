//! The fault that overwrites artifacts in place with other bytes, as a wrong script or an encrypting attacker does: a
//! versioned bucket keeps the bytes of before under the new ones.
//!
//! The bytes come from the key and the seed, so that what is read back is known to be the fault's. Not here: hiding the
//! old versions or purging them.

use super::drawn_artifacts::{ArtifactShare, DrawnArtifacts, parse};
use super::{CONFIRM, Fault, Nature, recall};
use crate::client::{Error, s3};
use crate::environment::{AssetUnder, Inventory, LossKind, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `artifacts-overwritten: { percent: 30 }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "artifacts-overwritten",
    about: "Overwrites artifacts in place with other bytes; a bucket with versions keeps those of before.",
    example: "artifacts-overwritten: { percent: 30, prefix: 1/, seed: 7 }",
    schema: |g| g.subschema_for::<ArtifactsOverwritten>(),
    parse: |n, p| parse(n, "overwrites", p).map(|share| Box::new(ArtifactsOverwritten(share)) as _),
};

/// Overwrites artifacts with other bytes: a count, a share, or all of them if neither is said.
#[derive(Debug, JsonSchema)]
struct ArtifactsOverwritten(ArtifactShare);

/// So many bytes has an object afterwards, which is other content enough.
const BYTES: usize = 4096;
const AT_ONCE: usize = 16;

/// What was drawn, with what makes the bytes.
#[derive(Debug, Serialize, Deserialize)]
struct OverwrittenArtifacts {
    #[serde(flatten)]
    drawn: DrawnArtifacts,
    seed: u64,
}

impl OverwrittenArtifacts {
    /// The bytes that a key gets, unlike for any other key.
    fn bytes(&self, key: &str) -> Vec<u8> {
        let mut bytes = vec![0; BYTES];
        blake3::Hasher::new_derive_key("lifeboat artifacts-overwritten")
            .update(&self.seed.to_le_bytes())
            .update(key.as_bytes())
            .finalize_xof()
            .fill(&mut bytes);
        bytes
    }
}

#[async_trait]
impl Fault for ArtifactsOverwritten {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        self.0.takes()
    }
    fn loss(&self) -> LossKind {
        LossKind::Overwritten
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects]
    }
    fn targets(&self, _: &Inventory) -> Vec<String> {
        self.0.targets()
    }
    fn confirmed_within(&self) -> Duration {
        CONFIRM * 6 // every object is read back
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let drawn = self.0.drawn(platform.objects()?, "overwrite").await?;
        Ok(Receipt(serde_json::json!(OverwrittenArtifacts { drawn, seed: self.0.seed })))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let (client, overwritten) = (platform.objects()?.s3(), recall::<OverwrittenArtifacts>(receipt)?);
        let drawn = &overwritten.drawn;
        drawn.prove_bucket(client, &format!("cannot overwrite artifacts in `{}`", drawn.bucket)).await?;
        let puts = drawn.objects.keys().map(|key| s3::put(client, &drawn.bucket, key, overwritten.bytes(key)));
        let puts: Vec<_> = puts.collect();
        stream::iter(puts).buffer_unordered(AT_ONCE).try_collect().await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        changed(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

/// Every drawn object is read back: it holds the fault's bytes, or is no more the version that was drawn, as a client
/// may have written it since.
async fn changed(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let (client, overwritten) = (platform.objects()?.s3(), recall::<OverwrittenArtifacts>(receipt)?);
    let DrawnArtifacts { bucket, of, objects, .. } = &overwritten.drawn;
    let read = |(key, version): (&String, &String)| {
        let (key, version, wanted) = (key.clone(), version.clone(), overwritten.bytes(key));
        async move {
            let what = || format!("cannot look at `{bucket}/{key}`");
            let answer = client.get_object().bucket(bucket).key(&key).send().await;
            let mut answer = answer.map_err(|e| s3::failure(what(), &e))?;
            if answer.version_id.as_ref() == Some(&version) {
                return Ok(Some(key));
            }
            let mut hasher = blake3::Hasher::new();
            while let Some(bytes) = answer.body.try_next().await.map_err(|e| Error::caused_by(what(), e))? {
                hasher.update(&bytes);
            }
            // Another version of this length with other bytes is not what was put; of another length it is a client's.
            let damaged =
                hasher.finalize() != blake3::hash(&wanted) && answer.content_length == i64::try_from(BYTES).ok();
            Ok::<_, Error>(damaged.then_some(key))
        }
    };
    let reads: Vec<_> = objects.iter().map(read).collect();
    let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
    while let Some(unchanged) = reads.try_next().await? {
        if let Some(key) = unchanged {
            return Ok(Finding::missed(format!("`{key}` is not overwritten")));
        }
    }
    Ok(Finding::met().figure("overwritten", objects.len()).figure("of", of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn each_key_gets_bytes_of_its_own_and_the_same_ones_again() {
        let drawn = || DrawnArtifacts { bucket: "b".into(), prefix: String::new(), of: 1, objects: BTreeMap::new() };
        let of = |seed| OverwrittenArtifacts { drawn: drawn(), seed };
        assert_eq!(of(1).bytes("a"), of(1).bytes("a"));
        assert_ne!(of(1).bytes("a"), of(1).bytes("b"));
        assert_ne!(of(1).bytes("a"), of(2).bytes("a"));
    }
}
