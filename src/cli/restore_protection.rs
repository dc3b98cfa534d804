//! `lifeboat restore FILE`: restores a point of a protection, beside the live database or in its place.
//!
//! Apart from the other half of `restore`, which ends what a run left: this one knows of no run.

use super::console::{out, say};
use super::failure::Failure;
use super::find::find_repository;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::clock::Stopwatch;
use crate::model::{Finding, Verdict};
use crate::protect::{self, ChosenRestore, RestoreTarget};
use crate::report::words;
use crate::spec::load_protection;
use serde_json::json;
use std::path::Path;

/// What is restored of a protection, and where to.
#[derive(Debug, Default, clap::Args)]
pub(super) struct OfProtection {
    /// Of a protection: `latest`, a point's name, or a time such as 2026-03-01T12:00:00Z for the newest state until then
    #[arg(long, value_name = "POINT", conflicts_with_all = ["point", "done"])]
    to: Option<String>,
    /// Only from this repository of the protection
    #[arg(long, value_name = "REPOSITORY", requires = "to")]
    from: Option<String>,
    /// Restore into a new database of this name, beside the live one
    #[arg(long, value_name = "DATABASE", requires = "to")]
    into: Option<String>,
    /// Replace the protected database
    #[arg(long, requires = "to", conflicts_with = "into")]
    replace: bool,
    /// Show what would be restored; change nothing
    #[arg(long, requires = "to")]
    dry_run: bool,
    /// Print what was restored as JSON
    #[arg(long, requires = "to")]
    json: bool,
}

/// Is this the file of a protection, rather than a run?
pub(super) fn is_protection(what: &str) -> bool {
    Path::new(what).extension().is_some_and(|end| end == "yaml" || end == "yml")
}

pub(super) async fn main(file: &str, args: &OfProtection) -> CommandResult {
    let protection = load_protection(Path::new(file))?;
    let Some(to) = &args.to else {
        let hint = "add `--to latest`; `lifeboat points` lists the points".to_owned();
        return Err(Failure::Usage("what is to be restored of the protection?".into(), Some(hint)));
    };
    let target = match &args.into {
        Some(name) => RestoreTarget::Beside(name.clone()),
        None if args.replace || args.dry_run => RestoreTarget::Live,
        None => {
            let hint = "`--into NEW` restores beside the live database, `--replace` in its place".to_owned();
            return Err(Failure::Usage("where is it to be restored to?".into(), Some(hint)));
        }
    };
    let from = args.from.as_ref().map(|from| find_repository(&protection, from)).transpose()?;
    let chosen = protect::choose(&protection, to, from, &target).await?;
    if args.dry_run {
        out(if args.json { written(&chosen, None, 0.0)? } else { sentence(&chosen, &target) })?;
        return Ok(exit::MET);
    }
    if !args.json {
        say(sentence(&chosen, &target));
    }
    let time = Stopwatch::start();
    let finding = protect::restore(&chosen).await;
    if args.json {
        out(written(&chosen, Some(&finding), time.seconds())?)?;
    } else if finding.verdict == Verdict::Met {
        out(format!("restored `{}` in {}", chosen.database, words::time(time.seconds())))?;
    } else {
        say(format!("error: not restored: {}", finding.reason.as_deref().unwrap_or_default()));
    }
    Ok(match finding.verdict {
        Verdict::Met => exit::MET,
        Verdict::Missed => exit::MISSED,
        Verdict::Unknown => exit::UNKNOWN,
    })
}

fn sentence(chosen: &ChosenRestore, target: &RestoreTarget) -> String {
    let point = &chosen.plan.point;
    let bytes = point.bytes.map(words::bytes).unwrap_or_default();
    let what =
        format!("the point {} of {} ({bytes}) of the repository {}", point.id, point.taken_at, chosen.repository);
    match target {
        RestoreTarget::Beside(name) => format!("{what} goes into the new database `{name}`"),
        RestoreTarget::Live => format!("{what} replaces the database `{}`", chosen.database),
    }
}

fn written(chosen: &ChosenRestore, finding: Option<&Finding>, seconds: f64) -> Result<String, Error> {
    let told = json!({
        "repository": chosen.repository, "database": chosen.database, "plan": chosen.plan,
        "finding": finding, "seconds": finding.map(|_| seconds),
    });
    serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write what was restored", e))
}
