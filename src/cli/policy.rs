//! `lifeboat policy`: what a key must be allowed to do with a repository of a protection, as a policy of S3.

use super::console::out;
use super::failure::Failure;
use super::find::find_repository;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::repository::KeyUse;
use crate::spec::load_protection;
use std::path::PathBuf;

/// What `policy` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The protection's file
    file: PathBuf,
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: String,
    /// What the key is for
    #[arg(long = "for", value_name = "USE", value_enum)]
    key_use: Uses,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Uses {
    /// Takes backups, and can delete none
    Backup,
    /// Reads, and writes nothing
    Restore,
    /// Deletes points whose time is over
    Prune,
}

pub(super) fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let repository = find_repository(&protection, &args.repository)?;
    let key_use = match args.key_use {
        Uses::Backup => KeyUse::Backup,
        Uses::Restore => KeyUse::Restore,
        Uses::Prune => KeyUse::Prune,
    };
    let Some(policy) = repository.kind.policy(key_use, repository.lock.is_some()) else {
        let what = format!("the repository `{}` is in no bucket, so it has no policy", repository.name);
        return Err(Failure::Usage(what, Some("give its directory to the user who takes the backups".into())));
    };
    out(serde_json::to_string_pretty(&policy).map_err(|e| Error::caused_by("cannot write the policy", e))?)?;
    Ok(exit::MET)
}
