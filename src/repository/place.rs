//! A place of files under names: what a kind of repository gives, and all that the rest asks of it.
//!
//! Apart because everything above it is the same for directories and buckets. Not here: what the files mean.

use crate::client::Error;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use std::ops::Range;
use std::path::Path;

/// A file as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlacedFile {
    /// Its name, its parts separated by slashes.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// A version of a file, or a marker that it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedVersion {
    /// The file's name.
    pub name: String,
    /// The version's id.
    pub id: String,
    /// Is it a marker?
    pub marker: bool,
    /// Is it what is seen of the file?
    pub latest: bool,
    /// When it was made, by the server's clock.
    pub made: Timestamp,
}

/// What was done to bring deleted files back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndeletedFiles {
    /// Files that were deleted in that time.
    pub planned: u64,
    /// Those of them that are not back.
    pub failed: u64,
    /// Why, with the first of them by name.
    pub why: Vec<String>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Locked, where the repository is; takes the place of a file of that name, which has the same bytes.
    Kept,
    /// Never locked; takes the place of a file of that name.
    Loose,
    /// Never locked, and only if there is no file of that name: decided by the place in one step.
    New,
}

/// Files under names.
#[async_trait]
pub trait Place: Send + Sync {
    /// Where it is, for people.
    fn location(&self) -> String;
    /// All files whose names begin with `under`, in no order. What cannot be listed is an error.
    async fn list(&self, under: &str) -> Result<Vec<PlacedFile>, Error>;
    /// A file's bytes, or exactly those of a range.
    ///
    /// # Errors
    /// Of the kind `NotFound` when there is no such file.
    async fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Error>;
    /// Writes a file. `false` only for [`Writing::New`], when another file has that name.
    async fn write(&self, name: &str, bytes: Bytes, how: Writing) -> Result<bool, Error>;
    /// Removes a file. One that is not there is fine.
    async fn remove(&self, name: &str) -> Result<(), Error>;
    /// Makes what a repository that is created needs beside its files.
    async fn prepare(&self) -> Result<(), Error> {
        Ok(())
    }
    /// Locks files for at least as long as one that is written now. Nothing where nothing is locked.
    async fn keep_locked(&self, _names: &[String]) -> Result<(), Error> {
        Ok(())
    }
    /// Until when a file cannot be deleted; none if it can.
    async fn locked_until(&self, _name: &str) -> Result<Option<Timestamp>, Error> {
        Ok(None)
    }
    /// All versions of the files whose names begin with `under`, and their markers; none where none are kept.
    async fn versions(&self, _under: &str) -> Result<Vec<PlacedVersion>, Error> {
        Ok(vec![])
    }
    /// Removes versions for good, as far as the server lets these credentials.
    async fn remove_versions(&self, _versions: &[PlacedVersion]) -> Result<(), Error> {
        Ok(())
    }
    /// Brings back files whose names begin with `under` and which were deleted in this time. What is done is noted in the
    /// folder, so that one that was killed goes on; without a folder nothing is done.
    async fn undelete(
        &self,
        _under: &str,
        _span: (Timestamp, Timestamp),
        _folder: Option<&Path>,
    ) -> Result<UndeletedFiles, Error> {
        let what = format!("cannot bring back what was deleted in `{}`", self.location());
        Err(Error::new(what, "it keeps no versions").hint("take the points of another repository"))
    }
    /// Removes what killed writers left beside the files. Asked by the one who holds the lease.
    async fn tidy(&self) -> Result<(), Error> {
        Ok(())
    }
}
