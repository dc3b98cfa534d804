//! The probe `running`: does a component run, as the platform reports it? For components without an endpoint of their own.

use super::{Probe, Question, TIMEOUT};
use crate::client::Error;
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Depth, Period, Verdict, Watch};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// The kind `running`.
pub const KIND: Kind<dyn Probe> = Kind {
    name: "running",
    about: "Asks the platform whether a component runs. Its depth is `health`, the shallowest.",
    example: "running: { component: mlflow, every: 100ms }",
    schema: |g| g.subschema_for::<RunningProbe>(),
    parse: |n, p| read::<RunningProbe>(n, p).map(|k| Box::new(k) as _),
};

/// Settings of the probe.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunningProbe {
    /// The component.
    component: String,
    /// From one question to the next.
    #[serde(default = "every")]
    every: Period,
}

fn every() -> Period {
    Period::milliseconds(100)
}

#[async_trait]
impl Probe for RunningProbe {
    fn watch(&self) -> Watch {
        Watch { depth: Depth::Health, every: self.every, timeout: TIMEOUT }
    }

    fn needs(&self) -> &'static [Power] {
        &[Power::Components]
    }

    async fn learn(&self, platform: Arc<dyn Platform>, _: &str) -> Result<Arc<dyn Question>, Error> {
        Ok(Arc::new(RunningQuestion { component: self.component.clone(), platform }))
    }
}

struct RunningQuestion {
    component: String,
    platform: Arc<dyn Platform>,
}

#[async_trait]
impl Question for RunningQuestion {
    async fn ask(&self) -> Result<(), String> {
        let components = self.platform.components().map_err(|error| error.to_string())?;
        let finding = components.alive(&self.component).await;
        if finding.verdict == Verdict::Met { Ok(()) } else { Err(finding.reason.unwrap_or_default()) }
    }
}
