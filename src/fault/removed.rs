//! The fault that removes a component's container, as somebody's `rm` would; its disks stay.
//!
//! Unlike one that was killed it is not there to be started: another must be made in its place.

use super::{Fault, Nature, recall};
use crate::client::Trouble;
use crate::environment::{Environment, Inventory, Power};
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
    schema: |g| g.subschema_for::<Removed>(),
    parse: |n, p| read::<Removed>(n, p).map(|k| Box::new(k) as _),
};

/// Removes a component's container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Removed {
    /// The component whose container is removed.
    component: String,
}

/// The container that is removed, by what identifies it.
#[derive(Debug, Serialize, Deserialize)]
struct Gone {
    component: String,
    container: String,
}

#[async_trait]
impl Fault for Removed {
    fn nature(&self) -> Nature {
        Nature::Damage
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Removal]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.component(&self.component)
    }
    async fn intend(&self, env: &dyn Environment) -> Result<Receipt, Trouble> {
        let component = self.component.clone();
        let Some(container) = env.removal()?.container(&component).await? else {
            return Err(Trouble::new(format!("cannot remove `{component}`"), "it has no container"));
        };
        Ok(Receipt(serde_json::json!(Gone { component, container })))
    }
    async fn inject(&self, env: &dyn Environment, receipt: &Receipt) -> Result<(), Trouble> {
        let Gone { component, container } = recall(receipt)?;
        env.removal()?.remove_container(&component, &container).await
    }
    async fn confirm(&self, env: &dyn Environment, receipt: &Receipt) -> Finding {
        let now = async {
            let gone = recall::<Gone>(receipt)?;
            Ok::<_, Trouble>((env.removal()?.container(&gone.component).await?, gone))
        };
        match now.await {
            Ok((Some(now), Gone { component, container })) if now == container => {
                Finding::missed(format!("the container of `{component}` is still there"))
            }
            Ok(_) => Finding::met(),
            Err(trouble) => Finding::unknown(trouble.to_string()),
        }
    }
    async fn lift(&self, _: &dyn Environment, _: &Receipt) -> Result<(), Trouble> {
        Ok(()) // damage: only recovery mends it
    }
}
