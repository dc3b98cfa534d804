//! The step that brings a repository back whose files the disaster deleted: takes the delete markers away, where a lock has
//! kept the versions below them.
//!
//! Apart from `undelete`, which is about the platform's artifacts: this acts on a repository of the drill's, with the
//! repository's own credentials.

use super::roll_back_bucket::MARGIN;
use super::{Step, StepContext};
use crate::client::Error;
use crate::environment::{Asset, AssetUnder, LossKind};
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use crate::repository::{DrillRepository, Patience, RepositoryFiles, UndeletedFiles};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `undelete-repository: { repository: far }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "undelete-repository",
    about: "Brings back the files of a repository that the disaster deleted, where their versions are kept.",
    example: "undelete-repository: { repository: far }",
    schema: |g| g.subschema_for::<UndeleteRepository>(),
    parse: |n, p| read::<UndeleteRepository>(n, p).map(|k| Box::new(k) as _),
};

/// Brings a repository back. Its outputs: `planned`, `undeleted` and `failed`, all of them counts of files. Where nothing
/// is to be brought back it has not done what the runbook counts on: missed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UndeleteRepository {
    /// The repository, as the drill's `protect` names it.
    repository: DrillRepository,
}

#[async_trait]
impl Step for UndeleteRepository {
    fn repository(&self) -> Option<&DrillRepository> {
        Some(&self.repository)
    }
    fn brings_back(&self, loss: LossKind) -> Option<AssetUnder> {
        (loss == LossKind::Removed).then(|| Asset::Backups.into())
    }
    fn outputs(&self) -> &'static [&'static str] {
        &["planned", "undeleted", "failed"]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        self.undelete(context).await.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }
}

impl UndeleteRepository {
    async fn undelete(&self, context: &StepContext<'_>) -> Result<Finding, Error> {
        let settings = self.repository.settings()?;
        let files = RepositoryFiles::of(settings, Patience::default()).await?;
        let span = (context.disaster.began_at - MARGIN, context.disaster.confirmed_at + MARGIN);
        let identity = Some(settings.kind.location());
        context.record("undelete-repository", self.repository.name(), identity).await?;
        let UndeletedFiles { planned, failed, why } = files.undelete(span, Some(context.folder)).await?;
        let finding = match (planned, failed) {
            (0, _) => Finding::missed("nothing of it was deleted in the disaster"),
            (_, 0) => Finding::met(),
            _ => Finding::missed(format!("not all came back: {}", why.join("; "))),
        };
        let finding = finding.figure("planned", planned).figure("undeleted", planned - failed);
        Ok(finding.figure("failed", failed))
    }
}
