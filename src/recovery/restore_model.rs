//! The step that brings one registered model back from the drill's backups, its rows and artifacts, while all else stays
//! as it is: what people wrote since the recovery point is not rolled back.

use super::{Step, StepContext};
use crate::engine::{Goal, ModelRestore, WantedModel};
use crate::environment::{Asset, Power};
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `restore-model: { model: churn }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "restore-model",
    about: "Restores one registered model from the drill's backups, and changes nothing else.",
    example: "restore-model: { model: churn/3, replace: false }",
    schema: |g| g.subschema_for::<RestoreModel>(),
    parse: |n, p| read::<RestoreModel>(n, p).map(|k| Box::new(k) as _),
};

/// Restores one registered model from the newest recovery point before the disaster. Its outputs: `point`, the recovery
/// point's id, and `taken_at`, its wall time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RestoreModel {
    /// The model, `churn`, or one version of it, `churn/3` or `churn/latest`.
    model: WantedModel,
    /// Also put back what is there and differs from the recovery point. If it is false, such a row or artifact is a
    /// conflict, and nothing is written.
    #[serde(default)]
    replace: bool,
}

#[async_trait]
impl Step for RestoreModel {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql, Power::Objects]
    }
    fn restores(&self) -> &'static [Asset] {
        &[Asset::Models]
    }
    fn restores_only(&self) -> Option<&str> {
        Some(&self.model.name)
    }
    fn outputs(&self) -> &'static [&'static str] {
        &["point", "taken_at"]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let Some(session) = context.session else {
            return Finding::missed("the drill has no engine to restore with");
        };
        let plan = match session.plan(&Goal::Latest(Some(context.disaster.onset.injecting))).await {
            Ok(plan) => plan,
            Err(error) => return Finding::missed(error.to_string()),
        };
        let on = format!("{} from {}", self.model, plan.point.id);
        if let Err(error) = context.record("restore-model", &on, Some(plan.point.id.clone())).await {
            return Finding::unknown(error.to_string());
        }
        let restore =
            ModelRestore { model: self.model.clone(), replace: self.replace, dry_run: false, elsewhere: false };
        let finding = session.restore_model(&plan, &restore).await;
        finding.figure("point", &plan.point.id).figure("taken_at", plan.point.taken_at)
    }
}
