//! `lifeboat verify`: reads every byte of the repositories of a protection, and restores a point to prove that it can be.

use super::console::{out, say};
use super::find::find_repository;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::engine::LogReach;
use crate::environment::{DeadServers, ThrowawayServer};
use crate::model::Verdict;
use crate::protect::{self, RestoreProof};
use crate::report::words;
use crate::repository::{Flaw, RepositorySettings, Verified};
use crate::run::Interrupt;
use crate::spec::{Protection, load_protection};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What `verify` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The protection's file
    file: PathBuf,
    /// Only this repository of the protection
    #[arg(long, value_name = "REPOSITORY")]
    repository: Option<String>,
    /// Restore a point on a server of this machine that is thrown away, and ask it: the newest, or the one that is named
    #[arg(long, value_name = "POINT", num_args = 0..=1, default_missing_value = "latest")]
    restore: Option<String>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// What was found of one repository.
struct Looked {
    verified: Result<Verified, Error>,
    /// Nothing if no point was to be restored, or none could be read.
    proof: Option<Result<RestoreProof, Error>>,
    /// What could not be removed.
    left: Option<Error>,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let named = args.repository.as_deref().map(|name| find_repository(&protection, name)).transpose()?;
    let repositories = named.map_or(protection.repositories.as_slice(), std::slice::from_ref);
    let interrupt = args.restore.as_ref().map(|_| Interrupt::listen()).transpose()?;
    if args.restore.is_some() {
        DeadServers::remove().await.left.iter().for_each(|thing| say(format!("warning: {thing}")));
    }
    let (mut told, mut code) = (vec![], exit::MET);
    for repository in repositories {
        let requested = async {
            match &interrupt {
                Some(interrupt) => interrupt.requested().await,
                None => std::future::pending().await,
            }
        };
        let Some(looked) = look(&protection, repository, args.restore.as_deref(), requested).await else {
            say("interrupted: nothing is left");
            return Ok(exit::INTERRUPTED);
        };
        if !args.json {
            tell(&repository.name, &looked)?;
        }
        code = exit::worse(code, looked.code());
        told.push(value(&repository.name, &looked));
    }
    if args.json {
        out(serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write what was found", e))?)?;
    }
    Ok(code)
}

/// Looks at one repository; nothing if it was interrupted, and then nothing is left of it.
async fn look(
    protection: &Protection,
    repository: &RepositorySettings,
    to: Option<&str>,
    requested: impl Future<Output = ()>,
) -> Option<Looked> {
    let read = async {
        let mut verified = protect::verify(repository, |_, _| {}).await?;
        verified.flaws.extend(log_flaws(&protect::reaches(protection, repository, true).await));
        Ok::<_, Error>(verified)
    };
    tokio::pin!(requested);
    let verified = tokio::select! {
        verified = read => verified,
        () = &mut requested => return None,
    };
    let (Some(to), Ok(_)) = (to, &verified) else { return Some(Looked { verified, proof: None, left: None }) };
    let server = match ThrowawayServer::make(&protection.server.database) {
        Ok(server) => server,
        Err(error) => return Some(Looked { verified, proof: Some(Err(error)), left: None }),
    };
    let proof = tokio::select! {
        proof = protect::prove(protection, repository, to, &server) => Some(proof),
        () = &mut requested => None,
    };
    let left = server.remove().await.err();
    match proof {
        None if left.is_none() => None,
        proof => Some(Looked { verified, proof, left }),
    }
}

impl Looked {
    fn code(&self) -> u8 {
        let verified = match &self.verified {
            Ok(verified) if verified.flaws.is_empty() => exit::MET,
            Ok(_) => exit::MISSED,
            Err(_) => exit::FAILED,
        };
        let proved = match &self.proof {
            Some(Ok(proof)) => exit::of(proof.finding.verdict),
            Some(Err(_)) => exit::FAILED,
            None => exit::MET,
        };
        if self.left.is_some() { exit::LEFT } else { exit::worse(verified, proved) }
    }
}

/// What is wrong with the log of the points: without it they can be restored to no other moment than their own.
fn log_flaws(reaches: &[LogReach]) -> Vec<Flaw> {
    let flaw = |reach: &LogReach| {
        Some(Flaw { file: None, why: format!("{}: {}", reach.point, reach.flaw.as_ref()?), harms: true })
    };
    reaches.iter().filter_map(flaw).collect()
}

fn tell(repository: &str, looked: &Looked) -> Result<(), Error> {
    match &looked.verified {
        Ok(verified) => tell_verified(repository, verified)?,
        Err(error) => say(format!("error: {repository}: {error}")),
    }
    match &looked.proof {
        Some(Ok(proof)) => tell_proof(repository, proof)?,
        Some(Err(error)) => say(format!("error: {repository}: {error}")),
        None => {}
    }
    if let Some(error) = &looked.left {
        say(format!("left behind: {error}"));
    }
    Ok(())
}

fn tell_verified(repository: &str, verified: &Verified) -> Result<(), Error> {
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

fn tell_proof(repository: &str, proof: &RestoreProof) -> Result<(), Error> {
    let (finding, point) = (&proof.finding, &proof.point);
    finding.figures.iter().for_each(|(name, value)| say(format!("  {name}: {value}")));
    if let Some(why) = &finding.reason {
        say(format!("{repository}: {}: {why}", point.id));
    }
    let found = match finding.verdict {
        Verdict::Met => "nothing is wrong",
        Verdict::Missed => "it is flawed",
        Verdict::Unknown => "not everything could be told",
    };
    out(format!("{repository}: {} restored and asked in {}: {found}", point.id, words::time(proof.seconds)))
}

fn value(repository: &str, looked: &Looked) -> Value {
    let (verified, proof) = (&looked.verified, looked.proof.as_ref());
    let (found, error) = (verified.as_ref().ok(), verified.as_ref().err().map(ToString::to_string));
    let flaws = found.map(|it| {
        let told = it.flaws.iter().map(|flaw| json!({ "file": flaw.file, "why": flaw.why, "harms": flaw.harms }));
        told.collect::<Vec<_>>()
    });
    let restored = proof.map(|proof| match proof {
        Ok(RestoreProof { point, finding, seconds }) => {
            json!({ "point": point.id, "taken_at": point.taken_at, "finding": finding, "seconds": seconds })
        }
        Err(error) => json!({ "error": error.to_string() }),
    });
    json!({
        "repository": repository, "files": found.map(|it| it.files), "bytes": found.map(|it| it.bytes),
        "flaws": flaws, "error": error, "restored": restored, "left": looked.left.as_ref().map(ToString::to_string),
    })
}
