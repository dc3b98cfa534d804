//! `lifeboat re-point`: changes the stored places of artifacts that were moved, and proves that all are found.

use super::console::{out, say};
use super::failure::Failure;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::client::re_point::PlaceMove;
use crate::protect;
use crate::recovery::re_point::RePointing;
use crate::spec::load_protection;
use std::path::PathBuf;

/// What `re-point` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file of a protection, whose `platform` has the database and the bucket where the artifacts are now
    file: PathBuf,
    /// The old place: a bucket, or a folder in it
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// The new place
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// One more column of texts, in which the old place is replaced wherever it stands; may be repeated
    #[arg(long, value_name = "TABLE.COLUMN")]
    also: Vec<String>,
    /// Count what would be changed; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print what was changed as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let hint = || Some("write `--from s3://OLD/FOLDER --to s3://NEW`".to_owned());
    let moved = PlaceMove::new(&args.from, &args.to).map_err(|why| Failure::Usage(why, hint()))?;
    let act = RePointing { moved, also: args.also.clone(), dry_run: args.dry_run };
    let finding = protect::re_point(&protection, &act).await?;
    if args.json {
        let text = serde_json::to_string_pretty(&finding);
        out(text.map_err(|e| Error::caused_by("cannot write what was changed", e))?)?;
    } else {
        finding.figures.iter().for_each(|(name, value)| say(format!("  {name}: {value}")));
        let verb = if args.dry_run { "would re-point" } else { "re-pointed" };
        let changed = finding.get("changed").unwrap_or_default();
        out(format!("{verb} {changed} rows from {}", act.moved))?;
        if let Some(why) = &finding.reason {
            say(format!("{}: {why}", finding.verdict));
        }
    }
    Ok(exit::of(finding.verdict))
}
