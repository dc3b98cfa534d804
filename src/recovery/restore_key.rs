//! The step that makes MLflow's revoked key valid again, and proves that it reaches the bucket.
//!
//! The same key with the same secret: MLflow goes on without a restart. Not here: a new secret in place of
//! a stolen one, which is the step `rotate-credentials`.

use super::apply_policy::proved;
use super::{Step, StepContext};
use crate::client::Error;
use crate::environment::Power;
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `restore-key: {}`
pub const KIND: Kind<dyn Step> = Kind {
    name: "restore-key",
    about: "Makes MLflow's revoked key valid again, and proves that it reaches the bucket.",
    example: "restore-key: {}",
    schema: |g| g.subschema_for::<RestoreKey>(),
    parse: |n, p| read::<RestoreKey>(n, p).map(|k| Box::new(k) as _),
};

/// Makes MLflow's key valid again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RestoreKey {}

#[async_trait]
impl Step for RestoreKey {
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects, Power::Keys]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        match restore(context).await {
            Ok(finding) => finding,
            Err(error) => Finding::missed(error.to_string()),
        }
    }
}

async fn restore(context: &StepContext<'_>) -> Result<Finding, Error> {
    let keys = context.platform.keys()?;
    context.record("restore-key", keys.id(), None).await?;
    keys.restore().await?;
    proved(context, keys).await
}
