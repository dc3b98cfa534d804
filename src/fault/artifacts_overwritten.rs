//! The fault that overwrites artifacts in place with other bytes, as a wrong script or an encrypting attacker does: a
//! versioned bucket keeps the bytes of before under the new ones.
//!
//! Not here: hiding the old versions or purging them.

use super::drawn_artifacts::{ArtifactShare, parse};
use super::overwritten::{OverwrittenArtifacts, READ_BACK};
use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::environment::{AssetUnder, Inventory, LossKind, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use async_trait::async_trait;
use schemars::JsonSchema;
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
        READ_BACK
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let drawn = self.0.drawn(platform.objects()?, "overwrite").await?;
        Ok(Receipt(serde_json::json!(OverwrittenArtifacts { drawn, seed: self.0.seed })))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        recall::<OverwrittenArtifacts>(receipt)?.put(platform.objects()?.s3()).await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let seen = async { recall::<OverwrittenArtifacts>(receipt)?.changed(platform.objects()?.s3()).await };
        seen.await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}
