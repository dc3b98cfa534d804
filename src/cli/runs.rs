//! `lifeboat runs`: the runs that are kept, and what became of them.

use super::console::{out, say, width};
use super::find::{Reports, drill_of, run_name};
use super::{CommandResult, exit};
use crate::client::Error;
use crate::measure::series::judged;
use crate::model::Verdict;
use crate::model::report::Report;
use crate::report::columns::table;
use crate::report::words;
use crate::store;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// What `runs` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only the runs of this drill
    drill: Option<String>,
    /// Only the runs with this verdict
    #[arg(long, value_enum)]
    verdict: Option<Wanted>,
    /// Print the runs as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reports: Reports,
}

/// A verdict, as an option names it.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Wanted {
    Met,
    Missed,
    Unknown,
}

/// A run that is kept; one that is under way or was killed has no report.
struct Kept {
    folder: PathBuf,
    report: Option<Report>,
}

pub(super) fn main(args: &Args) -> CommandResult {
    let reports = &args.reports.folder;
    let of_drill = |folder: &PathBuf| args.drill.as_ref().is_none_or(|drill| *drill == drill_of(folder));
    let mut runs: Vec<_> = store::runs(reports).into_iter().filter(of_drill).map(Kept::read).collect();
    if let Some(wanted) = args.verdict.map(Wanted::verdict) {
        runs.retain(|run| run.report.as_ref().is_some_and(|report| report.verdict == wanted));
    }
    if args.json {
        let all: Vec<_> = runs.iter().map(Kept::json).collect();
        out(serde_json::to_string_pretty(&all).map_err(|e| Error::caused_by("cannot write the runs", e))?)?;
        return Ok(exit::MET);
    }
    if runs.is_empty() {
        let such = if args.drill.is_some() || args.verdict.is_some() { " such" } else { "" };
        say(format!("no{such} runs under `{}`", reports.display()));
        return Ok(exit::MET);
    }
    out(table(&["run", "verdict", "RTA", "RPA", "began (UTC)"], runs.iter().map(Kept::row).collect(), width()))?;
    Ok(exit::MET)
}

impl Wanted {
    fn verdict(self) -> Verdict {
        match self {
            Self::Met => Verdict::Met,
            Self::Missed => Verdict::Missed,
            Self::Unknown => Verdict::Unknown,
        }
    }
}

impl Kept {
    fn read(folder: PathBuf) -> Self {
        let bytes = fs::read(folder.join("report.json")).unwrap_or_default();
        Self { report: serde_json::from_slice(&bytes).ok(), folder }
    }

    fn row(&self) -> Vec<String> {
        let name = run_name(&self.folder);
        let Some(report) = &self.report else {
            let none = || "–".to_owned();
            return vec![name, state(&self.folder).to_owned(), none(), none(), none()];
        };
        let rta = judged(report).map(|(depth, time)| format!("{} at {depth}", words::at_least(time)));
        let rpa = words::at_least(&report.measurements.rpa.strict);
        let rta = rta.unwrap_or_else(|| "–".to_owned());
        vec![name, report.verdict.to_string(), rta, rpa, words::date(&report.began)]
    }

    fn json(&self) -> Value {
        let report = self.report.as_ref();
        let rta = report.and_then(judged);
        json!({
            "run": run_name(&self.folder),
            "drill": drill_of(&self.folder),
            "folder": self.folder,
            "state": report.map_or_else(|| state(&self.folder), |_| "done"),
            "verdict": report.map(|report| report.verdict),
            "at": rta.map(|(depth, _)| depth),
            "rta": rta.map(|(_, time)| time),
            "rpa": report.map(|report| &report.measurements.rpa.strict),
            "began": report.map(|report| &report.began),
            "left": report.map(|report| &report.left),
        })
    }
}

/// What a run without a report is.
fn state(folder: &Path) -> &'static str {
    if crate::run::alive(folder) { "running" } else { "no report" }
}
