//! The fault that freezes a component: it holds its connections and answers nothing, which is worse than a refusal
//! for clients without a time-out (MLflow hangs as long as PostgreSQL is frozen, seen with MLflow 3.17).

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::environment::{Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt, Verdict};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `pause: { component: mlflow }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "pause",
    about: "Freezes a component with all its processes until it is lifted.",
    example: "pause: { component: mlflow }",
    schema: |g| g.subschema_for::<Pause>(),
    parse: |n, p| read::<Pause>(n, p).map(|k| Box::new(k) as _),
};

/// Freezes a component.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pause {
    /// The component to freeze.
    component: String,
}

#[async_trait]
impl Fault for Pause {
    fn nature(&self) -> Nature {
        Nature::Condition
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Components]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.component(&self.component)
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let alive = platform.components()?.alive(&self.component).await;
        if alive.verdict != Verdict::Met {
            let why = alive.reason.unwrap_or_else(|| "it does not run".into());
            return Err(Error::new(format!("cannot pause `{}`", self.component), why));
        }
        Ok(Receipt(serde_json::json!(self)))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        platform.components()?.pause(&recall::<Pause>(receipt)?.component).await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let (power, paused) = match (platform.components(), recall::<Pause>(receipt)) {
            (Ok(power), Ok(paused)) => (power, paused),
            (Err(error), _) | (_, Err(error)) => return Finding::unknown(error.to_string()),
        };
        let alive = power.alive(&paused.component).await;
        match alive.verdict {
            Verdict::Missed => Finding { reason: alive.reason, ..Finding::met() },
            Verdict::Met => Finding::missed(format!("`{}` is not frozen", paused.component)),
            Verdict::Unknown => alive,
        }
    }
    async fn lift(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        platform.components()?.resume(&recall::<Pause>(receipt)?.component).await
    }
}
