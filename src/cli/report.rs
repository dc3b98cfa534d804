//! `lifeboat report`: judges a run again from its timeline, so that a better measure re-judges history.

use super::console::{out, width};
use super::find::{Reports, find_run};
use super::run::code;
use super::{CommandResult, rendered};
use crate::client::Error;
use crate::measure::measure;
use crate::model::Fact;
use crate::run::Outcome;
use crate::{report, store};

/// What `report` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's folder or name, or a drill for its latest run
    run: String,
    /// How to show it
    #[arg(long, value_enum, default_value = "table")]
    format: OutputFormat,
    #[command(flatten)]
    reports: Reports,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OutputFormat {
    Json,
    Markdown,
    Table,
}

pub(super) fn main(args: &Args) -> CommandResult {
    let folder = find_run(&args.reports.folder, &args.run)?;
    let what = || format!("cannot read the timeline in `{}`", folder.display());
    let lines = store::read_timeline(&folder).map_err(|error| Error::caused_by(what(), error))?;
    if lines.is_empty() {
        return Err(Error::new(what(), "the run ended before its first line").into());
    }
    let interrupted = lines.iter().any(|line| line.fact == Fact::Interrupted);
    let judged = measure(&lines);
    match args.format {
        OutputFormat::Json => out(rendered(&report::json::FORMAT, &judged)?)?,
        OutputFormat::Markdown => out(rendered(&report::markdown::FORMAT, &judged)?)?,
        OutputFormat::Table => out(report::table::render(&judged, width()))?,
    }
    Ok(code(&Outcome { report: judged, folder, interrupted, failed: None }))
}
