//! The step that gives the platform new credentials, and proves that the old ones are refused and the new ones work: the
//! password of its database, and the secret of MLflow's key at the S3 server.
//!
//! Apart from `restore-key`, which makes the same key valid again: after a theft that would help the thief. MLflow has the
//! new ones from its next start on. Not here: certificates, and accounts of people.

use super::{Step, StepContext};
use crate::client::{Error, access, postgres};
use crate::environment::Power;
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `rotate-credentials: {}`
pub const KIND: Kind<dyn Step> = Kind {
    name: "rotate-credentials",
    about: "Gives the database a new password and MLflow's key a new secret, and proves that the old ones are refused.",
    example: "rotate-credentials: {}",
    schema: |g| g.subschema_for::<RotateCredentials>(),
    parse: |n, p| read::<RotateCredentials>(n, p).map(|k| Box::new(k) as _),
};

/// Gives the platform new credentials. MLflow has them from its next start on: let it come between `stop` and `start`. After
/// a restore of physical backups, which bring the old password back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RotateCredentials {}

#[async_trait]
impl Step for RotateCredentials {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql, Power::Policies, Power::Credentials]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        match rotated(context).await {
            Ok(finding) => finding,
            Err(error) => Finding::missed(error.to_string()),
        }
    }
}

async fn rotated(context: &StepContext<'_>) -> Result<Finding, Error> {
    let (platform, key) = (context.platform, context.platform.policies()?);
    context.record("rotate-credentials", key.id(), None).await?;
    let old = platform.credentials()?.rotate().await?;
    if !postgres::refuses(&old.database).await? {
        return Ok(Finding::missed("the database server still takes the old password"));
    }
    if access::known(&old.s3).await? {
        return Ok(Finding::missed("the S3 server still takes the old secret of MLflow's key"));
    }
    // Of the database itself nothing is asked, nor of the bucket: the platform may be isolated.
    postgres::one(&platform.sql()?.connect("postgres").await?, "SELECT 1").await?;
    if !access::known(&key.s3()).await? {
        return Ok(Finding::missed("the S3 server does not take the new secret of MLflow's key"));
    }
    Ok(Finding::met().figure("database password", "replaced").figure("secret of MLflow's key", "replaced"))
}
