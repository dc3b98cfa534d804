//! `lifeboat backup`: takes a backup into each repository of a protection.

use super::console::{out, say};
use super::{CommandResult, exit};
use crate::client::Error;
use crate::clock::Stopwatch;
use crate::model::RecoveryPoint;
use crate::protect;
use crate::report::words;
use crate::spec::load_protection;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What `backup` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The protection's file
    file: PathBuf,
    /// Make a repository where nothing is yet
    #[arg(long)]
    create: bool,
    /// Print the points as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let (mut told, mut failed) = (vec![], false);
    for repository in &protection.repositories {
        let time = Stopwatch::start();
        let point = protect::backup(&protection, repository, args.create).await;
        failed |= point.is_err();
        if !args.json {
            tell(&repository.name, &point, time.seconds())?;
        }
        told.push(value(&repository.name, &point, time.seconds()));
    }
    if args.json {
        out(serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write the points", e))?)?;
    }
    Ok(if failed { exit::FAILED } else { exit::MET })
}

fn tell(repository: &str, point: &Result<RecoveryPoint, Error>, seconds: f64) -> Result<(), Error> {
    match point {
        Ok(point) => {
            let bytes = point.bytes.map(words::bytes).unwrap_or_default();
            out(format!("{repository}: {} ({bytes}, {})", point.id, words::time(seconds)))
        }
        Err(error) => {
            say(format!("error: {repository}: {error}"));
            Ok(())
        }
    }
}

fn value(repository: &str, point: &Result<RecoveryPoint, Error>, seconds: f64) -> Value {
    let (found, error) = (point.as_ref().ok(), point.as_ref().err().map(ToString::to_string));
    json!({
        "repository": repository,
        "point": found.map(|point| &point.id),
        "taken_at": found.map(|point| point.taken_at),
        "bytes": found.and_then(|point| point.bytes),
        "seconds": seconds,
        "error": error,
    })
}
