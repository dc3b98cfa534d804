//! `lifeboat run`: plan, ask the environment, carry out, show what it means.

use super::console::{out, say, width};
use super::failure::complain;
use super::find::{Reports, find_drill};
use super::progress::Progress;
use super::talk::Talk;
use super::{CommandResult, Failure, exit, objection, rendered};
use crate::plan::{self, Plan};
use crate::report;
use crate::run::{Interrupt, Outcome};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `run` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The drill: its file, or its name
    drill: PathBuf,
    /// Another environment than the drill names: a kind, with or without settings, such as `containers` or
    /// `containers: { images: built }`; settings of the same kind go before the drill's own
    #[arg(long, value_name = "KIND", env = "LIFEBOAT_ENVIRONMENT")]
    environment: Option<String>,
    /// Print the report as JSON, and nothing else, on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    reports: Reports,
}

/// How an attempt to carry out a drill ended.
pub(super) enum Ending {
    /// It was not begun, or came to nothing: the exit code that says why.
    Refused(u8),
    /// It was carried out.
    Done(Box<Outcome>),
}

/// How a drill is carried out, beside what its plan says.
#[derive(Clone, Copy)]
pub(super) struct RunOptions<'a> {
    /// Where runs are kept.
    pub(super) reports: &'a Path,
    /// How much is said.
    pub(super) talk: Talk,
    /// Its number in a series, for the live line; empty outside of one.
    pub(super) number: &'a str,
}

/// Asks the environment, carries a plan out; what was left behind is said.
pub(super) async fn carry_out(mut plan: Plan, options: RunOptions<'_>) -> Result<Ending, Failure> {
    let interrupt = Interrupt::listen()?; // the signals of an earlier run of a series are ours still
    let survey = tokio::select! {
        survey = plan::survey(&mut plan) => survey,
        () = interrupt.requested() => {
            say("interrupted: nothing was touched");
            return Ok(Ending::Refused(exit::INTERRUPTED));
        }
    };
    if let Some(code) = objection(&survey) {
        return Ok(Ending::Refused(code));
    }
    let progress = Arc::new(Progress::new(&plan, options.talk, options.number));
    let outcome = crate::run::run(plan, options.reports, progress.clone()).await;
    progress.finish();
    let mut outcome = outcome?;
    if !options.talk.quiet {
        say(format!("kept in {}", outcome.folder.display()));
    }
    if !outcome.report.left.is_empty() {
        for thing in &outcome.report.left {
            say(format!("left behind: {thing}"));
        }
        say(format!("hint: lifeboat cleanup {}", outcome.folder.display()));
    }
    match outcome.failed.take() {
        None => Ok(Ending::Done(Box::new(outcome))),
        Some(error) if outcome.report.left.is_empty() => Err(error.into()),
        Some(error) => {
            complain(&error.into());
            Ok(Ending::Refused(exit::LEFT))
        }
    }
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let plan = plan::load_in(&find_drill(&args.drill)?, args.environment.as_deref())?;
    let options = RunOptions { reports: &args.reports.folder, talk: args.talk, number: "" };
    let outcome = match carry_out(plan, options).await? {
        Ending::Refused(code) => return Ok(code),
        Ending::Done(outcome) => outcome,
    };
    let code = code(&outcome);
    let shown = if args.json {
        out(rendered(&report::json::FORMAT, &outcome.report)?)
    } else {
        out(report::table::render(&outcome.report, width()))
    };
    // The last line: whatever the verdict, somebody has to act.
    if let Some(broken) = outcome.report.left.iter().find(|thing| thing.starts_with(crate::run::BROKEN)) {
        say(broken);
    }
    match shown {
        Err(error) if code == exit::LEFT => {
            complain(&error.into()); // what was left matters more
            Ok(code)
        }
        shown => Ok(shown.map(|()| code)?),
    }
}

/// Something left behind matters more than any verdict, and an interrupted run has none.
pub(super) fn code(outcome: &Outcome) -> u8 {
    if !outcome.report.left.is_empty() {
        return exit::LEFT;
    }
    if outcome.refused() {
        return exit::REFUSED;
    }
    if outcome.interrupted {
        return exit::INTERRUPTED;
    }
    exit::of(outcome.report.verdict)
}
