//! The fault that removes a component's container, as somebody's `rm` would; its disks stay.
//!
//! Unlike one that was killed it is not there to be started: another must be made in its place.

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::environment::{Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `removed: { component: mlflow }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "removed",
    about: "Removes a component's container at once; its disks stay, and the step `start` makes another container.",
    example: "removed: { component: mlflow }",
    schema: |g| g.subschema_for::<ContainerRemoved>(),
    parse: |n, p| read::<ContainerRemoved>(n, p).map(|k| Box::new(k) as _),
};

/// Removes a component's container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ContainerRemoved {
    /// The component whose container is removed.
    component: String,
}

/// The container that is removed, by what identifies it.
#[derive(Debug, Serialize, Deserialize)]
struct RemovedContainer {
    component: String,
    container: String,
}

#[async_trait]
impl Fault for ContainerRemoved {
    fn nature(&self) -> Nature {
        Nature::Crash
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Removal]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.component(&self.component)
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let component = self.component.clone();
        let Some(container) = platform.removal()?.container(&component).await? else {
            return Err(Error::new(format!("cannot remove `{component}`"), "it has no container"));
        };
        Ok(Receipt(serde_json::json!(RemovedContainer { component, container })))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let RemovedContainer { component, container } = recall(receipt)?;
        platform.removal()?.remove_container(&component, &container).await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let now = async {
            let gone = recall::<RemovedContainer>(receipt)?;
            Ok::<_, Error>((platform.removal()?.container(&gone.component).await?, gone))
        };
        match now.await {
            Ok((Some(now), RemovedContainer { component, container })) if now == container => {
                Finding::missed(format!("the container of `{component}` is still there"))
            }
            Ok(_) => Finding::met(),
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a restart brings it back
    }
}
