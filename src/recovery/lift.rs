//! The step that takes the faults' conditions away: the cable is plugged in again, the frozen process goes on.

use super::{Step, StepContext};
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `lift: {}`
pub const KIND: Kind<dyn Step> = Kind {
    name: "lift",
    about: "Takes away every condition that the faults made; damage stays.",
    example: "lift: {}",
    schema: |g| g.subschema_for::<Lift>(),
    parse: |n, p| read::<Lift>(n, p).map(|k| Box::new(k) as _),
};

/// Takes the faults' conditions away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Lift {}

#[async_trait]
impl Step for Lift {
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        match context.conditions.lift().await {
            Ok(()) => Finding::met(),
            Err(error) => Finding::missed(error.to_string()),
        }
    }
}
