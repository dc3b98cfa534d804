//! `lifeboat copy`: copies the points of a protection from one of its repositories into another.

use super::console::{out, say};
use super::failure::Failure;
use super::find::find_repository;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::clock::Stopwatch;
use crate::protect;
use crate::report::words;
use crate::spec::load_protection;
use serde_json::json;
use std::path::PathBuf;

/// What `copy` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The protection's file
    file: PathBuf,
    /// The repository that is read
    #[arg(long, value_name = "REPOSITORY")]
    from: String,
    /// The repository that gets the points
    #[arg(long, value_name = "REPOSITORY")]
    to: String,
    /// Only this point; by default all that the other lacks and would keep
    #[arg(long, value_name = "POINT")]
    point: Option<String>,
    /// Make the repository where nothing is yet
    #[arg(long)]
    create: bool,
    /// Show what would be copied; change nothing
    #[arg(long, conflicts_with = "create")]
    dry_run: bool,
    /// Print the points as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let (from, to) = (find_repository(&protection, &args.from)?, find_repository(&protection, &args.to)?);
    if from.name == to.name {
        return Err(Failure::Usage("both repositories are the same".into(), Some("name two".into())));
    }
    let (source, target) = (protect::open(from, false).await?, protect::open(to, args.create).await?);
    let points = protect::lacking(&protection, (&source, &target), &to.name, args.point.as_deref()).await?;
    let (mut told, mut code) = (vec![], exit::MET);
    for point in &points {
        let (time, name) = (Stopwatch::start(), protect::name(point));
        let copied = if args.dry_run { Ok(None) } else { protect::copy(&source, &target, point).await.map(Some) };
        let bytes = words::bytes(point.bytes);
        match &copied {
            Err(error) => {
                code = exit::FAILED;
                say(format!("error: {name}: {error}"));
            }
            Ok(_) if args.json => {}
            Ok(None) => out(format!("{name} would be copied ({bytes})"))?,
            Ok(Some(added)) => {
                let (added, time) = (words::bytes(*added), words::time(time.seconds()));
                out(format!("{}: {name} ({bytes}, {added} added, {time})", to.name))?;
            }
        }
        told.push(json!({
            "point": name, "taken_at": point.time, "bytes": point.bytes, "seconds": time.seconds(),
            "added": copied.as_ref().ok().copied().flatten(), "error": copied.err().map(|error| error.to_string()),
        }));
    }
    if args.json {
        out(serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write the points", e))?)?;
    } else if points.is_empty() {
        say(format!("`{}` lacks none of the points", to.name));
    }
    Ok(code)
}
