//! The step that takes away the delete markers which the disaster made, so that the versions under them are seen again.
//!
//! The disaster's are those made between its first blow and the sight of its last effect: what users deleted before
//! or after stays deleted. Nothing in a bucket tells a user's deletion within that time from the disaster's. Wall
//! time is compared, so the server's clock has to agree with ours within the margin.

use super::{Step, StepContext};
use crate::client::versions::{self, ObjectToDelete, S3Version};
use crate::client::{Error, s3};
use crate::environment::{Asset, AssetUnder, Objects, Power};
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::read;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

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

/// How far two clocks may be apart.
const MARGIN: SignedDuration = SignedDuration::from_millis(50);
/// So many objects are named in a reason.
const NAMED: usize = 3;

#[async_trait]
impl Step for Undelete {
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects]
    }
    fn brings_back(&self) -> Option<AssetUnder> {
        Some(AssetUnder { asset: Asset::Artifacts, prefix: self.prefix.clone() })
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
        let prefix = s3::key(objects.prefix(), &self.prefix);
        let all = versions::list(objects.s3(), objects.bucket(), &prefix).await?;
        let plan = plan(all, context.disaster.began_at - MARGIN, context.disaster.confirmed_at + MARGIN);
        let planned = plan.markers.len() + plan.hollow.len();
        if planned == 0 {
            let why = format!("nothing under `{prefix}` was deleted in the disaster");
            return Ok(tell(Finding::missed(why), 0, 0));
        }
        context.record("undelete", objects.bucket(), (!prefix.is_empty()).then(|| prefix.clone())).await?;
        let failed = carry_out(objects, &prefix, plan).await?;
        let said: Vec<_> = failed.iter().take(NAMED).map(|(key, why)| format!("`{key}`: {why}")).collect();
        let more = failed.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let finding = match said.as_slice() {
            [] => Finding::met(),
            said => Finding::missed(format!("not all came back: {}{more}", said.join("; "))),
        };
        Ok(tell(finding, planned, failed.len()))
    }
}

fn tell(finding: Finding, planned: usize, failed: usize) -> Finding {
    finding.figure("planned", planned).figure("undeleted", planned - failed).figure("failed", failed)
}

/// What is to be taken away.
#[derive(Debug, Default, PartialEq)]
struct UndeletePlan {
    /// The disaster's markers, by the key that they hide.
    markers: BTreeMap<String, Vec<String>>,
    /// Keys that were deleted and have no version left; their markers stay, as they bring nothing back.
    hollow: BTreeSet<String>,
}

/// Finds the keys that a marker of the disaster hides and that nobody had deleted before.
fn plan(all: Vec<S3Version>, begin: Timestamp, end: Timestamp) -> UndeletePlan {
    let mut keys: BTreeMap<String, Vec<S3Version>> = BTreeMap::new();
    all.into_iter().for_each(|version| keys.entry(version.key.clone()).or_default().push(version));
    let mut plan = UndeletePlan::default();
    let of_disaster = |version: &S3Version| version.marker && version.from <= end && version.to >= begin;
    for (key, versions) in keys {
        let (markers, rest): (Vec<_>, Vec<_>) = versions.into_iter().partition(of_disaster);
        if !markers.iter().any(|marker| marker.latest) {
            continue;
        }
        match rest.iter().max_by_key(|version| (version.from, !version.marker)) {
            Some(beneath) if beneath.marker => {}
            Some(_) => drop(plan.markers.insert(key, markers.into_iter().map(|marker| marker.id).collect())),
            None => drop(plan.hollow.insert(key)),
        }
    }
    plan
}

/// Takes the markers away and looks; answers the keys that did not come back, each with its reason.
async fn carry_out(objects: &dyn Objects, prefix: &str, plan: UndeletePlan) -> Result<BTreeMap<String, String>, Error> {
    let (client, bucket) = (objects.s3(), objects.bucket());
    let markers = plan.markers.iter().flat_map(|(key, ids)| ids.iter().map(|id| (key.clone(), Some(id.clone()))));
    let refused = versions::delete(client, bucket, &markers.collect::<Vec<ObjectToDelete>>()).await?;
    let refused: BTreeMap<_, _> = refused.into_iter().collect();
    let there: BTreeSet<_> = s3::list(client, bucket, prefix).await?.into_iter().map(|(key, _)| key).collect();
    let absent = plan.markers.into_keys().filter(|key| !there.contains(key));
    let hollow = plan.hollow.into_iter().map(|key| (key, "no version of it is left".to_owned()));
    let unseen = |key: String| {
        let why = refused.get(&key).cloned().unwrap_or_else(|| "it is not listed".to_owned());
        (key, why)
    };
    Ok(absent.map(unseen).chain(hollow).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Entries of one key, newest first, as `o` for a version and `x` for a marker, each with its second.
    fn planned(entries: &[(char, i64)]) -> (Vec<String>, bool) {
        let at = |second| Timestamp::from_second(second).unwrap();
        let version = |(index, (what, second)): (usize, &(char, i64))| S3Version {
            key: "k".into(),
            id: format!("{what}{second}"),
            marker: *what == 'x',
            latest: index == 0,
            from: at(*second),
            to: at(*second),
        };
        let all = entries.iter().enumerate().map(version).collect();
        let plan = plan(all, at(10), at(20));
        (plan.markers.into_values().flatten().collect(), !plan.hollow.is_empty())
    }

    #[test]
    fn only_markers_of_the_disaster_that_hide_something_are_taken_away() {
        let none = (vec![], false);
        assert_eq!(planned(&[('x', 12), ('o', 5)]), (vec!["x12".into()], false));
        assert_eq!(planned(&[('x', 9), ('o', 5)]), none, "a user deleted it before");
        assert_eq!(planned(&[('x', 21), ('o', 5)]), none, "a user deleted it after");
        assert_eq!(planned(&[('o', 13), ('x', 12), ('o', 5)]), none, "a user has written it again");
        assert_eq!(planned(&[('x', 12), ('x', 9), ('o', 5)]), none, "it was not there when the disaster came");
        assert_eq!(planned(&[('x', 30), ('x', 12), ('o', 5)]), none, "a user deleted it once more");
    }

    #[test]
    fn markers_on_top_of_each_other_all_go() {
        let (mut markers, hollow) = planned(&[('x', 14), ('x', 12), ('o', 5)]);
        markers.sort();
        assert_eq!((markers, hollow), (vec!["x12".to_owned(), "x14".to_owned()], false));
    }

    #[test]
    fn an_object_without_any_version_left_is_named_and_its_marker_stays() {
        assert_eq!(planned(&[('x', 12)]), (vec![], true));
    }
}
