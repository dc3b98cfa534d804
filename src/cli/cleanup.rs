//! `lifeboat cleanup`: removes what dead runs left behind, with nothing but their folders.

use super::find::{Reports, find_run, run_name};
use super::progress::Progress;
use super::talk::Talk;
use super::{CommandResult, Failure, exit};
use crate::model::{Fact, Line};
use crate::store;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `cleanup` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's folder or name; without it all dead runs that did not clean up
    run: Option<String>,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    reports: Reports,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let reports = args.reports.folder.as_path();
    let (folders, mut left) = match &args.run {
        Some(run) => (vec![find_run(reports, run)?], vec![]),
        None => unclean(reports),
    };
    for folder in &folders {
        let name = run_name(folder);
        if crate::run::alive(folder) {
            let hint = "stop it with Ctrl-C: it cleans up itself".to_owned();
            return Err(Failure::Usage(format!("the run `{name}` is still going on"), Some(hint)));
        }
        if !args.talk.quiet {
            eprintln!("cleaning up after {name}");
        }
        match crate::run::cleanup(folder, Arc::new(Progress::plain(args.talk))).await {
            Ok(things) => left.extend(things.into_iter().map(|thing| format!("{name}: {thing}"))),
            Err(error) => left.push(format!("{name}: {error}")),
        }
    }
    for thing in &left {
        eprintln!("left behind: {thing}");
    }
    if left.is_empty() {
        eprintln!("{}", if folders.is_empty() { "nothing to clean up" } else { "all is gone" });
    }
    Ok(if left.is_empty() { exit::MET } else { exit::LEFT })
}

/// The dead runs that have something to remove, and those that cannot be read.
fn unclean(reports: &Path) -> (Vec<PathBuf>, Vec<String>) {
    let (mut folders, mut unreadable) = (vec![], vec![]);
    for folder in store::runs(reports) {
        if crate::run::alive(&folder) {
            continue;
        }
        match store::read_timeline(&folder) {
            Ok(lines) if owes(&lines) => folders.push(folder.canonicalize().unwrap_or(folder)),
            Ok(_) => {}
            Err(error) => unreadable.push(format!("{}: the timeline: {error}", run_name(&folder))),
        }
    }
    (folders, unreadable)
}

/// Did the run begin and never say that all is removed?
fn owes(lines: &[Line]) -> bool {
    let last =
        lines.iter().rev().find(|line| matches!(line.fact, Fact::Began { .. } | Fact::Creating(_) | Fact::Removed));
    last.is_some_and(|line| !matches!(line.fact, Fact::Removed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Moment, wall};
    use crate::model::Receipt;

    fn lines(facts: &[Fact]) -> Vec<Line> {
        let line = |fact: &Fact| Line {
            schema: 1,
            number: 0,
            at: Moment(0),
            wall: wall(),
            before: String::new(),
            fact: fact.clone(),
        };
        facts.iter().map(line).collect()
    }

    #[test]
    fn a_run_owes_a_removal_until_it_says_that_all_is_removed() {
        let creating = Fact::Creating(Receipt(serde_json::Value::Null));
        assert!(owes(&lines(&[creating.clone(), Fact::Note("killed".into())])));
        assert!(!owes(&lines(&[creating.clone(), Fact::Removed, Fact::Ended])));
        assert!(owes(&lines(&[Fact::Removed, creating])), "what came after the removal is still there");
        assert!(!owes(&lines(&[])));
    }
}
