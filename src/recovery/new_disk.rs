//! The step that gives a component a new, empty disk: the way out where the old one is tied to a machine that is gone.
//!
//! What the old disk held is given up for good, so the steps after it restore.

use super::{Step, StepContext};
use crate::client::Error;
use crate::client::kubernetes::permission::LOSING_A_DISK;
use crate::environment::{AssetUnder, Inventory, Permission, Power};
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `new-disk: { component: postgres }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "new-disk",
    about: "Gives a component's disk up, with all that it holds, for a new and empty one.",
    example: "new-disk: { component: postgres }",
    schema: |g| g.subschema_for::<NewDisk>(),
    parse: |n, p| read::<NewDisk>(n, p).map(|k| Box::new(k) as _),
};

/// Gives a component a new disk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewDisk {
    /// The component; it starts on the new disk by itself, or by the step `start`.
    component: String,
}

#[async_trait]
impl Step for NewDisk {
    fn needs(&self) -> &'static [Power] {
        &[Power::Disks]
    }
    fn permissions(&self) -> Vec<Permission> {
        LOSING_A_DISK.to_vec()
    }
    fn takes(&self, inventory: &Inventory) -> Vec<AssetUnder> {
        inventory.assets(&self.component).into_iter().map(Into::into).collect()
    }
    fn component(&self) -> Option<&str> {
        Some(&self.component)
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let given_up = async {
            let disks = context.platform.disks()?;
            let old = disks.disks(&self.component).await?;
            if old.is_empty() {
                return Err(Error::new(format!("cannot give up the disk of `{}`", self.component), "it has none"));
            }
            context.record("new-disk", &self.component, Some(old.join(", "))).await?;
            disks.lose(&self.component, &old).await
        };
        given_up.await.map_or_else(|error| Finding::missed(error.to_string()), |()| Finding::met())
    }
}
