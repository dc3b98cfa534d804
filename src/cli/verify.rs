//! `lifeboat verify`: reads every byte of the repositories of a protection.

use super::console::{out, say};
use super::{CommandResult, exit};
use crate::client::Error;
use crate::engine::LogReach;
use crate::protect;
use crate::report::words;
use crate::repository::{Flaw, Verified};
use crate::spec::load_protection;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What `verify` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The protection's file
    file: PathBuf,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let (mut told, mut code) = (vec![], exit::MET);
    for repository in &protection.repositories {
        let mut verified = protect::verify(repository, |_, _| {}).await;
        if let Ok(verified) = &mut verified {
            verified.flaws.extend(log_flaws(&protect::reaches(&protection, repository, true).await));
        }
        if !args.json {
            tell(&repository.name, &verified)?;
        }
        code = code.max(match &verified {
            Ok(verified) if verified.flaws.is_empty() => exit::MET,
            Ok(_) => exit::MISSED,
            Err(_) => exit::FAILED,
        });
        told.push(value(&repository.name, &verified));
    }
    if args.json {
        out(serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write what was found", e))?)?;
    }
    Ok(code)
}

/// What is wrong with the log of the points: without it they can be restored to no other moment than their own.
fn log_flaws(reaches: &[LogReach]) -> Vec<Flaw> {
    let flaw = |reach: &LogReach| {
        Some(Flaw { file: None, why: format!("{}: {}", reach.point, reach.flaw.as_ref()?), harms: true })
    };
    reaches.iter().filter_map(flaw).collect()
}

fn tell(repository: &str, verified: &Result<Verified, Error>) -> Result<(), Error> {
    let verified = match verified {
        Ok(verified) => verified,
        Err(error) => {
            say(format!("error: {repository}: {error}"));
            return Ok(());
        }
    };
    for flaw in &verified.flaws {
        let file = flaw.file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default();
        let harm = if flaw.harms { "" } else { " (no point needs it)" };
        say(format!("{repository}: {file}{}{harm}", flaw.why));
    }
    let found = match verified.flaws.len() {
        0 => "nothing is wrong".to_owned(),
        n => words::things(n as u64, "flaw"),
    };
    out(format!("{repository}: {} files, {} read: {found}", verified.files, words::bytes(verified.bytes)))
}

fn value(repository: &str, verified: &Result<Verified, Error>) -> Value {
    let (found, error) = (verified.as_ref().ok(), verified.as_ref().err().map(ToString::to_string));
    let flaws = found.map(|it| {
        let told = it.flaws.iter().map(|flaw| json!({ "file": flaw.file, "why": flaw.why, "harms": flaw.harms }));
        told.collect::<Vec<_>>()
    });
    json!({
        "repository": repository, "files": found.map(|it| it.files), "bytes": found.map(|it| it.bytes),
        "flaws": flaws, "error": error,
    })
}
