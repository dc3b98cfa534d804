//! Artifacts overwritten in place with bytes that come from the key and a seed, so that what is read back is known to be
//! the fault's.
//!
//! Apart because two faults overwrite: one that does nothing else, and one that does it as a part of an attack.

use super::CONFIRM;
use super::drawn_artifacts::DrawnArtifacts;
use crate::client::{Error, s3};
use crate::model::Finding;
use aws_sdk_s3::Client;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// So many bytes has an object afterwards, which is other content enough.
const BYTES: usize = 4096;
const AT_ONCE: usize = 16;
/// How long after the act the effect must have been seen: every object is read back.
pub(super) const READ_BACK: Duration = CONFIRM.saturating_mul(6);

/// What was drawn, with what makes the bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OverwrittenArtifacts {
    #[serde(flatten)]
    pub drawn: DrawnArtifacts,
    pub seed: u64,
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

    /// Overwrites them.
    pub async fn put(&self, client: &Client) -> Result<(), Error> {
        let drawn = &self.drawn;
        drawn.prove_bucket(client, &format!("cannot overwrite artifacts in `{}`", drawn.bucket)).await?;
        let puts = drawn.objects.keys().map(|key| s3::put(client, &drawn.bucket, key, self.bytes(key)));
        let puts: Vec<_> = puts.collect();
        stream::iter(puts).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Every drawn object is read back: it holds the fault's bytes, or is no more the version that was drawn, as a client
    /// may have written it since.
    pub async fn changed(&self, client: &Client) -> Result<Finding, Error> {
        let DrawnArtifacts { bucket, of, objects, .. } = &self.drawn;
        let read = |(key, version): (&String, &String)| {
            let (key, version, wanted) = (key.clone(), version.clone(), self.bytes(key));
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
