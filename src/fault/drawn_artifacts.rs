//! Which artifacts a fault takes: a count, a share, or all of them, drawn by a seed; each by the id of its version.
//!
//! Apart because deleting and overwriting draw alike. By version id another bucket of the same name is never mistaken for
//! the one that was meant, and what clients write meanwhile is not what was drawn.

use crate::client::{Error, s3, versions};
use crate::environment::{Asset, AssetUnder, Objects};
use crate::node::{Node, Problem, read};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which artifacts: a count, a share, or all of them if neither is said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct ArtifactShare {
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
    pub(super) seed: u64,
}

fn one() -> u64 {
    1
}

/// Reads the amounts of a fault; `does` is what it does to objects.
pub(super) fn parse(node: &Node, does: &str, problems: &mut Vec<Problem>) -> Option<ArtifactShare> {
    let share: ArtifactShare = read(node, problems)?;
    let before = problems.len();
    let mut refuse = |key: &str, text: &str, hint: &str| {
        problems.push(Problem::new(node.get(key).unwrap_or(node), text).hint(hint));
    };
    if share.count == Some(0) {
        refuse("count", &format!("a count of 0 {does} nothing"), "write how many, or leave it out for all");
    }
    if share.percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
        refuse("percent", "`percent` is from 1 to 100", "leave it out for all");
    }
    if share.count.is_some() && share.percent.is_some() {
        refuse("percent", "`percent` stands beside `count`", "write one of them");
    }
    (problems.len() == before).then_some(share)
}

/// What was drawn: keys with the id of the version that was current.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DrawnArtifacts {
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) of: usize,
    pub(super) objects: BTreeMap<String, String>,
}

impl ArtifactShare {
    /// All of them.
    pub(super) fn all(seed: u64) -> Self {
        Self { count: None, percent: None, prefix: String::new(), seed }
    }

    /// What is lost with them.
    pub(super) fn takes(&self) -> Vec<AssetUnder> {
        vec![AssetUnder { asset: Asset::Artifacts, prefix: self.prefix.clone() }]
    }

    /// Which, in words.
    pub(super) fn targets(&self) -> Vec<String> {
        let Self { prefix, seed, .. } = self;
        let under = if prefix.is_empty() { String::new() } else { format!(" under {prefix}") };
        vec![match (self.count, self.percent) {
            (Some(count), _) => format!("{count} of the artifacts{under} (drawn by seed {seed})"),
            (_, Some(percent)) => format!("{percent} % of the artifacts{under} (drawn by seed {seed})"),
            _ => format!("all artifacts{under}"),
        }]
    }

    /// Draws them. `act` is what will be done to them, such as `delete`; refused where nothing could bring them back.
    pub(super) async fn drawn(&self, objects: &dyn Objects, act: &str) -> Result<DrawnArtifacts, Error> {
        let (client, bucket) = (objects.s3(), objects.bucket().to_owned());
        let prefix = s3::key(objects.prefix(), &self.prefix);
        let cannot = |why: String| Error::new(format!("cannot {act} artifacts in `{bucket}/{prefix}`"), why);
        if !versions::kept(client, &bucket).await? {
            let why = "the bucket keeps no versions, so nothing could bring them back";
            return Err(cannot(why.into()).hint("turn versioning on for the bucket"));
        }
        self.of_all(objects, cannot).await
    }

    /// Draws them, whatever could bring them back.
    pub(super) async fn of_all(
        &self,
        objects: &dyn Objects,
        cannot: impl Fn(String) -> Error,
    ) -> Result<DrawnArtifacts, Error> {
        let (bucket, prefix) = (objects.bucket().to_owned(), s3::key(objects.prefix(), &self.prefix));
        let all = current(objects, &bucket, &prefix).await?;
        let of = all.len();
        let wanted = self.wanted(of);
        if wanted == 0 || wanted > of {
            return Err(cannot(format!("{of} objects are there, which are too few")));
        }
        Ok(DrawnArtifacts { bucket, prefix, of, objects: draw(all, wanted, self.seed) })
    }

    /// How many are taken of so many.
    fn wanted(&self, of: usize) -> usize {
        let share = |percent: u64| usize::try_from((of as u64 * percent).div_ceil(100)).unwrap_or(of);
        let count = self.count.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        count.or(self.percent.map(share)).unwrap_or(of)
    }
}

impl DrawnArtifacts {
    /// Refuses if the first of them is not there: then the bucket may be another of the same name.
    pub(super) async fn prove_bucket(&self, client: &aws_sdk_s3::Client, what: &str) -> Result<(), Error> {
        if let Some((key, version)) = self.objects.first_key_value() {
            let known = client.head_object().bucket(&self.bucket).key(key).version_id(version).send().await;
            known.map_err(|e| s3::failure(format!("{what}, which may not be the bucket that was meant"), &e))?;
        }
        Ok(())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ArtifactShare, Vec<(u64, String)>> {
        let mut problems = vec![];
        let fault = parse(&crate::node::parse(text).unwrap(), "deletes", &mut problems);
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
        let targets = |text: &str| parsed(text).unwrap().targets().concat();
        assert_eq!(targets("{ percent: 30, prefix: 1/, seed: 7 }"), "30 % of the artifacts under 1/ (drawn by seed 7)");
        assert_eq!(targets("{ count: 20 }"), "20 of the artifacts (drawn by seed 1)");
        assert_eq!(targets("{}"), "all artifacts");
    }
}
