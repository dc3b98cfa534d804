//! `lifeboat backup`: takes a backup into each repository of a protection.

use super::console::{out, say};
use super::{CommandResult, exit};
use crate::client::Error;
use crate::clock::Stopwatch;
use crate::protect::{self, TakenBackup};
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
    let (mut told, mut code) = (vec![], exit::MET);
    for repository in &protection.repositories {
        let time = Stopwatch::start();
        let taken = protect::backup(&protection, repository, args.create).await;
        code = code.max(match &taken {
            Ok(TakenBackup { shrunk_from: None, log, .. }) if log.as_ref().is_none_or(|it| it.flaw.is_none()) => {
                exit::MET
            }
            Ok(_) => exit::MISSED,
            Err(_) => exit::FAILED,
        });
        if !args.json {
            tell(&repository.name, &taken, time.seconds())?;
        }
        told.push(value(&repository.name, &taken, time.seconds()));
    }
    if args.json {
        out(serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write the points", e))?)?;
    }
    Ok(code)
}

fn tell(repository: &str, taken: &Result<TakenBackup, Error>, seconds: f64) -> Result<(), Error> {
    match taken {
        Ok(TakenBackup { point, shrunk_from, log }) => {
            if let Some(why) = log.as_ref().and_then(|log| log.flaw.as_ref()) {
                say(format!("warning: {repository}: {why}: does `lifeboat receive` run?"));
            }
            let bytes = point.bytes.map(words::bytes).unwrap_or_default();
            if let Some(before) = shrunk_from {
                say(format!(
                    "warning: {repository}: the point before this one has {}; is anything lost?",
                    words::bytes(*before)
                ));
            }
            out(format!("{repository}: {} ({bytes}, {})", point.id, words::time(seconds)))
        }
        Err(error) => {
            say(format!("error: {repository}: {error}"));
            Ok(())
        }
    }
}

fn value(repository: &str, taken: &Result<TakenBackup, Error>, seconds: f64) -> Value {
    let (done, error) = (taken.as_ref().ok(), taken.as_ref().err().map(ToString::to_string));
    let found = done.map(|it| &it.point);
    json!({
        "repository": repository,
        "point": found.map(|point| &point.id),
        "taken_at": found.map(|point| point.taken_at),
        "bytes": found.and_then(|point| point.bytes),
        "shrunk_from": done.and_then(|it| it.shrunk_from),
        "log": done.and_then(|it| it.log.as_ref()),
        "seconds": seconds,
        "error": error,
    })
}
