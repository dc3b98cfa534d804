//! `lifeboat run`: plan, ask the environment, carry out, show what it means.

use super::console::{Console, out, width};
use super::{Answer, exit, objection, rendered, survey};
use crate::model::Verdict;
use crate::run::Outcome;
use crate::{report, spec};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `run` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The drill's file
    drill: PathBuf,
    /// Another environment than the drill names: a kind, with or without its settings, such as `containers` or
    /// `containers: { images: built }`
    #[arg(long, value_name = "KIND")]
    environment: Option<String>,
    /// Print the report as JSON, and nothing else, on standard output
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(args: Args, reports: &Path) -> Answer {
    let mut plan = spec::plan_in(&args.drill, args.environment.as_deref())?;
    if let Some(code) = objection(&survey(&mut plan).await) {
        return Ok(code);
    }
    let console = Arc::new(Console::new(&plan.terms));
    let outcome = crate::run::run(plan, reports, console.clone()).await;
    console.finish();
    let outcome = outcome?;
    if args.json {
        out(rendered(&report::json::FORMAT, &outcome.report)?);
    } else {
        out(report::table::render(&outcome.report, width()));
    }
    eprintln!("kept in {}", outcome.folder.display());
    if !outcome.report.left.is_empty() {
        for thing in &outcome.report.left {
            eprintln!("left behind: {thing}");
        }
        eprintln!("hint: lifeboat cleanup {}", outcome.folder.display());
    }
    Ok(code(&outcome))
}

/// Something left behind matters more than any verdict, and an interrupted run has none.
fn code(outcome: &Outcome) -> u8 {
    if !outcome.report.left.is_empty() {
        return exit::LEFT;
    }
    if outcome.refused() {
        return exit::REFUSED;
    }
    if outcome.interrupted {
        return exit::INTERRUPTED;
    }
    match outcome.report.verdict {
        Verdict::Met => exit::MET,
        Verdict::Missed => exit::MISSED,
        Verdict::Unknown => exit::UNKNOWN,
    }
}
