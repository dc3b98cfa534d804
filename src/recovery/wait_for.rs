//! The step that waits until a component is alive, for what restarts by itself.

use super::{Hands, Step};
use crate::environment::Power;
use crate::kind::Kind;
use crate::model::{Finding, Span, Verdict};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// `wait-for: { healthy: mlflow, within: 30s }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "wait-for",
    about: "Waits until a component is alive.",
    example: "wait-for: { healthy: mlflow, within: 30s }",
    schema: |g| g.subschema_for::<WaitFor>(),
    parse: |n, p| read::<WaitFor>(n, p).map(|k| Box::new(k) as _),
};

/// Waits until a component is alive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WaitFor {
    /// The component.
    healthy: String,
    /// How long to wait; 30 s if nothing is said.
    #[serde(default = "half_a_minute")]
    within: Span,
}

fn half_a_minute() -> Span {
    Span::seconds(30)
}

#[async_trait]
impl Step for WaitFor {
    fn needs(&self) -> &'static [Power] {
        &[Power::Components]
    }
    fn component(&self) -> Option<&str> {
        Some(&self.healthy)
    }
    async fn carry_out(&self, hands: &Hands<'_>) -> Finding {
        let power = match hands.env.components() {
            Ok(power) => power,
            Err(trouble) => return Finding::unknown(trouble.to_string()),
        };
        let until = Instant::now() + self.within.0;
        let mut reason = "it did not say how it is".to_owned();
        let waiting = async {
            loop {
                let alive = power.alive(&self.healthy).await;
                if alive.verdict == Verdict::Met {
                    return;
                }
                reason = alive.reason.unwrap_or_default();
                sleep(Duration::from_millis(100)).await;
            }
        };
        match timeout_at(until, waiting).await {
            Ok(()) => Finding::met(),
            Err(_) => Finding::missed(format!("`{}` was not alive within {}: {reason}", self.healthy, self.within)),
        }
    }
}
