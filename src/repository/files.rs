//! The files of a repository as one meets them who has its credentials and nothing else: deletes them, counts what
//! outlives that, and brings back what was deleted where versions are kept.
//!
//! Apart from the open repository because no password is needed, and because there is none to open once they are gone. The
//! names of its own files are all that is touched: the place may be a shared one.

use super::{Patience, Place, PlacedVersion, RepositorySettings, UndeletedFiles};
use crate::client::Error;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What the names of a repository's own files begin with.
const KEPT: [&str; 5] = ["config", "keys/", "data/", "index/", "snapshots/"];
/// And those that come and go with its writers.
const PASSING: [&str; 2] = ["locks/", "lifeboat/"];
/// Files that are deleted at once.
const AT_ONCE: usize = 16;

/// The files of a repository.
pub struct RepositoryFiles {
    place: Arc<dyn Place>,
}

impl RepositoryFiles {
    /// Of this repository, with its own credentials.
    ///
    /// # Errors
    /// When a secret that it names cannot be read.
    pub async fn of(settings: &RepositorySettings, patience: Patience) -> Result<Self, Error> {
        Ok(Self { place: settings.place(patience).await? })
    }

    /// The names of those that are seen, the repository's own.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn seen(&self) -> Result<BTreeSet<String>, Error> {
        let files = self.place.list("").await?.into_iter().map(|file| file.name);
        Ok(files.filter(|name| is_own(name)).collect())
    }

    /// Is none left without which the repository cannot be opened or has no point?
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn gone(&self) -> Result<bool, Error> {
        let seen = self.seen().await?;
        Ok(!seen.iter().any(|name| name == "config" || name.starts_with("keys/")))
    }

    /// Deletes files of these names, and where versions are kept, every version of them that may be deleted.
    ///
    /// # Errors
    /// When one cannot be deleted at all. A version that stays is no error.
    pub async fn delete(&self, names: &BTreeSet<String>) -> Result<(), Error> {
        let remove = |name: &String| {
            let (place, name) = (Arc::clone(&self.place), name.clone());
            async move { place.remove(&name).await }
        };
        let removals: Vec<_> = names.iter().map(remove).collect();
        stream::iter(removals).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        // Who may not list versions may remove none.
        let versions = self.versions_of(names).await.unwrap_or_default();
        self.place.remove_versions(&versions).await
    }

    /// How many versions of files of these names are still there, hidden or not.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn versions(&self, names: &BTreeSet<String>) -> Result<usize, Error> {
        Ok(self.versions_of(names).await?.len())
    }

    /// Markers are left alone: without one a version is seen again.
    async fn versions_of(&self, names: &BTreeSet<String>) -> Result<Vec<PlacedVersion>, Error> {
        let versions = self.place.versions("").await?.into_iter();
        Ok(versions.filter(|version| !version.marker && names.contains(&version.name)).collect())
    }

    /// When the repository's `config` was deleted, where a version of it is kept under the marker.
    ///
    /// # Errors
    /// When that cannot be asked.
    pub(super) async fn deleted_at(place: &dyn Place) -> Result<Option<Timestamp>, Error> {
        let versions = place.versions("config").await?;
        let kept = versions.iter().any(|version| version.name == "config" && !version.marker);
        let marker = versions.iter().find(|version| version.name == "config" && version.marker && version.latest);
        Ok(marker.filter(|_| kept).map(|marker| marker.made))
    }

    /// Brings back the repository's own files that were deleted between two moments, by the server's clock. With
    /// `folder` beside it what is done is noted there, so that one that was killed goes on; none: a plan, carried out by
    /// nobody.
    ///
    /// # Errors
    /// When the place keeps no versions, or cannot be listed.
    pub async fn undelete(&self, span: (Timestamp, Timestamp), folder: Option<&Path>) -> Result<UndeletedFiles, Error> {
        let mut all = UndeletedFiles::default();
        for prefix in KEPT {
            let UndeletedFiles { planned, failed, why } = self.place.undelete(prefix, span, folder).await?;
            all.planned += planned;
            all.failed += failed;
            all.why.extend(why);
        }
        Ok(all)
    }
}

fn is_own(name: &str) -> bool {
    KEPT.iter().chain(&PASSING).any(|begin| if begin.ends_with('/') { name.starts_with(begin) } else { name == *begin })
}
