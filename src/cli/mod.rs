//! The commands: one file each. Here: the words they share, where runs are found, and the one place that prints
//! errors and chooses the exit code.

mod check;
mod cleanup;
mod completions;
mod console;
mod kinds;
mod new;
mod plan;
mod report;
mod run;
mod runs;
mod schema;
mod series;

use crate::client::Error;
use crate::environment::Survey;
use crate::model::report::Report;
use crate::node::nearest;
use crate::report::Format;
use crate::spec::Wrong;
use crate::store;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A report as bytes, in a format.
fn rendered(format: &Format, report: &Report) -> Result<Vec<u8>, Error> {
    (format.render)(report).map_err(|error| Error::caused_by("cannot show the report", error))
}

/// How a command ends, as others may rely on it.
pub mod exit {
    /// All promises kept, or nothing to complain about.
    pub const MET: u8 = 0;
    /// A wrong file or wrong usage.
    pub const USAGE: u8 = 2;
    /// A promise was broken.
    pub const MISSED: u8 = 3;
    /// A promise could not be judged.
    pub const UNKNOWN: u8 = 4;
    /// The harness itself failed.
    pub const FAILED: u8 = 5;
    /// Something was left behind.
    pub const LEFT: u8 = 6;
    /// A guard refused.
    pub const REFUSED: u8 = 7;
    /// Interrupted and undone.
    pub const INTERRUPTED: u8 = 130;
}

/// Rehearse the loss of an ML platform and prove how long it was gone and what was lost.
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version, after_help = EXITS)]
struct Cli {
    /// Where runs are kept
    #[arg(long, global = true, value_name = "DIR", default_value = "reports", env = "LIFEBOAT_REPORTS")]
    reports: PathBuf,
    #[command(subcommand)]
    command: Command,
}

const EXITS: &str = "Exit codes: 0 met, 2 wrong file or usage, 3 missed, 4 unknown, 5 the harness failed, \
    6 something was left behind, 7 refused by a guard, 130 interrupted and undone";

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry out a drill
    Run(run::Args),
    /// Carry out several drills and keep a table of what they came to
    Series(series::Args),
    /// Show what a drill would do; changes nothing
    Plan(plan::Args),
    /// Check drill and scenario files
    Check(check::Args),
    /// Write a commented first drill or scenario
    New(new::Args),
    /// List what files may name, or show one in full
    Kinds(kinds::Args),
    /// Print JSON Schemas
    Schema(schema::Args),
    /// Judge a run again from its timeline
    Report(report::Args),
    /// List the runs
    Runs,
    /// Remove what dead runs left behind
    Cleanup(cleanup::Args),
    /// Print a shell's completions
    Completions(completions::Args),
}

/// Why a command came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Files that cannot be used as they are.
    Wrong(Wrong),
    /// What was asked for cannot be done; and what to do about it.
    Usage(String, Option<String>),
    /// The harness failed.
    Error(Error),
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What a command answers: its exit code.
pub(crate) type Answer = Result<u8, Failure>;

/// The program.
pub fn main() -> ExitCode {
    let cli = Cli::parse(); // wrong usage ends here, with 2
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let answer = match runtime {
        Ok(runtime) => {
            let answer = runtime.block_on(command(cli));
            runtime.shutdown_background(); // a slow answer that nobody waits for must not hold the program up
            answer
        }
        Err(error) => Err(Error::caused_by("cannot start", error).into()),
    };
    ExitCode::from(answer.unwrap_or_else(|failure| complain(&failure)))
}

async fn command(Cli { reports, command }: Cli) -> Answer {
    match command {
        Command::Run(args) => run::main(args, &reports).await,
        Command::Series(args) => series::main(&args, &reports).await,
        Command::Plan(args) => plan::main(&args).await,
        Command::Check(args) => Ok(check::main(&args)),
        Command::New(args) => new::main(&args),
        Command::Kinds(args) => kinds::main(&args),
        Command::Schema(args) => schema::main(&args),
        Command::Report(args) => report::main(&args, &reports),
        Command::Runs => Ok(runs::main(&reports)),
        Command::Cleanup(args) => cleanup::main(&args, &reports).await,
        Command::Completions(args) => Ok(completions::main(&args)),
    }
}

/// Says once what went wrong, and answers the exit code for it.
fn complain(failure: &Failure) -> u8 {
    let (code, text, hint) = match failure {
        Failure::Wrong(wrong) => {
            eprintln!("{wrong}");
            return exit::USAGE;
        }
        Failure::Usage(text, hint) => (exit::USAGE, text.clone(), hint.as_ref()),
        Failure::Error(error) => (exit::FAILED, format!("{}: {}", error.what, error.why), error.hint.as_ref()),
    };
    eprintln!("error: {text}");
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    code
}

/// Says what stands against a drill, if anything: then nothing was touched, and this is the exit code.
fn objection(survey: &Survey) -> Option<u8> {
    for text in survey.refusals.iter().chain(&survey.problems) {
        eprintln!("error: {text}");
    }
    let code = match (survey.refusals.is_empty(), survey.problems.is_empty()) {
        (true, true) => return None,
        (false, _) => exit::REFUSED,
        (true, false) => exit::USAGE,
    };
    eprintln!("nothing was touched");
    Some(code)
}

/// Finds a run's folder: a path, a drill (its latest run), `DRILL/latest`, `DRILL/RUN`, or a run's name.
fn find_run(reports: &Path, run: &str) -> Result<PathBuf, Failure> {
    let is_run = |path: &PathBuf| path.join(store::TIMELINE).is_file();
    let given = [PathBuf::from(run), reports.join(run), reports.join(run).join("latest")];
    if let Some(path) = given.into_iter().find(is_run) {
        return path
            .canonicalize()
            .map_err(|e| Error::caused_by(format!("cannot open `{}`", path.display()), e).into());
    }
    let all = store::runs(reports);
    let found = all.iter().find(|path| run_name(path) == run || path.file_name().is_some_and(|name| name == run));
    if let Some(path) = found {
        return Ok(path.clone());
    }
    let names: Vec<_> = all.iter().map(|path| run_name(path)).collect();
    let near = nearest(run, names.iter().map(String::as_str));
    let hint = near.map_or_else(|| "there are no runs yet".into(), |near| format!("did you mean `{near}`?"));
    Err(Failure::Usage(format!("there is no run `{run}` under `{}`", reports.display()), Some(hint)))
}

/// A run's name, from its folder.
fn run_name(folder: &Path) -> String {
    let name = |path: Option<&Path>| path.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    format!("{}-{}", name(folder.parent()), name(Some(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
