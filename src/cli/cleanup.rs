//! `lifeboat cleanup`: removes what dead runs left behind, with nothing but their folders.

use super::console::say;
use super::find::{Reports, find_run, run_name};
use super::progress::Progress;
use super::talk::Talk;
use super::{CommandResult, Failure, exit};
use crate::environment::DeadServers;
use crate::model::{Fact, Line, Span};
use crate::outside::plain;
use crate::store;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `cleanup` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's folder or name; without it all dead runs that did not clean up
    run: Option<String>,
    /// Also remove the platforms that were kept on purpose (`keep: true`)
    #[arg(long, conflicts_with = "run")]
    kept: bool,
    /// How long each undo may take before the next follows
    #[arg(long, value_name = "TIME", default_value = "30s")]
    within: Span,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    reports: Reports,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let reports = args.reports.folder.as_path();
    let (mut folders, mut kept, mut left) = (vec![], vec![], vec![]);
    match &args.run {
        Some(run) => folders.push(find_run(reports, run)?),
        None => (folders, kept, left) = unclean(reports),
    }
    if args.kept {
        folders.append(&mut kept);
    }
    for folder in &folders {
        let name = run_name(folder);
        if crate::run::alive(folder) {
            let hint = "stop it with Ctrl-C: it cleans up itself".to_owned();
            return Err(Failure::Usage(format!("the run `{name}` is still going on"), Some(hint)));
        }
        if !args.talk.quiet {
            say(format!("cleaning up after {name}"));
        }
        match crate::run::cleanup(folder, Arc::new(Progress::plain(args.talk)), args.within.0).await {
            Ok(things) => left.extend(things.into_iter().map(|thing| format!("{name}: {thing}"))),
            Err(error) => left.push(format!("{name}: {error}")),
        }
    }
    let servers = if args.run.is_none() { DeadServers::remove().await } else { DeadServers::default() };
    servers.removed.iter().for_each(|folder| say(format!("removed a throw-away server in {}", folder.display())));
    left.extend(servers.left);
    for thing in &left {
        say(format!("left behind: {}", plain(thing)));
    }
    for name in kept.iter().map(|folder| run_name(folder)) {
        say(format!("the platform of {name} was kept on purpose: `lifeboat cleanup {name}` removes it"));
    }
    if left.is_empty() {
        say(if folders.is_empty() && servers.removed.is_empty() { "nothing to clean up" } else { "all is gone" });
    }
    Ok(if left.is_empty() { exit::MET } else { exit::LEFT })
}

/// What is there of a run that is dead.
#[derive(Debug, PartialEq, Eq)]
enum Remains {
    /// It said that all is removed.
    Nothing,
    /// It came to its end and kept its platform, as its drill says.
    Kept,
    /// Something, perhaps.
    Something,
}

/// The dead runs that have something to remove, those whose platform was kept on purpose, and those that cannot be read.
fn unclean(reports: &Path) -> (Vec<PathBuf>, Vec<PathBuf>, Vec<String>) {
    let (mut folders, mut kept, mut unreadable) = (vec![], vec![], vec![]);
    for folder in store::runs(reports) {
        if crate::run::alive(&folder) {
            continue;
        }
        let whole = || folder.canonicalize().unwrap_or_else(|_| folder.clone());
        match store::read_timeline(&folder).map(|lines| remains(&lines)) {
            Ok(Remains::Something) => folders.push(whole()),
            Ok(Remains::Kept) => kept.push(whole()),
            Ok(Remains::Nothing) => {}
            Err(error) => unreadable.push(format!("{}: the timeline: {error}", run_name(&folder))),
        }
    }
    (folders, kept, unreadable)
}

/// The last word of a run about what it made. One that ends has removed it, or named what is left, or kept it.
fn remains(lines: &[Line]) -> Remains {
    let about = |line: &&Line| {
        use Fact::{Acting, Began, Creating, Ended, Left, Removed};
        matches!(line.fact, Began { .. } | Creating(_) | Acting(_) | Removed | Left(_) | Ended)
    };
    let mut last = lines.iter().rev().filter(about).map(|line| &line.fact);
    match (last.next(), last.next()) {
        (None | Some(Fact::Removed), _) | (Some(Fact::Ended), Some(Fact::Removed) | None) => Remains::Nothing,
        (Some(Fact::Ended), Some(Fact::Began { .. } | Fact::Creating(_) | Fact::Acting(_))) => Remains::Kept,
        _ => Remains::Something,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Moment, wall};
    use crate::model::Receipt;

    fn lines(facts: &[Fact]) -> Vec<Line> {
        facts.iter().map(|fact| Line::new(Moment(0), wall(), fact.clone())).collect()
    }

    #[test]
    fn a_run_has_something_to_remove_until_it_says_that_all_is_removed_or_kept() {
        let creating = Fact::Creating(Receipt(serde_json::Value::Null));
        let of = |facts: &[&Fact]| remains(&lines(&facts.iter().map(|fact| (*fact).clone()).collect::<Vec<_>>()));
        let (left, note) = (Fact::Left("a folder".into()), Fact::Note("killed".into()));
        assert_eq!(of(&[&creating, &note]), Remains::Something);
        assert_eq!(of(&[&creating, &Fact::Removed, &Fact::Ended]), Remains::Nothing);
        assert_eq!(of(&[&Fact::Removed, &creating]), Remains::Something, "what came after the removal is still there");
        assert_eq!(of(&[&creating, &Fact::Removed, &left, &Fact::Ended]), Remains::Something);
        assert_eq!(of(&[&creating, &left, &Fact::Ended, &Fact::Removed]), Remains::Nothing, "a cleanup removed it");
        assert_eq!(of(&[&creating, &note, &Fact::Ended]), Remains::Kept);
        assert_eq!(of(&[]), Remains::Nothing);
    }
}
