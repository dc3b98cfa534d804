//! The fault that takes a component's disk away with all that it held.
//!
//! The receipt names each disk by what identifies it for good, so that a new one in its place is never taken for the
//! one that was meant: neither when it is lost nor when the loss is looked for.

use super::{Fault, Nature, recall};
use crate::client::Trouble;
use crate::environment::cluster::LOSING_A_DISK;
use crate::environment::{Environment, Inventory, Permission, Power};
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
struct Lost {
    component: String,
    disks: Vec<String>,
}

#[async_trait]
impl Fault for DiskLost {
    fn nature(&self) -> Nature {
        Nature::Damage
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Disks]
    }
    fn permissions(&self) -> Vec<Permission> {
        LOSING_A_DISK.to_vec()
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.disks(&self.component)
    }
    async fn intend(&self, env: &dyn Environment) -> Result<Receipt, Trouble> {
        let component = self.component.clone();
        let disks = env.disks()?.disks(&component).await?;
        if disks.is_empty() {
            return Err(Trouble::new(format!("cannot lose the disk of `{component}`"), "it has none"));
        }
        Ok(Receipt(serde_json::json!(Lost { component, disks })))
    }
    async fn inject(&self, env: &dyn Environment, receipt: &Receipt) -> Result<(), Trouble> {
        let Lost { component, disks } = recall(receipt)?;
        env.disks()?.lose(&component, &disks).await
    }
    async fn confirm(&self, env: &dyn Environment, receipt: &Receipt) -> Finding {
        match left(env, receipt).await {
            Ok(left) if left.is_empty() => Finding::met(),
            Ok(left) => Finding::missed(format!("still there: {}", left.join(", "))),
            Err(trouble) => Finding::unknown(trouble.to_string()),
        }
    }
    async fn lift(&self, _: &dyn Environment, _: &Receipt) -> Result<(), Trouble> {
        Ok(()) // damage: only recovery mends it
    }
}

/// Those of the disks that are still there.
async fn left(env: &dyn Environment, receipt: &Receipt) -> Result<Vec<String>, Trouble> {
    let lost = recall::<Lost>(receipt)?;
    let there = env.disks()?.disks(&lost.component).await?;
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
