//! The step that restores the database by the drill's engine.
//!
//! `latest` is the newest complete point whose snapshot precedes the onset: a backup taken after the onset
//! is a valid point and the wrong one.

use super::{Protection, Step, StepContext};
use crate::clock::Moment;
use crate::environment::Identity;
use crate::kind::Kind;
use crate::model::{Finding, RecoveryPoint};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `restore: { component: postgres, to: latest }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "restore",
    about: "Restores the database from the drill's backups.",
    example: "restore: { component: postgres, to: latest }",
    schema: |g| g.subschema_for::<Restore>(),
    parse: |n, p| read::<Restore>(n, p).map(|k| Box::new(k) as _),
};

/// Restores from the drill's backups. Its outputs: `point`, the recovery point's id, and `taken_at`, its wall time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Restore {
    /// What to restore; `postgres` if nothing is said.
    #[serde(default)]
    component: Restored,
    /// To which recovery point; `latest` if nothing is said.
    #[serde(default)]
    to: To,
}

/// What an engine can restore.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Restored {
    /// The platform's database.
    #[default]
    Postgres,
}

/// To which recovery point.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum To {
    /// The newest complete one whose snapshot precedes the disaster.
    #[default]
    Latest,
}

#[async_trait]
impl Step for Restore {
    fn component(&self) -> Option<&str> {
        let Restored::Postgres = self.component;
        Some("postgres")
    }
    fn restores(&self) -> bool {
        true
    }
    fn outputs(&self) -> &'static [&'static str] {
        &["point", "taken_at"]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let To::Latest = self.to;
        let Some(Protection { engine, repository, points }) = &context.protection else {
            return Finding::missed("the drill has no engine to restore with");
        };
        let Some(point) = latest(points, context.disaster.onset.injecting) else {
            return Finding::missed("there is no recovery point from before the disaster");
        };
        // What it restores takes the place of what is there: on the timeline before that goes.
        let ended = async {
            context.record("restore", "postgres", Some(point.id.clone())).await?;
            context.platform.ends(Identity::Database).await
        };
        if let Err(error) = ended.await {
            return Finding::unknown(error.to_string());
        }
        let finding = engine.restore(context.platform, repository, point).await;
        finding.figure("point", &point.id).figure("taken_at", point.taken_at)
    }
}

/// The newest point from before the onset.
fn latest(points: &[RecoveryPoint], onset: Moment) -> Option<&RecoveryPoint> {
    points.iter().filter(|point| point.snapshot < onset).max_by_key(|point| point.snapshot)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn point(id: &str, seconds: f64) -> RecoveryPoint {
        RecoveryPoint { id: id.into(), snapshot: Moment::at(seconds), taken_at: crate::clock::wall(), bytes: None }
    }

    #[test]
    fn a_backup_of_the_ruins_is_never_the_latest() {
        let points = [point("1", 5.0), point("2", 10.0), point("after the onset", 15.0)];
        assert_eq!(latest(&points, Moment::at(12.0)).unwrap().id, "2");
        assert_eq!(latest(&points, Moment::at(10.0)).unwrap().id, "1", "strictly before the onset");
        assert!(latest(&points, Moment::at(5.0)).is_none());
    }

    #[test]
    fn only_what_an_engine_can_restore_is_accepted() {
        let parse = |text: &str| {
            let mut problems = vec![];
            let parsed = (KIND.parse)(&crate::node::parse(text).unwrap(), &mut problems);
            (parsed.is_some(), problems.len())
        };
        assert_eq!(parse("{}"), (true, 0));
        assert_eq!(parse("{ component: mlflow, to: latest }"), (false, 1));
    }
}
