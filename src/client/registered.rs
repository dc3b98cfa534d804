//! The artifacts of the registered versions, each read to its end: what a registry that was moved or restored must serve.
//!
//! Not here: whether they are the bytes of before, which only somebody who saw those can tell.

use super::s3::ObjectSource;
use super::{Error, postgres, s3};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tokio_postgres::Client;

/// Objects that are read at a time.
const AT_ONCE: usize = 16;

/// What was read of all versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredArtifacts {
    /// Versions whose artifacts were read.
    pub versions: usize,
    /// Their objects.
    pub objects: usize,
    /// Versions whose artifacts are not there or cannot be read, each with the reason.
    pub wrong: Vec<String>,
    /// Versions whose location is in no bucket, so that nobody knows.
    pub elsewhere: Vec<String>,
}

/// The versions that are ready; a prompt is a version without artifacts.
const VERSIONS: &str = "SELECT format('%s version %s', name, version), coalesce(nullif(storage_location, ''), source, '') \
    FROM model_versions v WHERE status = 'READY' AND NOT EXISTS (SELECT FROM model_version_tags t \
    WHERE t.name = v.name AND t.version = v.version AND t.key = 'mlflow.prompt.is_prompt') ORDER BY name, version";

/// Reads the artifacts of every version. `bucket` and `prefix` are where MLflow's own server keeps what it serves; other
/// buckets are read from the same endpoint.
///
/// # Errors
/// When the database cannot be asked.
pub async fn read_all(
    client: &Client,
    store: &aws_sdk_s3::Client,
    bucket: &str,
    prefix: &str,
) -> Result<RegisteredArtifacts, Error> {
    let mut all = RegisteredArtifacts::default();
    for row in postgres::rows(client, VERSIONS).await? {
        let (version, location): (String, String) = (row.get(0), row.get(1));
        let Some((bucket, key)) = place(bucket, prefix, &location) else {
            all.elsewhere.push(format!("{version} at `{location}`"));
            continue;
        };
        match read(store, &bucket, &format!("{key}/")).await {
            Ok(0) => all.wrong.push(format!("{version}: nothing is at `{location}`")),
            Ok(objects) => (all.versions, all.objects) = (all.versions + 1, all.objects + objects),
            Err(error) => all.wrong.push(format!("{version}: {error}")),
        }
    }
    Ok(all)
}

/// Looks whether every version finds objects in this source, which are those of this bucket and prefix. Reads none of
/// them.
///
/// # Errors
/// When the database cannot be asked, or the source cannot be listed.
pub async fn find_all(
    client: &Client,
    source: &dyn ObjectSource,
    bucket: &str,
    prefix: &str,
) -> Result<RegisteredArtifacts, Error> {
    let keys: BTreeSet<String> = source.list("").await?.into_iter().map(|object| object.key).collect();
    let mut all = RegisteredArtifacts::default();
    for row in postgres::rows(client, VERSIONS).await? {
        let (version, location): (String, String) = (row.get(0), row.get(1));
        match s3::located(bucket, prefix, &location) {
            None => all.elsewhere.push(format!("{version} at `{location}`")),
            Some(key) => match under(&keys, &format!("{key}/")) {
                0 => all.wrong.push(format!("{version}: nothing is at `{location}`")),
                objects => (all.versions, all.objects) = (all.versions + 1, all.objects + objects),
            },
        }
    }
    Ok(all)
}

/// How many keys begin with this.
fn under(keys: &BTreeSet<String>, prefix: &str) -> usize {
    keys.range(prefix.to_owned()..).take_while(|key| key.starts_with(prefix)).count()
}

/// The bucket and key of a location.
fn place(bucket: &str, prefix: &str, location: &str) -> Option<(String, String)> {
    if let Some(key) = s3::located(bucket, prefix, location) {
        return Some((bucket.to_owned(), key));
    }
    let (bucket, key) = location.strip_prefix("s3://")?.split_once('/')?;
    Some((bucket.to_owned(), key.trim_end_matches('/').to_owned())).filter(|(_, key)| !key.is_empty())
}

/// Reads all objects under a prefix; answers how many there are.
async fn read(store: &aws_sdk_s3::Client, bucket: &str, prefix: &str) -> Result<usize, Error> {
    let keys = s3::list(store, bucket, prefix).await?;
    let reads: Vec<_> = keys.iter().map(|(key, _)| s3::digest(store, bucket, key)).collect();
    let digests: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(digests.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_under_a_folder_is_counted() {
        let keys = ["a/1/x", "a/1/y", "a/10/x", "b"].map(ToOwned::to_owned).into();
        assert_eq!([under(&keys, "a/1/"), under(&keys, "a/2/"), under(&keys, "b/")], [2, 0, 0]);
    }

    #[test]
    fn a_location_is_behind_mlflow_or_in_a_bucket_of_its_own() {
        let place = |location: &str| place("mlflow", "artifacts", location);
        let at = |bucket: &str, key: &str| Some((bucket.to_owned(), key.to_owned()));
        assert_eq!(place("mlflow-artifacts:/1/a"), at("mlflow", "artifacts/1/a"));
        assert_eq!(place("s3://other/x/1/a/"), at("other", "x/1/a"));
        for elsewhere in ["models:/m-1", "file:///a", "s3://other/", "prompt"] {
            assert_eq!(place(elsewhere), None, "{elsewhere}");
        }
    }
}
