//! The fault that deletes artifacts as a careless script does: by key, so that a versioned bucket keeps each one under
//! a delete marker.
//!
//! The receipt names each object by the id of its version: another bucket of the same name is never mistaken for the
//! one that was meant, and what clients write meanwhile is not what was drawn.

use super::{Fault, Nature, recall};
use crate::client::{Error, s3, versions};
use crate::environment::{Asset, AssetUnder, Inventory, Objects, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `artifacts-deleted: { percent: 30 }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "artifacts-deleted",
    about: "Deletes artifacts by their keys; a bucket with versions keeps each one under a delete marker.",
    example: "artifacts-deleted: { percent: 30, prefix: 1/, seed: 7 }",
    schema: |g| g.subschema_for::<ArtifactsDeleted>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Deletes artifacts: a count, a share, or all of them if neither is said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ArtifactsDeleted {
    /// So many objects.
    #[serde(default)]
    #[schemars(range(min = 1))]
    count: Option<u64>,
    /// So many of a hundred objects, rounded up.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    percent: Option<u64>,
    /// Only those under this prefix, as MLflow names artifacts: `1/` for the experiment 1.
    #[serde(default)]
    prefix: String,
    /// Draws them: the same seed draws the same of the same objects. 1 if nothing is said.
    #[serde(default = "one")]
    seed: u64,
}

fn one() -> u64 {
    1
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<ArtifactsDeleted> {
    let fault: ArtifactsDeleted = read(node, problems)?;
    let before = problems.len();
    let mut refuse = |key: &str, text: &str, hint: &str| {
        problems.push(Problem::new(node.get(key).unwrap_or(node), text).hint(hint));
    };
    if fault.count == Some(0) {
        refuse("count", "a count of 0 deletes nothing", "write how many, or leave it out for all");
    }
    if fault.percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
        refuse("percent", "`percent` is from 1 to 100", "leave it out for all");
    }
    if fault.count.is_some() && fault.percent.is_some() {
        refuse("percent", "`percent` stands beside `count`", "write one of them");
    }
    (problems.len() == before).then_some(fault)
}

/// What was drawn: keys with the id of the version that was current.
#[derive(Debug, Serialize, Deserialize)]
struct DeletedArtifacts {
    bucket: String,
    prefix: String,
    of: usize,
    objects: BTreeMap<String, String>,
}

#[async_trait]
impl Fault for ArtifactsDeleted {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        vec![AssetUnder { asset: Asset::Artifacts, prefix: self.prefix.clone() }]
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects]
    }
    fn targets(&self, _: &Inventory) -> Vec<String> {
        let Self { prefix, seed, .. } = self;
        let under = if prefix.is_empty() { String::new() } else { format!(" under {prefix}") };
        vec![match (self.count, self.percent) {
            (Some(count), _) => format!("{count} of the artifacts{under} (drawn by seed {seed})"),
            (_, Some(percent)) => format!("{percent} % of the artifacts{under} (drawn by seed {seed})"),
            _ => format!("all artifacts{under}"),
        }]
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let objects = platform.objects()?;
        let (client, bucket) = (objects.s3(), objects.bucket().to_owned());
        let prefix = s3::key(objects.prefix(), &self.prefix);
        let cannot = |why: String| Error::new(format!("cannot delete artifacts in `{bucket}/{prefix}`"), why);
        if !versions::kept(client, &bucket).await? {
            let why = "the bucket keeps no versions, so nothing could bring them back";
            return Err(cannot(why.into()).hint("turn versioning on for the bucket"));
        }
        let all = current(objects, &bucket, &prefix).await?;
        let of = all.len();
        let wanted = self.wanted(of);
        if wanted == 0 || wanted > of {
            return Err(cannot(format!("{of} objects are there, which are too few")));
        }
        Ok(Receipt(serde_json::json!(DeletedArtifacts { bucket, prefix, of, objects: draw(all, wanted, self.seed) })))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let (client, drawn) = (platform.objects()?.s3(), recall::<DeletedArtifacts>(receipt)?);
        let what = format!("cannot delete artifacts in `{}`", drawn.bucket);
        if let Some((key, version)) = drawn.objects.first_key_value() {
            let known = client.head_object().bucket(&drawn.bucket).key(key).version_id(version).send().await;
            known.map_err(|e| s3::failure(format!("{what}, which may not be the bucket that was meant"), &e))?;
        }
        let doomed: Vec<_> = drawn.objects.into_keys().map(|key| (key, None)).collect();
        match versions::delete(client, &drawn.bucket, &doomed).await?.first() {
            Some((key, why)) => Err(Error::new(what, format!("`{key}`: {why}"))),
            None => Ok(()),
        }
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        gone(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

impl ArtifactsDeleted {
    /// How many are to be deleted of so many.
    fn wanted(&self, of: usize) -> usize {
        let share = |percent: u64| usize::try_from((of as u64 * percent).div_ceil(100)).unwrap_or(of);
        let count = self.count.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        count.or(self.percent.map(share)).unwrap_or(of)
    }
}

/// The objects under a prefix with the ids of their current versions.
async fn current(objects: &dyn Objects, bucket: &str, prefix: &str) -> Result<Vec<(String, String)>, Error> {
    let all = versions::list(objects.s3(), bucket, prefix).await?.into_iter();
    Ok(all.filter(|version| version.latest && !version.marker).map(|version| (version.key, version.id)).collect())
}

/// The first ones in the order of their keyed digests, which no version of a library changes.
fn draw(mut all: Vec<(String, String)>, wanted: usize, seed: u64) -> BTreeMap<String, String> {
    let mut hash_key = [0; 32];
    hash_key[..8].copy_from_slice(&seed.to_le_bytes());
    all.sort_by_cached_key(|(key, _)| *blake3::keyed_hash(&hash_key, key.as_bytes()).as_bytes());
    all.into_iter().take(wanted).collect()
}

/// A drawn object is gone when it is not listed, or is another version: a client may have written it anew since. All
/// versions would tell as much, but to list them takes twice as long.
async fn gone(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let (client, DeletedArtifacts { bucket, prefix, of, objects }) =
        (platform.objects()?.s3(), recall::<DeletedArtifacts>(receipt)?);
    for (key, _) in s3::list(client, &bucket, &prefix).await? {
        let Some(version) = objects.get(&key) else { continue };
        let head = client.head_object().bucket(&bucket).key(&key).send().await;
        let head = head.map_err(|e| s3::failure(format!("cannot look at `{bucket}/{key}`"), &e))?;
        if head.version_id.as_ref() == Some(version) {
            return Ok(Finding::missed(format!("`{key}` is still there")));
        }
    }
    Ok(Finding::met().figure("deleted", objects.len()).figure("of", of))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ArtifactsDeleted, Vec<(u64, String)>> {
        let mut problems = vec![];
        let fault = parse(&crate::node::parse(text).unwrap(), &mut problems);
        let place = |problem: &Problem| (problem.position.unwrap().column, problem.to_string());
        fault.ok_or_else(|| problems.iter().map(place).collect())
    }

    fn keys(count: usize) -> Vec<(String, String)> {
        (0..count).map(|n| (format!("1/{n}"), format!("v{n}"))).collect()
    }

    #[test]
    fn what_would_delete_nothing_or_two_amounts_is_a_problem_at_its_place() {
        for (text, column) in [
            ("{ count: 0 }", 10),
            ("{ percent: 0 }", 12),
            ("{ percent: 101 }", 12),
            ("{ percent: -1 }", 12),
            ("{ count: 5, percent: 5 }", 22),
        ] {
            let problems = parsed(text).unwrap_err();
            assert_eq!(
                problems.iter().map(|(column, _)| *column).collect::<Vec<_>>(),
                [column],
                "{text}: {problems:?}"
            );
        }
        assert_eq!(parsed("{ count: 0, percent: 0 }").unwrap_err().len(), 3);
    }

    #[test]
    fn all_are_meant_if_no_amount_is_said() {
        let wanted = |text: &str, of| parsed(text).unwrap().wanted(of);
        assert_eq!((wanted("{}", 7), wanted("{}", 0)), (7, 0));
        assert_eq!(
            (wanted("{ percent: 30 }", 7), wanted("{ percent: 1 }", 7), wanted("{ percent: 100 }", 7)),
            (3, 1, 7)
        );
        assert_eq!((wanted("{ count: 3 }", 7), wanted("{ count: 9 }", 7)), (3, 9), "never fewer than was said");
    }

    #[test]
    fn the_same_seed_draws_the_same_whatever_the_order_of_the_list() {
        let (mut reversed, all) = (keys(50), keys(50));
        reversed.reverse();
        let drawn = draw(all.clone(), 5, 7);
        assert_eq!(drawn, draw(reversed, 5, 7));
        assert_ne!(drawn, draw(all, 5, 8));
        let expected = ["1/27", "1/32"];
        assert_eq!(drawn.keys().take(2).collect::<Vec<_>>(), expected, "and in every release");
    }

    #[test]
    fn it_says_what_it_aims_at() {
        let targets = |text: &str| parsed(text).unwrap().targets(&Inventory::default()).concat();
        assert_eq!(targets("{ percent: 30, prefix: 1/, seed: 7 }"), "30 % of the artifacts under 1/ (drawn by seed 7)");
        assert_eq!(targets("{ count: 20 }"), "20 of the artifacts (drawn by seed 1)");
        assert_eq!(targets("{}"), "all artifacts");
    }
}
