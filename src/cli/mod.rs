//! The commands: one file each. Here: the command line, and what a plan's survey says against a drill.

mod acts;
mod backup;
mod check;
mod cleanup;
mod completions;
mod console;
mod copy;
mod failure;
mod find;
mod help;
mod kinds;
mod live_line;
mod man;
mod new;
mod plan;
mod pointers;
mod points;
mod policy;
mod progress;
mod prune;
mod re_point;
mod receive;
mod report;
mod restore;
mod restore_configuration;
mod restore_protection;
mod run;
mod runs;
mod schema;
mod series;
mod settings;
mod talk;
mod talk_writer;
mod undelete_repository;
mod verify;

use crate::client::Error;
use crate::environment::Survey;
use crate::model::report::Report;
use crate::report::Format;
use crate::store;
use clap::{Parser, Subcommand};
use console::{Colour, say};
use failure::complain;
use std::process::ExitCode;

pub(crate) use failure::Failure;

/// A report as bytes, in a format.
fn rendered(format: &Format, report: &Report) -> Result<Vec<u8>, Error> {
    (format.render)(report).map_err(|error| Error::caused_by("cannot show the report", error))
}

/// How a command ends, as others may rely on it.
pub mod exit {
    use crate::model::Verdict;

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

    /// How a verdict ends a command.
    pub(super) fn of(verdict: Verdict) -> u8 {
        match verdict {
            Verdict::Met => MET,
            Verdict::Missed => MISSED,
            Verdict::Unknown => UNKNOWN,
        }
    }

    /// The worse of two ends of a part: what was left behind before what failed, that before what was missed, and that
    /// before what is unknown.
    pub(super) fn worse(one: u8, other: u8) -> u8 {
        let order = [MET, UNKNOWN, MISSED, FAILED, LEFT];
        let rank = |code: u8| order.iter().position(|known| *known == code);
        if rank(one) >= rank(other) { one } else { other }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_was_left_goes_before_what_failed_then_what_was_missed_and_then_what_is_unknown() {
            let worst = |codes: &[u8]| codes.iter().copied().fold(MET, worse);
            assert_eq!(worst(&[UNKNOWN, MET, MISSED, UNKNOWN]), MISSED);
            assert_eq!(worst(&[MET, UNKNOWN]), UNKNOWN);
            assert_eq!(worst(&[FAILED, MISSED]), FAILED);
            assert_eq!([worst(&[LEFT, FAILED]), worst(&[LEFT, MISSED])], [LEFT, LEFT]);
        }
    }
}

/// Rehearse the loss of an ML platform and prove how long it was gone and what was lost.
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version, after_help = help::ALL)]
struct Cli {
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto", hide_possible_values = true)]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry out a drill
    #[command(after_help = help::RUN)]
    Run(run::Args),
    /// Carry out several drills and keep a table of their results
    #[command(after_help = help::SERIES)]
    Series(series::Args),
    /// Show what a drill would do; change nothing
    #[command(after_help = help::PLAN)]
    Plan(plan::Args),
    /// Check drill and scenario files
    #[command(after_help = help::CHECK)]
    Check(check::Args),
    /// Write a commented first drill or scenario
    #[command(after_help = help::NEW)]
    New(new::Args),
    /// List what files may name, or explain one of them
    #[command(after_help = help::KINDS)]
    Kinds(kinds::Args),
    /// Print JSON Schemas
    #[command(after_help = help::SCHEMA)]
    Schema(schema::Args),
    /// Judge a run again from its timeline
    #[command(after_help = help::REPORT)]
    Report(report::Args),
    /// List the runs
    #[command(after_help = help::RUNS)]
    Runs(runs::Args),
    /// Remove what dead runs left behind
    #[command(after_help = help::CLEANUP)]
    Cleanup(cleanup::Args),
    /// Take a backup into each repository of a protection
    #[command(after_help = help::BACKUP)]
    Backup(backup::Args),
    /// Receive the log of a protection's server as it is written
    #[command(after_help = help::RECEIVE)]
    Receive(receive::Args),
    /// List the recovery points of a protection
    #[command(after_help = help::POINTS)]
    Points(points::Args),
    /// Read every byte of the repositories of a protection
    #[command(after_help = help::VERIFY)]
    Verify(verify::Args),
    /// Copy the points of a protection from one repository into another
    #[command(after_help = help::COPY)]
    Copy(copy::Args),
    /// Remove the points of a protection whose time is over
    #[command(after_help = help::PRUNE)]
    Prune(prune::Args),
    /// Print what a key must be allowed to do with a repository of a protection
    #[command(after_help = help::POLICY)]
    Policy(policy::Args),
    /// Bring back a repository whose files were deleted, where its bucket keeps their versions
    #[command(after_help = help::UNDELETE_REPOSITORY)]
    UndeleteRepository(undelete_repository::Args),
    /// Restore a point of a protection, or a standing platform that a run left broken
    #[command(after_help = help::RESTORE)]
    Restore(restore::Args),
    /// Change the stored places of artifacts that were moved, and prove that all are found
    #[command(name = "re-point", after_help = help::RE_POINT)]
    RePoint(re_point::Args),
    /// Print a shell's completions
    #[command(after_help = help::COMPLETIONS)]
    Completions(completions::Args),
    /// Write the manual pages
    #[command(after_help = help::MAN, hide = true)]
    Man(man::Args),
}

/// What a command answers: its exit code.
pub(crate) type CommandResult = Result<u8, Failure>;

/// The program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(end(pointers::answer(&error))),
    };
    console::set_colour(cli.color);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let answer = match runtime {
        Ok(runtime) => {
            let answer = runtime.block_on(command(cli.command));
            runtime.shutdown_background(); // a slow answer that nobody waits for must not hold the program up
            answer
        }
        Err(error) => Err(Error::caused_by("cannot start", error).into()),
    };
    ExitCode::from(end(answer))
}

/// The exit code of an answer; what went wrong is said, and all that was said is written.
fn end(answer: CommandResult) -> u8 {
    let code = answer.unwrap_or_else(|failure| complain(&failure));
    talk_writer::settle();
    code
}

async fn command(command: Command) -> CommandResult {
    if matches!(command, Command::Run(_) | Command::Series(_) | Command::Plan(_) | Command::Cleanup(_)) {
        let what = "cannot use a folder for a user without a home";
        let hint = "set HOME, or LIFEBOAT_STATE and LIFEBOAT_CACHE";
        store::check_homeless().map_err(|error| Error::caused_by(what, error).hint(hint))?;
    }
    match command {
        Command::Run(args) => run::main(&args).await,
        Command::Series(args) => series::main(&args).await,
        Command::Plan(args) => plan::main(&args).await,
        Command::Check(args) => check::main(&args),
        Command::New(args) => new::main(&args),
        Command::Kinds(args) => kinds::main(&args),
        Command::Schema(args) => schema::main(&args),
        Command::Report(args) => report::main(&args),
        Command::Runs(args) => runs::main(&args),
        Command::Cleanup(args) => cleanup::main(&args).await,
        Command::Backup(args) => backup::main(&args).await,
        Command::Receive(args) => receive::main(&args).await,
        Command::Points(args) => points::main(&args).await,
        Command::Verify(args) => verify::main(&args).await,
        Command::Copy(args) => copy::main(&args).await,
        Command::Prune(args) => prune::main(&args).await,
        Command::Policy(args) => policy::main(&args),
        Command::UndeleteRepository(args) => undelete_repository::main(&args).await,
        Command::Restore(args) => restore::main(&args).await,
        Command::RePoint(args) => re_point::main(&args).await,
        Command::Completions(args) => completions::main(&args),
        Command::Man(args) => man::main(&args),
    }
}

/// Says what stands against a drill, if anything: then nothing was touched, and this is the exit code.
fn objection(survey: &Survey) -> Option<u8> {
    for text in survey.refusals.iter().chain(&survey.problems) {
        say(format!("error: {text}"));
    }
    let code = match (survey.refusals.is_empty(), survey.problems.is_empty()) {
        (true, true) => return None,
        (false, _) => exit::REFUSED,
        (true, false) => exit::USAGE,
    };
    say("nothing was touched");
    Some(code)
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
