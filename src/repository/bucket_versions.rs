//! The versions that a bucket keeps of a repository's files: listed, removed for good, and brought back from under delete
//! markers.
//!
//! Apart from the place in a bucket, which never asks for a version: only an attack and the way back from one do.

use super::place::{PlacedVersion, UndeletedFiles};
use crate::client::Error;
use crate::client::s3::rollback::{Rollback, RollbackGoal, RollbackSubject};
use crate::client::s3::{CopyLimits, PacedStore, versions};
use aws_sdk_s3::Client;
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;

/// All versions and markers whose keys begin with the place's prefix and `under`.
pub async fn list(client: &Client, bucket: &str, (prefix, under): (&str, &str)) -> Result<Vec<PlacedVersion>, Error> {
    let all = versions::list(client, bucket, &format!("{prefix}{under}")).await?.into_iter();
    let placed = all.filter_map(|version| {
        let name = version.key.strip_prefix(prefix)?.to_owned();
        let (marker, latest) = (version.marker, version.latest);
        Some(PlacedVersion { name, id: version.id, marker, latest, made: version.to })
    });
    Ok(placed.collect())
}

/// Removes versions for good. Those that the server refuses stay.
pub async fn remove(client: &Client, bucket: &str, prefix: &str, doomed: &[PlacedVersion]) -> Result<(), Error> {
    let named = doomed.iter().map(|version| (format!("{prefix}{}", version.name), Some(version.id.clone())));
    versions::delete(client, bucket, &named.collect::<Vec<_>>()).await.map(drop)
}

/// Takes the markers away that were made between two moments; without a folder only tells how many files that would be.
pub async fn undelete(
    client: &Client,
    (bucket, prefix): (&str, String),
    (begin, end): (Timestamp, Timestamp),
    folder: Option<&Path>,
) -> Result<UndeletedFiles, Error> {
    let subject = RollbackSubject { bucket: bucket.to_owned(), prefix, goal: RollbackGoal::Deleted { begin, end } };
    let passing = tempfile::tempdir().map_err(|e| Error::caused_by("cannot make a folder for a plan", e))?;
    let journal = subject.journal(folder.unwrap_or(passing.path()), "undelete-repository");
    let store = Arc::new(PacedStore::new(client));
    let rollback = Rollback { store: &store, subject, recorded: None, limits: CopyLimits::default() };
    let planned = rollback.plan(&journal).await?;
    let (gone, all) = (planned.counts.gone, planned.counts.undeleted + planned.counts.gone);
    if folder.is_none() || all == 0 {
        let why = planned.counts.named.into_iter().take(1).map(|(key, why)| format!("`{key}`: {why}")).collect();
        return Ok(UndeletedFiles { planned: all, failed: gone, why });
    }
    let outcome = planned.carry_out().await?;
    let failed = (outcome.refused.count + outcome.different.count + gone).min(all);
    Ok(UndeletedFiles { planned: all, failed, why: outcome.failures().into_iter().collect() })
}
