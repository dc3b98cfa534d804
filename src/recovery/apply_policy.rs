//! The step that puts the bucket's right policy in its place, and proves that MLflow's key reaches the bucket again.
//!
//! The right policy is the file's that the runbook names, else the one that the bucket had when the platform stood; a
//! bucket that had none loses the one it has. The proof is in this step, because a policy that was accepted may still
//! deny.

use super::{Step, StepContext};
use crate::client::{Error, access, s3, until};
use crate::environment::{MlflowKey, Power};
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `apply-policy: {}`
pub const KIND: Kind<dyn Step> = Kind {
    name: "apply-policy",
    about: "Puts the bucket's right policy in its place, and proves that MLflow's key reaches the bucket.",
    example: "apply-policy: {}",
    schema: |g| g.subschema_for::<ApplyPolicy>(),
    parse: |n, p| read::<ApplyPolicy>(n, p).map(|k| Box::new(k) as _),
};

/// Puts the right policy in its place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApplyPolicy {
    /// The file with the policy, as JSON, from the working directory; without one, the policy that the bucket had when
    /// the platform stood, or none if it had none.
    #[serde(default)]
    policy: Option<PolicyFile>,
}

/// The text of a policy's file.
#[derive(Debug, JsonSchema)]
#[schemars(with = "PathBuf", inline)]
struct PolicyFile(String);

impl<'de> Deserialize<'de> for PolicyFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&PathBuf::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl PolicyFile {
    fn read(path: &Path) -> Result<Self, String> {
        let named = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| format!("`{named}` cannot be read: {e}"))?;
        let value: Value = serde_json::from_str(&text).map_err(|e| format!("{named}: {e}"))?;
        if value.get("Statement").is_none() {
            return Err(format!("{named}: it has no `Statement`, so it is no policy"));
        }
        Ok(Self(text))
    }
}

#[async_trait]
impl Step for ApplyPolicy {
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects, Power::Policies]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        match self.apply(context).await {
            Ok(finding) => finding,
            Err(error) => Finding::missed(error.to_string()),
        }
    }
}

impl ApplyPolicy {
    async fn apply(&self, context: &StepContext<'_>) -> Result<Finding, Error> {
        let (objects, policies) = (context.platform.objects()?, context.platform.policies()?);
        let policy = match &self.policy {
            Some(PolicyFile(text)) => Some(text.as_str()),
            None => policies.intended()?,
        };
        context.record("apply-policy", objects.bucket(), None).await?;
        access::set_policy(objects.s3(), objects.bucket(), policy).await?;
        proved(context, policies).await
    }
}

/// How long a server may take until what was changed holds everywhere.
const HOLDS: Duration = Duration::from_secs(10);

/// Proves that MLflow's key reaches the bucket, with an object of its own whose name carries the run's.
pub(super) async fn proved(context: &StepContext<'_>, key: &dyn MlflowKey) -> Result<Finding, Error> {
    let objects = context.platform.objects()?;
    let run = context.platform.run().unwrap_or("drill");
    let own = s3::key(objects.prefix(), &format!("lifeboat-{run}-reaches"));
    let client = key.s3();
    let reaches = until(HOLDS, Duration::from_millis(500), || access::reaches(&client, objects.bucket(), &own)).await;
    // After the last try, which its end may have cut off.
    access::purge(objects.s3(), objects.bucket(), &own).await?;
    Ok(match reaches {
        Ok(()) => Finding::met(),
        Err(late) => Finding::missed(format!("MLflow's key does not reach its bucket: {late}")),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;

    fn step(text: &str) -> Result<Option<String>, String> {
        let mut problems = vec![];
        let step = read::<ApplyPolicy>(&parse(text).unwrap(), &mut problems);
        let said = problems.iter().map(ToString::to_string).collect::<String>();
        step.map(|step| step.policy.map(|file| file.0)).ok_or(said)
    }

    #[test]
    fn a_file_that_holds_no_policy_is_a_problem_before_anything_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        let named = format!("policy: {}", path.display());
        assert!(step(&named).unwrap_err().contains("cannot be read"));
        for text in ["nonsense", "{}", "[]"] {
            std::fs::write(&path, text).unwrap();
            assert!(step(&named).unwrap_err().contains("policy.json: "), "{text}");
        }
        std::fs::write(&path, r#"{ "Statement": [] }"#).unwrap();
        assert_eq!(step(&named).unwrap().unwrap(), r#"{ "Statement": [] }"#);
        assert_eq!(step("{}").unwrap(), None);
    }
}
