//! The fault that lets a component run out of memory, until the kernel kills it, as a query too many would.
//!
//! The component may take a little more than it takes, and something beside it takes the rest. What the kernel kills
//! is its choice: the largest. The limit stays until it is lifted, so a component that grows is killed again.

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::environment::{Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt, Verdict};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `out-of-memory: { component: mlflow }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "out-of-memory",
    about: "Lets a component run out of memory until the kernel kills it.",
    example: "out-of-memory: { component: mlflow }",
    schema: |g| g.subschema_for::<OutOfMemory>(),
    parse: |n, p| read::<OutOfMemory>(n, p).map(|k| Box::new(k) as _),
};

/// What a component may take beyond what it takes: enough to start again in, less than its largest process.
const ROOM: u64 = 128 << 20;
/// How long filling that may take.
const FILLING: Duration = Duration::from_secs(8);
/// Reads a line without end into memory; part of every system that has a shell.
const FILL: &[&str] = &["tail", "/dev/zero"];

/// Lets a component run out of memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OutOfMemory {
    /// The component.
    component: String,
}

/// What was starved, and what it may take before and meanwhile, in bytes.
#[derive(Debug, Serialize, Deserialize)]
struct LimitedComponent {
    component: String,
    instance: String,
    before: Option<u64>,
    meanwhile: u64,
}

#[async_trait]
impl Fault for OutOfMemory {
    fn nature(&self) -> Nature {
        Nature::Condition
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Components, Power::Exec, Power::Memory]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.component(&self.component)
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let component = self.component.clone();
        let Some(instance) = platform.components()?.instance(&component).await? else {
            return Err(Error::new(format!("cannot starve `{component}`"), "it does not run"));
        };
        let memory = platform.memory()?.memory(&component).await?;
        let meanwhile = memory.used + ROOM;
        Ok(Receipt(serde_json::json!(LimitedComponent { component, instance, before: memory.limit, meanwhile })))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let LimitedComponent { component, meanwhile, .. } = recall(receipt)?;
        platform.memory()?.limit(&component, Some(meanwhile)).await?;
        let filling = platform.exec()?.exec(&component, FILL).await?;
        // It ends with the component or is killed itself; whether that was the harm meant is seen by its effect.
        let _ = tokio::time::timeout(FILLING, filling.finish()).await;
        Ok(())
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        died(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let LimitedComponent { component, before, meanwhile, .. } = recall(receipt)?;
        let memory = platform.memory()?;
        if memory.memory(&component).await?.limit != Some(meanwhile) {
            return Ok(()); // it is no longer as the fault left it
        }
        memory.limit(&component, before).await
    }
}

/// The instance that ran is gone, whether or not another runs already.
async fn died(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let LimitedComponent { component, instance, .. } = recall(receipt)?;
    let components = platform.components()?;
    if components.instance(&component).await?.as_ref() != Some(&instance) {
        return Ok(Finding::met());
    }
    let alive = components.alive(&component).await;
    Ok(match alive.verdict {
        Verdict::Missed => Finding::met(),
        _ => Finding::missed(format!("`{component}` still runs as {instance}")),
    })
}
