//! The fault that takes a component's disk away with all that it held.
//!
//! The receipt names each disk by what identifies it for good, so that a new one in its place is never taken for the
//! one that was meant: neither when it is lost nor when the loss is looked for.

use super::{Fault, Nature, recall, unchanged};
use crate::client::Error;
use crate::client::kubernetes::permission::LOSING_A_DISK;
use crate::environment::{AssetUnder, Inventory, LossKind, Permission, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `disk-lost: { component: postgres }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "disk-lost",
    about: "Takes a component's disk away with all that it held; the component starts again on an empty one.",
    example: "disk-lost: { component: postgres }",
    schema: |g| g.subschema_for::<DiskLost>(),
    parse: |n, p| read::<DiskLost>(n, p).map(|k| Box::new(k) as _),
};

/// Takes a component's disk away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DiskLost {
    /// The component whose disk is lost; one that has none, such as MLflow, is no target.
    component: String,
}

/// The disks that are lost, each by what identifies it.
#[derive(Debug, Serialize, Deserialize)]
struct LostDisks {
    component: String,
    disks: Vec<String>,
}

#[async_trait]
impl Fault for DiskLost {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Disks]
    }
    fn takes(&self, inventory: &Inventory) -> Vec<AssetUnder> {
        inventory.assets(&self.component).into_iter().map(Into::into).collect()
    }
    fn loss(&self) -> LossKind {
        LossKind::Purged
    }
    fn permissions(&self) -> Vec<Permission> {
        LOSING_A_DISK.to_vec()
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.disks(&self.component)
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let component = self.component.clone();
        let disks = platform.disks()?.disks(&component).await?;
        if disks.is_empty() {
            return Err(Error::new(format!("cannot lose the disk of `{component}`"), "it has none"));
        }
        Ok(Receipt(serde_json::json!(LostDisks { component, disks })))
    }
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        unchanged("the disk", bound, now)
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let LostDisks { component, disks } = recall(receipt)?;
        platform.disks()?.lose(&component, &disks).await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        match left(platform, receipt).await {
            Ok(left) if left.is_empty() => Finding::met(),
            Ok(left) => Finding::missed(format!("still there: {}", left.join(", "))),
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

/// Those of the disks that are still there.
async fn left(platform: &dyn Platform, receipt: &Receipt) -> Result<Vec<String>, Error> {
    let lost = recall::<LostDisks>(receipt)?;
    let there = platform.disks()?.disks(&lost.component).await?;
    Ok(lost.disks.into_iter().filter(|disk| there.contains(disk)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Thing;

    #[test]
    fn only_a_component_with_a_disk_is_hit() {
        let inventory = Inventory {
            things: vec![Thing::disk("data", "postgres"), Thing::disk("a", "s3"), Thing::disk("b", "s3")],
            ..Inventory::of(["postgres", "s3", "mlflow"])
        };
        let targets = |component: &str| DiskLost { component: component.into() }.targets(&inventory);
        assert_eq!(targets("postgres"), ["the disk data of postgres"]);
        assert_eq!(targets("s3"), ["the disk a of s3", "the disk b of s3"]);
        assert!(targets("mlflow").is_empty());
    }
}
