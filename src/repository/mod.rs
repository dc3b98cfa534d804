//! The seam of repositories: where recovery points live, in the format of restic.
//!
//! A point is one snapshot whose tree holds all that the point consists of. Its snapshot file is written last, so a point
//! exists exactly when that file is there.
//!
//! Rules of conduct. A kind only gives a [`Place`]: files under names, nothing of their meaning. A place answers what is
//! there or an error, never a part of it; a file is whole or absent, whatever is killed; writing a name that is there
//! already with [`Writing::New`] is refused by the place itself, in one step, since writers exclude each other by it.
//! Passwords and keys are named in the file and read when the repository is opened; they are in no message. A repository
//! outlives runs and is never removed by one.

mod backend;
mod bucket;
mod bucket_versions;
mod content;
mod contents;
mod directory;
mod drill_points;
mod drill_repository;
mod files;
mod gate;
mod lease;
mod names;
mod new_file;
mod open;
mod patience;
mod place;
mod policy;
mod prune;
mod put;
mod s3;
mod secret;
mod settings;
mod source;
mod verify;

pub use contents::{OpenPoint, StoredFile, in_pack_order};
pub use drill_points::label_of_run;
pub use drill_repository::DrillRepository;
pub use files::RepositoryFiles;
pub use names::order;
pub use new_file::{NewFile, Opener, Turn};
pub use open::{OpenRepository, PointList, StoredPoint};
pub use patience::Patience;
pub use place::{Place, PlacedFile, PlacedVersion, UndeletedFiles, Writing};
pub use policy::KeyUse;
pub use prune::Pruned;
pub use put::{NewPoint, Stored};
pub use s3::BucketAddress;
pub use secret::SecretFrom;
pub use settings::{Lock, LockMode, RepositorySettings, list_schema};
pub use verify::{Flaw, Verified};

use crate::client::Error;
use crate::kind::Kind;
use async_trait::async_trait;
use std::sync::Arc;

/// Every kind of repository, in the order of the documentation.
pub const REPOSITORIES: &[Kind<dyn Repository>] = &[directory::KIND, s3::KIND];

/// Where recovery points live.
#[async_trait]
pub trait Repository: Send + Sync {
    /// Where it is, for people; no secret is in it.
    fn location(&self) -> String;
    /// Can its files be locked against deletion?
    fn locks(&self) -> bool;
    /// What a key must be allowed for this use, as a policy of S3's; nothing where there are none.
    fn policy(&self, _: KeyUse, _locked: bool) -> Option<serde_json::Value> {
        None
    }
    /// The place of its files. Reads the secrets that its settings name; touches nothing.
    async fn place(&self, lock: Option<Lock>, patience: Patience) -> Result<Arc<dyn Place>, Error>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod acts_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod fixture_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod guards_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kind::pick;
    use crate::node::parse;

    #[test]
    fn every_example_is_read() {
        for kind in REPOSITORIES {
            let mut problems = vec![];
            let chosen = pick("repository", REPOSITORIES, &parse(kind.example).unwrap(), &mut problems);
            assert_eq!(chosen.map(|it| it.name), Some(kind.name), "{problems:?}");
        }
    }
}
