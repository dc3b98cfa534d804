//! Which facts of a run are worth a line, and in which words.
//!
//! Apart from what shows the lines: here and nowhere else is decided what people hear of.

use crate::model::{Fact, Finding};
use crate::report::words::{painted, time};

/// How much a command says while it works.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct Talk {
    /// Say only the result and errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more: each backup, each write without an answer, what the checks planted
    #[arg(short, long)]
    pub(super) verbose: bool,
}

/// A fact in words, if people want to hear of it.
pub(super) fn said(fact: &Fact, talk: Talk) -> Option<String> {
    let text = wrong(fact).or_else(|| usual(fact).filter(|_| !talk.quiet));
    text.or_else(|| more(fact).filter(|_| talk.verbose))
}

fn why(reason: Option<&String>) -> String {
    reason.map(|why| format!(": {why}")).unwrap_or_default()
}

fn found(finding: &Finding) -> String {
    format!("{}{}", painted(&finding.verdict.to_string()), why(finding.reason.as_ref()))
}

/// What went wrong: it is said in any case.
fn wrong(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::Injected { error: Some(error), .. } => format!("the fault could not be injected: {error}"),
        Fact::Lifted { error: Some(error), .. } => format!("the fault could not be lifted: {error}"),
        Fact::BackupEnded { number, error: Some(error), .. } => format!("backup {number} failed: {error}"),
        Fact::Interrupted => "interrupted: undoing; once more to leave at once".into(),
        Fact::Left(thing) => format!("left behind: {thing}"),
        _ => return None,
    })
}

/// What is said unless the command is to be quiet.
fn usual(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::Began { run, .. } => format!("run {run}"),
        Fact::Phase(phase) => format!("phase {phase}"),
        Fact::Intended { kind, .. } => format!("fault {kind}"),
        Fact::Confirmed { finding, .. } => format!("fault's effect: {}", found(finding)),
        Fact::Lifted { error: None, .. } => "fault lifted".into(),
        Fact::StepBegan { id, .. } => format!("step {id}"),
        Fact::StepEnded { id, finding } => format!("step {id}: {}", found(finding)),
        Fact::StepSkipped { id, reason, .. } => format!("step {id} skipped: {reason}"),
        Fact::BackupEnded { number, point: Some(_), .. } => format!("backup {number} is complete"),
        Fact::Stalled { suspended, .. } if !suspended.0.is_zero() => {
            format!("the machine was suspended for {}", time(suspended.as_seconds()))
        }
        Fact::Stalled { from, to, .. } => format!("Lifeboat itself was stalled for {}", time(to.since(*from))),
        Fact::Checked { check, finding } => format!("check {check}: {}", found(finding)),
        Fact::Decided { what, verdict, reason, .. } => {
            format!("{what}: {}{}", painted(&verdict.to_string()), why(reason.as_ref()))
        }
        Fact::Removed => "all that was created is removed".into(),
        Fact::Note(text) => text.clone(),
        _ => return None,
    })
}

/// What is said on request only.
fn more(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::BackupBegan { number } => format!("backup {number} began"),
        Fact::Injecting { .. } => "injecting the fault".into(),
        Fact::Injected { error: None, .. } => "the fault is injected".into(),
        Fact::Planted { check, .. } => format!("check {check} has planted what it will look for"),
        Fact::Unanswered { mark, reason } => format!("write {mark} got no good answer: {reason}"),
        Fact::Ended => "the run ended".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::model::{Answer, Answered};

    const QUIET: Talk = Talk { quiet: true, verbose: false };

    #[test]
    fn a_failed_step_is_told_with_its_reason_and_an_answer_is_not_told() {
        let fact = Fact::StepEnded { id: "restore-postgres".into(), finding: Finding::missed("no point") };
        let text = said(&fact, Talk::default()).unwrap_or_default();
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), "step restore-postgres: missed: no point");
        let at = Moment(0);
        let answer = Fact::Answered(Answered { probe: 0, due: at, asked: at, ended: at, answer: Answer::Served });
        assert_eq!(said(&answer, Talk::default()), None);
    }

    #[test]
    fn a_quiet_command_says_what_is_left_behind_and_no_phase() {
        assert_eq!(said(&Fact::Left("a folder".into()), QUIET).as_deref(), Some("left behind: a folder"));
        assert_eq!(said(&Fact::Note("seeded".into()), QUIET), None);
        assert_eq!(said(&Fact::BackupBegan { number: 1 }, Talk::default()), None);
        assert!(said(&Fact::BackupBegan { number: 1 }, Talk { quiet: false, verbose: true }).is_some());
    }
}
