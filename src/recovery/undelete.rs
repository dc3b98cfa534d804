//! The step that takes away the delete markers which the disaster made, so that the versions under them are seen again.
//!
//! The disaster's are those made between its first blow and the sight of its last effect: what users deleted before
//! or after stays deleted. Nothing in a bucket tells a user's deletion within that time from the disaster's. Wall
//! time is compared, so the server's clock has to agree with ours within the margin.

use super::roll_back_bucket::{MARGIN, work};
use super::{Step, StepContext};
use crate::client::Error;
use crate::client::s3::rollback::{Rollback, RollbackGoal, RollbackSubject};
use crate::client::s3::{self, PacedStore};
use crate::environment::{Asset, AssetUnder, LossKind, Power};
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// `undelete: {}`
pub const KIND: Kind<dyn Step> = Kind {
    name: "undelete",
    about: "Brings artifacts back that the disaster deleted in a bucket with versions.",
    example: "undelete: { prefix: 1/ }",
    schema: |g| g.subschema_for::<Undelete>(),
    parse: |n, p| read::<Undelete>(n, p).map(|k| Box::new(k) as _),
};

/// Brings artifacts back that the disaster deleted. Its outputs: `planned`, `undeleted` and `failed`, all of them
/// counts of objects. Where nothing is to be brought back it has not done what the runbook counts on: missed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Undelete {
    /// Only those under this prefix, as MLflow names artifacts: `1/` for the experiment 1.
    #[serde(default)]
    prefix: String,
}

#[async_trait]
impl Step for Undelete {
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects]
    }
    fn brings_back(&self, loss: LossKind) -> Option<AssetUnder> {
        (loss == LossKind::Removed).then(|| AssetUnder { asset: Asset::Artifacts, prefix: self.prefix.clone() })
    }
    fn outputs(&self) -> &'static [&'static str] {
        &["planned", "undeleted", "failed"]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        match self.undelete(context).await {
            Ok(finding) => finding,
            Err(error) => Finding::missed(error.to_string()),
        }
    }
}

impl Undelete {
    async fn undelete(&self, context: &StepContext<'_>) -> Result<Finding, Error> {
        let objects = context.platform.objects()?;
        let (bucket, prefix) = (objects.bucket().to_owned(), s3::key(objects.prefix(), &self.prefix));
        let disaster = context.disaster;
        let goal = RollbackGoal::Deleted { begin: disaster.began_at - MARGIN, end: disaster.confirmed_at + MARGIN };
        let store = Arc::new(PacedStore::new(objects.s3()));
        let subject = RollbackSubject { bucket: bucket.clone(), prefix: prefix.clone(), goal };
        let journal = subject.journal(context.folder, "undelete");
        let rollback = Rollback { store: &store, subject, recorded: None, limits: s3::CopyLimits::default() };
        let planned = rollback.plan(&journal).await?;
        let (back, gone) = (planned.counts.undeleted, planned.counts.gone);
        let all = back + gone;
        if all == 0 {
            let why = format!("nothing under `{prefix}` was deleted in the disaster");
            return Ok(tell(Finding::missed(why), 0, 0));
        }
        context.record("undelete", &bucket, (!prefix.is_empty()).then(|| prefix.clone())).await?;
        let outcome = planned.carry_out().await?;
        let failed = outcome.refused.count + outcome.different.count + gone;
        let finding = match outcome.failures() {
            None => Finding::met(),
            Some(why) => Finding::missed(format!("not all came back: {why}")),
        };
        Ok(work(tell(finding, all, failed.min(all)), &outcome))
    }
}

fn tell(finding: Finding, planned: u64, failed: u64) -> Finding {
    finding.figure("planned", planned).figure("undeleted", planned - failed).figure("failed", failed)
}
