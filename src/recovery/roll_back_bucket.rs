//! The step that puts the objects of a bucket back to what clients saw at a moment: deleted ones lose their markers,
//! overwritten ones get a copy of the version of then, made by the server, and no version is removed.
//!
//! To `before-disaster` it undoes what was done between the first blow of the disaster and the sight of its last effect:
//! a key that was written or deleted later is somebody else's and stays. To a time it undoes all that came after it. In
//! both cases writers should be stopped before, because a bucket does not say who wrote. What could not be told apart,
//! because a server gives whole seconds, is counted and named.

use super::{Step, StepContext};
use crate::client::Error;
use crate::client::s3::rollback::{Rollback, RollbackGoal, RollbackOutcome, RollbackSubject, refusal};
use crate::client::s3::{self, PacedStore};
use crate::environment::{Asset, AssetUnder, LossKind, Power};
use crate::kind::Kind;
use crate::model::{Disaster, Finding};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// `roll-back-bucket: { to: before-disaster }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "roll-back-bucket",
    about: "Puts the artifacts of a bucket with versions back to what they were at a moment.",
    example: "roll-back-bucket: { to: before-disaster, created: keep }",
    schema: |g| g.subschema_for::<RollBackBucket>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Puts artifacts back to what they were at a moment. Its outputs: `planned`, `undeleted`, `copied`, `hidden` and
/// `failed`, all of them counts of objects. Where nothing is to be put back it is missed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RollBackBucket {
    /// `before-disaster`, or a time such as `2026-03-01T12:00:00Z`; `before-disaster` if nothing is said.
    #[serde(default = "before_disaster")]
    to: String,
    /// What becomes of objects that were made after that moment: `hide` puts a delete marker on them, `keep` leaves them;
    /// `hide` if nothing is said.
    #[serde(default)]
    created: CreatedSince,
    /// Only those under this prefix, as MLflow names artifacts: `1/` for the experiment 1.
    #[serde(default)]
    prefix: String,
}

const BEFORE_DISASTER: &str = "before-disaster";

fn before_disaster() -> String {
    BEFORE_DISASTER.into()
}

/// What becomes of objects that were made later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum CreatedSince {
    /// A delete marker is put on them.
    #[default]
    Hide,
    /// They stay.
    Keep,
}

/// How far two clocks may be apart.
pub(super) const MARGIN: SignedDuration = SignedDuration::from_millis(50);
/// So many objects are named in a reason.
const NAMED: usize = 3;

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<RollBackBucket> {
    let step: RollBackBucket = read(node, problems)?;
    if step.to != BEFORE_DISASTER && step.to.parse::<Timestamp>().is_err() {
        let text = format!("`{}` is neither `{BEFORE_DISASTER}` nor a time", step.to);
        let hint = "write a time with its zone, such as `2026-03-01T12:00:00Z`";
        problems.push(Problem::new(node.get("to").unwrap_or(node), text).hint(hint));
        return None;
    }
    Some(step)
}

#[async_trait]
impl Step for RollBackBucket {
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects]
    }
    fn brings_back(&self, loss: LossKind) -> Option<AssetUnder> {
        // Whether a time is before the disaster is not known while planning.
        let brings = self.to == BEFORE_DISASTER && loss != LossKind::Purged;
        brings.then(|| AssetUnder { asset: Asset::Artifacts, prefix: self.prefix.clone() })
    }
    fn outputs(&self) -> &'static [&'static str] {
        &["planned", "undeleted", "copied", "hidden", "failed"]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        match self.roll_back(context).await {
            Ok(finding) => finding,
            Err(error) => Finding::missed(error.to_string()),
        }
    }
}

impl RollBackBucket {
    fn goal(&self, disaster: Disaster) -> RollbackGoal {
        let keep_created = self.created == CreatedSince::Keep;
        match self.to.parse() {
            Ok(at) => RollbackGoal::Moment { at, until: None, keep_created },
            Err(_) => {
                let (at, until) = (disaster.began_at - MARGIN, Some(disaster.confirmed_at + MARGIN));
                RollbackGoal::Moment { at, until, keep_created }
            }
        }
    }

    async fn roll_back(&self, context: &StepContext<'_>) -> Result<Finding, Error> {
        let objects = context.platform.objects()?;
        let (bucket, prefix) = (objects.bucket().to_owned(), s3::key(objects.prefix(), &self.prefix));
        let store = Arc::new(PacedStore::new(objects.s3()));
        refusal(&store, &bucket).await?;
        let goal = self.goal(context.disaster);
        let subject = RollbackSubject { bucket: bucket.clone(), prefix: prefix.clone(), goal };
        let journal = subject.journal(context.folder, "roll-back-bucket");
        let rollback = Rollback { store: &store, subject, recorded: None, limits: s3::CopyLimits::default() };
        let planned = rollback.plan(&journal).await?;
        let counts = &planned.counts;
        let all = counts.acts() + counts.gone;
        if all == 0 {
            return Ok(Finding::missed(format!("nothing under `{prefix}` is another than it was then")));
        }
        let what = format!(
            "under `{prefix}`: {} markers removed, {} objects of {} bytes copied by the server, {} hidden",
            counts.markers, counts.copies, counts.bytes, counts.hidden
        );
        context.record("roll-back-bucket", &bucket, Some(what)).await?;
        let outcome = planned.carry_out().await?;
        let failed = outcome.refused.count + outcome.different.count + outcome.counts.gone;
        let finding = match outcome.failures() {
            None => Finding::met(),
            Some(why) => Finding::missed(format!("not all is as it was: {why}")),
        };
        let counts = &outcome.counts;
        let finding = finding.figure("planned", all).figure("undeleted", counts.undeleted);
        let finding = finding.figure("copied", counts.copies).figure("hidden", counts.hidden).figure("failed", failed);
        Ok(work(finding, &outcome))
    }
}

/// What was done, for the report: what was moved by whom, how fast, and what held it back.
pub(super) fn work(finding: Finding, outcome: &RollbackOutcome) -> Finding {
    let counts = &outcome.counts;
    #[allow(clippy::cast_precision_loss)] // fewer than 2^53 objects
    let rate = (counts.acts() - outcome.resumed.min(counts.acts())) as f64 / outcome.seconds.max(0.001);
    let mut finding = finding.figure("markers removed", counts.markers);
    if counts.ambiguous > 0 {
        let first = counts.named.keys().take(NAMED).map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        finding = finding.figure("ambiguous", format!("{}, such as {first}", counts.ambiguous));
    }
    if outcome.resumed > 0 {
        finding = finding.figure("done before", outcome.resumed);
    }
    finding
        .figure("bytes moved by the server", counts.bytes)
        .figure("bytes through the client", 0)
        .figure("requests", outcome.pace.requests)
        .figure("objects a second", format!("{rate:.0}"))
        .figure("limit", outcome.pace.limit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Onset;

    fn parsed(text: &str) -> Result<RollBackBucket, String> {
        let mut problems = vec![];
        let step = parse(&crate::node::parse(text).unwrap(), &mut problems);
        step.ok_or_else(|| problems.first().map(Problem::to_string).unwrap_or_default())
    }

    #[test]
    fn a_time_that_is_none_is_a_problem() {
        assert!(
            parsed("{ to: yesterday }").unwrap_err().contains("`yesterday` is neither `before-disaster` nor a time")
        );
        assert!(parsed("{ to: '2026-03-01T12:00:00' }").is_err(), "without a zone");
        assert!(parsed("{ to: '2026-03-01T12:00:00+02:00' }").is_ok());
    }

    #[test]
    fn before_the_disaster_leaves_what_came_after_it_and_a_time_leaves_nothing() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let disaster = Disaster::of_one(Onset::default(), at(10), at(20));
        let goal = parsed("{}").unwrap().goal(disaster);
        let (from, until) = (at(10) - MARGIN, Some(at(20) + MARGIN));
        assert_eq!(goal, RollbackGoal::Moment { at: from, until, keep_created: false });
        let goal = parsed("{ to: '1970-01-01T00:00:05Z', created: keep }").unwrap().goal(disaster);
        assert_eq!(goal, RollbackGoal::Moment { at: at(5), until: None, keep_created: true });
    }
}
