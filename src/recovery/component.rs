//! The steps that stop, start and restart a component.

use super::{Step, StepContext};
use crate::environment::Power;
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `stop: { component: mlflow }`
pub const STOP: Kind<dyn Step> = Kind {
    name: "stop",
    about: "Ends a component in good order.",
    example: "stop: { component: mlflow }",
    schema: |g| g.subschema_for::<StepComponent>(),
    parse: |n, p| read::<StepComponent>(n, p).map(|on| Box::new(ComponentStep { verb: Verb::Stop, on }) as _),
};

/// `start: { component: mlflow }`
pub const START: Kind<dyn Step> = Kind {
    name: "start",
    about: "Starts a component and waits until it is ready for clients.",
    example: "start: { component: mlflow }",
    schema: |g| g.subschema_for::<StepComponent>(),
    parse: |n, p| read::<StepComponent>(n, p).map(|on| Box::new(ComponentStep { verb: Verb::Start, on }) as _),
};

/// `restart: { component: mlflow }`
pub const RESTART: Kind<dyn Step> = Kind {
    name: "restart",
    about: "Ends a component in good order and starts it again.",
    example: "restart: { component: mlflow }",
    schema: |g| g.subschema_for::<StepComponent>(),
    parse: |n, p| read::<StepComponent>(n, p).map(|on| Box::new(ComponentStep { verb: Verb::Restart, on }) as _),
};

/// A component of the environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StepComponent {
    /// The component's name.
    component: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Stop,
    Start,
    Restart,
}

struct ComponentStep {
    verb: Verb,
    on: StepComponent,
}

#[async_trait]
impl Step for ComponentStep {
    fn needs(&self) -> &'static [Power] {
        &[Power::Components]
    }
    fn component(&self) -> Option<&str> {
        Some(&self.on.component)
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let power = match context.platform.components() {
            Ok(power) => power,
            Err(error) => return Finding::unknown(error.to_string()),
        };
        let name = &self.on.component;
        if self.verb != Verb::Start {
            let instance = power.instance(name).await.unwrap_or_default(); // it may be gone already
            if let Err(error) = context.record("stop", name, instance).await {
                return Finding::unknown(error.to_string());
            }
        }
        if self.verb != Verb::Start
            && let Err(error) = power.stop(name).await
        {
            return Finding::missed(error.to_string());
        }
        if self.verb != Verb::Stop
            && let Err(error) = power.start(name).await
        {
            return Finding::missed(error.to_string());
        }
        Finding::met()
    }
}
