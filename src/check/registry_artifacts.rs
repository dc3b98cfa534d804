//! The check `registry-artifacts`: the registry's rows and the bucket's objects agree, byte by byte.
//!
//! Database and bucket are backed up and restored separately. So each can be complete and both together can be wrong: a
//! version without its files, an alias of a version that is gone. A version that lost its row and its objects together is
//! no disagreement; the recovery point measures that loss.

use super::Check;
use crate::client::{Error, postgres, s3};
use crate::environment::{Objects, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Planted};
use crate::node::read;
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows and objects agree.
pub const KIND: Kind<dyn Check> = Kind {
    name: "registry-artifacts",
    about: "Every model version finds its objects, with the bytes of before, and every alias its version.",
    example: "registry-artifacts: {}",
    schema: |g| g.subschema_for::<RegistryArtifacts>(),
    parse: |n, p| read::<RegistryArtifacts>(n, p).map(|k| Box::new(k) as _),
};

/// It has no settings.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RegistryArtifacts {}

/// The registry's tables (MLflow 3.17).
const TABLES: &[&str] = &["model_versions", "registered_model_aliases"];
const VERSIONS: &str = "SELECT name, version, coalesce(nullif(storage_location, ''), source, '') FROM model_versions \
    ORDER BY name, version";
const ALIASES: &str = "SELECT name, alias, version FROM registered_model_aliases ORDER BY name, alias";

/// Requests to the object store at a time.
const AT_ONCE: usize = 16;
/// The number of disagreements in the reason; all of them are among the figures.
const NAMED: usize = 3;

/// A version's name and the digests of its objects, by key.
type Digests = BTreeMap<String, BTreeMap<String, String>>;

/// What was there before the fault.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PlantedRegistry {
    versions: Digests,
}

/// A row of the registry that points at objects.
struct ModelVersion {
    name: String,
    location: String,
}

#[async_trait]
impl Check for RegistryArtifacts {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql, Power::Objects]
    }

    async fn plant(&self, platform: &dyn Platform, _: &str) -> Result<Planted, Error> {
        let registry = Registry::read(platform).await?;
        let versions = digests(platform.objects()?, &registry.versions).await?;
        let before = serde_json::to_value(PlantedRegistry { versions });
        before.map(Planted).map_err(|e| Error::caused_by("cannot record what was planted", e))
    }

    async fn verify(&self, platform: &dyn Platform, planted: &Planted, _: Option<&Planted>) -> Finding {
        let before: PlantedRegistry = match serde_json::from_value(planted.0.clone()) {
            Ok(before) => before,
            Err(error) => return Finding::unknown(format!("what was planted cannot be read: {error}")),
        };
        look(platform, &before).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }

    async fn clear(&self, _: &dyn Platform, _: &Planted) -> Result<(), Error> {
        Ok(())
    }
}

/// Versions and aliases in the database.
struct Registry {
    versions: Vec<ModelVersion>,
    /// Each alias with the version that it names.
    aliases: Vec<(String, String)>,
}

impl Registry {
    async fn read(platform: &dyn Platform) -> Result<Self, Error> {
        let client = connect(platform).await?;
        let versions = postgres::rows(&client, VERSIONS).await?;
        let version = |name: String, version: i32| format!("{name} version {version}");
        let versions =
            versions.iter().map(|row| ModelVersion { name: version(row.get(0), row.get(1)), location: row.get(2) });
        let aliases = postgres::rows(&client, ALIASES).await?;
        let alias = |name: String, alias: String| format!("{name}@{alias}");
        let aliases = aliases.iter().map(|row| (alias(row.get(0), row.get(1)), version(row.get(0), row.get(2))));
        Ok(Self { versions: versions.collect(), aliases: aliases.collect() })
    }
}

async fn look(platform: &dyn Platform, before: &PlantedRegistry) -> Result<Finding, Error> {
    let gone = postgres::absent(&connect(platform).await?, TABLES).await?;
    if !gone.is_empty() {
        return Ok(Finding::missed(format!("the table `{}` is gone", gone.join("`, `"))));
    }
    let registry = Registry::read(platform).await?;
    let now = digests(platform.objects()?, &registry.versions).await?;
    Ok(judge(before, &now, &registry.aliases))
}

/// Compares. `now` has every version that is in the database, with or without objects.
fn judge(before: &PlantedRegistry, now: &Digests, aliases: &[(String, String)]) -> Finding {
    if before.versions.is_empty() {
        return Finding::unknown("the registry had no model version to compare");
    }
    if now.is_empty() {
        return Finding::missed(format!("no model version is left of {}", before.versions.len()));
    }
    let mut exceptions = vec![];
    for (version, objects) in now {
        let known = before.versions.get(version);
        for (key, digest) in known.into_iter().flatten() {
            match objects.get(key) {
                None => exceptions.push(format!("{version}: the object `{key}` is gone")),
                Some(other) if other != digest => {
                    exceptions.push(format!("{version}: the object `{key}` has other bytes"));
                }
                Some(_) => {}
            }
        }
        if objects.is_empty() && known.is_none_or(BTreeMap::is_empty) {
            exceptions.push(format!("{version}: there are no objects at its location"));
        }
    }
    let dangling = aliases.iter().filter(|(_, version)| !now.contains_key(version));
    exceptions.extend(dangling.map(|(alias, version)| format!("{alias}: there is no {version}")));
    let more = exceptions.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    let named = exceptions[..exceptions.len() - more].join("; ") + &rest;
    let finding = if exceptions.is_empty() { Finding::met() } else { Finding::missed(named) };
    let finding = finding.figure("model versions", now.len()).figure("aliases", aliases.len());
    let finding = finding.figure("objects", now.values().map(BTreeMap::len).sum::<usize>());
    exceptions.into_iter().fold(finding, |finding, exception| finding.figure("exception", exception))
}

/// Lists and reads the objects of every version, and returns their digests.
async fn digests(objects: &dyn Objects, versions: &[ModelVersion]) -> Result<Digests, Error> {
    let lists: Vec<_> = versions.iter().map(|version| list(objects, version)).collect();
    let lists: Vec<_> = stream::iter(lists).buffer_unordered(AT_ONCE).try_collect().await?;
    let mut digests: Digests = lists.iter().map(|(name, _)| (name.clone(), BTreeMap::new())).collect();
    let keys = lists.into_iter().flat_map(|(name, keys)| keys.into_iter().map(move |key| (name.clone(), key)));
    let reads: Vec<_> = keys.map(|(name, key)| digest(objects, name, key)).collect();
    let reads: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
    for (name, key, digest) in reads {
        digests.entry(name).or_default().insert(key, digest);
    }
    Ok(digests)
}

async fn list(objects: &dyn Objects, version: &ModelVersion) -> Result<(String, Vec<String>), Error> {
    let keys = s3::list(objects.s3(), objects.bucket(), &prefix(objects, version)?).await?;
    Ok((version.name.clone(), keys.into_iter().map(|(key, _)| key).collect()))
}

async fn digest(objects: &dyn Objects, name: String, key: String) -> Result<(String, String, String), Error> {
    let digest = s3::digest(objects.s3(), objects.bucket(), &key).await?;
    Ok((name, key, digest))
}

/// The prefix of the keys of a version's objects, with a slash at the end.
fn prefix(objects: &dyn Objects, version: &ModelVersion) -> Result<String, Error> {
    let key = s3::located(objects.bucket(), objects.prefix(), &version.location);
    let elsewhere = || Error::new(&version.name, format!("its location `{}` is not in the bucket", version.location));
    Ok(key.ok_or_else(elsewhere)? + "/")
}

async fn connect(platform: &dyn Platform) -> Result<tokio_postgres::Client, Error> {
    let sql = platform.sql()?;
    sql.connect(sql.database()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;

    fn versions(all: &[(&str, &[(&str, &str)])]) -> Digests {
        let owned = |objects: &[(&str, &str)]| objects.iter().map(|(k, d)| ((*k).into(), (*d).into())).collect();
        all.iter().map(|(name, objects)| ((*name).to_owned(), owned(objects))).collect()
    }

    fn aliases() -> Vec<(String, String)> {
        vec![("m@champion".into(), "m version 1".into())]
    }

    #[test]
    fn each_disagreement_is_named() {
        let before = PlantedRegistry {
            versions: versions(&[("m version 1", &[("a", "1"), ("b", "2")]), ("m version 2", &[("c", "3")])]),
        };
        let says = |now: &Digests| judge(&before, now, &aliases()).reason.unwrap_or_default();
        let whole = judge(&before, &before.versions, &aliases());
        assert_eq!((whole.verdict, whole.reason), (Verdict::Met, None));
        for (now, said) in [
            (versions(&[("m version 1", &[("a", "1")])]), "m version 1: the object `b` is gone"),
            (versions(&[("m version 1", &[("a", "1"), ("b", "x")])]), "m version 1: the object `b` has other bytes"),
            (
                versions(&[("m version 1", &[("a", "1"), ("b", "2")]), ("m version 3", &[])]),
                "m version 3: there are no objects at its location",
            ),
            (versions(&[("m version 2", &[("c", "3")])]), "m@champion: there is no m version 1"),
            (versions(&[]), "no model version is left of 2"),
        ] {
            assert_eq!(says(&now), said);
        }
    }

    #[test]
    fn a_row_that_is_lost_with_its_objects_is_no_disagreement() {
        let before =
            PlantedRegistry { versions: versions(&[("m version 1", &[("a", "1")]), ("m version 2", &[("c", "3")])]) };
        assert_eq!(judge(&before, &versions(&[("m version 1", &[("a", "1")])]), &aliases()).verdict, Verdict::Met);
    }

    #[test]
    fn the_reason_names_some_and_the_figures_name_all() {
        let before = PlantedRegistry {
            versions: versions(&[("m version 1", &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")])]),
        };
        let finding = judge(&before, &versions(&[("m version 1", &[])]), &aliases());
        assert!(finding.reason.is_some_and(|why| why.ends_with("; and 1 more")));
        assert_eq!(finding.figures.iter().filter(|(name, _)| name == "exception").count(), 4);
    }

    #[test]
    fn a_registry_that_was_empty_proves_nothing() {
        assert_eq!(judge(&PlantedRegistry::default(), &Digests::new(), &[]).verdict, Verdict::Unknown);
    }
}
