//! `lifeboat undelete-repository`: brings back a repository whose files were deleted and whose bucket keeps their versions.

use super::console::{out, say};
use super::find::find_repository;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::clock::wall;
use crate::protect;
use crate::report::words::things;
use crate::repository::{Patience, RepositoryFiles, UndeletedFiles};
use crate::spec::load_protection;
use jiff::Timestamp;
use serde_json::json;
use std::path::PathBuf;

/// What `undelete-repository` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The protection's file
    file: PathBuf,
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: String,
    /// Show how many files would come back; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Brings back what was deleted from then on: a moment shortly before the deletion
    #[arg(long, value_name = "TIME")]
    since: Timestamp,
    /// And until then; now, if nothing is said
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Print what came back as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let repository = find_repository(&protection, &args.repository)?;
    let files = RepositoryFiles::of(repository, Patience::default()).await?;
    let folder = tempfile::tempdir().map_err(|e| Error::caused_by("cannot make a folder for the plan", e))?;
    let span = (args.since, args.until.unwrap_or_else(wall));
    let UndeletedFiles { planned, failed, why } =
        files.undelete(span, (!args.dry_run).then_some(folder.path())).await?;
    // That it can be opened says more than that its files are there.
    let points = if args.dry_run || planned == failed {
        None
    } else {
        Some(protect::open(repository, false).await?.points().await?.points.len())
    };
    if args.json {
        let told = json!({ "repository": repository.name, "planned": planned, "failed": failed, "why": why, "points": points });
        out(serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write what came back", e))?)?;
    } else if planned == 0 {
        say(format!("nothing of `{}` was deleted in that time", repository.name));
    } else {
        let back = things(planned - failed, "file");
        let said = if args.dry_run { "would come back" } else { "came back" };
        let holds = points.map(|count| format!("; it holds {}", things(count as u64, "point"))).unwrap_or_default();
        out(format!("{}: {back} {said}, {failed} cannot{holds}", repository.name))?;
        why.iter().for_each(|why| say(format!("error: {why}")));
    }
    Ok(if failed > 0 || planned == 0 { exit::MISSED } else { exit::MET })
}
