//! Verifies a repository: every byte of every file read and checked, and whether each file is there that others need.
//!
//! A file's name is the SHA-256 of its bytes, so one wrong byte is found without the key; `config` is sealed with the
//! key. What is missing is found by going through the index and the trees of all points. A snapshot that was removed
//! whole cannot be told: that needs a list of points kept elsewhere.

use super::PlacedFile;
use super::backend::file;
use super::gate::Gate;
use super::open::{OpenRepository, native};
use crate::client::Error;
use futures::{StreamExt, stream};
use rustic_core::repofile::{ALL_FILE_TYPES, ConfigFile};
use rustic_core::{CheckOptions, FileType, Id};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::Arc;

/// How many files are read at once. A pack has 64 MiB at most.
const AT_ONCE: usize = 3;

/// One thing that is wrong with a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flaw {
    /// The file, where one is to blame.
    pub file: Option<String>,
    /// What is wrong with it.
    pub why: String,
    /// Does a point miss something? If not, it is only one file too many.
    pub harms: bool,
}

/// What a verification has read and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Files read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong; nothing else is.
    pub flaws: Vec<Flaw>,
}

impl OpenRepository {
    /// Reads and checks every byte. `progress` is told the bytes that have been read and those of all files.
    ///
    /// # Errors
    /// When the files cannot be listed. A file that cannot be read is a flaw.
    pub async fn verify(&self, progress: impl Fn(u64, u64) + Send + Sync) -> Result<Verified, Error> {
        let mut files = self.place().list("").await?;
        files.retain(|file| !file.name.starts_with("lifeboat/") && !file.name.starts_with("locks/"));
        let (mut verified, all) =
            (Verified { files: 0, bytes: 0, flaws: vec![] }, files.iter().map(|it| it.size).sum());
        let mut read = stream::iter(files.clone()).map(|file| self.verify_file(file)).buffer_unordered(AT_ONCE);
        while let Some((bytes, flaw)) = read.next().await {
            verified.files += 1;
            verified.bytes += bytes;
            verified.flaws.extend(flaw);
            progress(verified.bytes, all);
        }
        drop(read);
        if !files.iter().any(|file| file.name.starts_with("keys/")) {
            verified.flaws.push(flaw(None, "no key is left: no password opens it".into(), true));
        }
        if !files.iter().any(|file| file.name == "config") {
            verified.flaws.push(flaw(Some("config".into()), "it is missing".into(), true));
        }
        let harmed: Vec<_> = verified.flaws.iter().filter_map(|it| it.file.clone()).collect();
        let missing = self.missing(&harmed).await?;
        verified.flaws.extend(missing);
        verified.flaws.sort();
        verified.flaws.dedup();
        Ok(verified)
    }

    /// Reads one file and compares it with its name.
    async fn verify_file(&self, found: PlacedFile) -> (u64, Option<Flaw>) {
        let PlacedFile { name, size } = found;
        if name == "config" {
            return (size, self.verify_config().await);
        }
        let id = name.rsplit('/').next().and_then(|id| id.parse::<Id>().ok());
        let is_known = id.is_some_and(|id| ALL_FILE_TYPES.iter().any(|tpe| file(*tpe, &id) == name));
        let bytes = match self.place().read(&name, None).await {
            Ok(bytes) => bytes,
            Err(error) => return (size, Some(flaw(Some(name), error.to_string(), is_known))),
        };
        if !is_known {
            return (size, Some(flaw(Some(name), "it does not belong to the repository".into(), false)));
        }
        let digest = tokio::task::spawn_blocking(move || Sha256::digest(&bytes)).await;
        let is_whole = digest.is_ok_and(|digest| id.is_some_and(|id| id.to_hex().as_str() == hex(&digest)));
        let why = "its bytes are not those that were written";
        (size, (!is_whole).then(|| flaw(Some(name), why.into(), true)))
    }

    async fn verify_config(&self) -> Option<Flaw> {
        let gate = Arc::new(Gate::default());
        let read = self.work(&gate, "cannot read `config`".into(), |rustic| {
            rustic.get_file::<ConfigFile>(&Id::default().into()).map(|_| ())
        });
        let error = read.await.err()?;
        Some(flaw(Some("config".into()), error.to_string(), true))
    }

    /// What others need and is not there, and what nobody knows. `harmed`: files that have been told already.
    async fn missing(&self, harmed: &[String]) -> Result<Vec<Flaw>, Error> {
        if harmed.iter().any(|name| name == "config") {
            return Ok(vec![]); // nothing more can be asked
        }
        let what = "cannot go through the index and the trees";
        let gate = Arc::new(Gate::default());
        let checked = self.work(&gate, what.into(), move |rustic| {
            let list = rustic.list::<rustic_core::repofile::SnapshotId>()?;
            let mut trees = vec![];
            for id in list {
                // One that cannot be read has been told by its bytes.
                trees.extend(rustic.get_file::<rustic_core::repofile::SnapshotFile>(&id).map(|it| it.tree));
            }
            let checked = rustic.check_with_trees(CheckOptions::default(), trees);
            Ok(checked.map_err(|error| native(what, &error)).map(|results| {
                let findings = results.0.into_iter();
                findings.map(|(level, error)| (format!("{level:?}") == "Error", error.to_string())).collect::<Vec<_>>()
            }))
        });
        Ok(match checked.await? {
            Ok(findings) => findings.into_iter().map(|(harms, why)| flaw(file_in(&why), why, harms)).collect(),
            Err(error) => vec![flaw(None, error.to_string(), true)],
        })
    }
}

fn flaw(file: Option<String>, why: String, harms: bool) -> Flaw {
    Flaw { file, why, harms }
}

/// The pack that a finding of the check names.
fn file_in(why: &str) -> Option<String> {
    let id = why.split_whitespace().skip_while(|word| *word != "pack").nth(1)?;
    Some(file(FileType::Pack, &id.trim_end_matches([':', ',']).parse().ok()?))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
