//! A history: the facts of a timeline, sorted in one pass by what the rules of measurement need.
//!
//! Apart from the rules so that each of them reads a small struct and not a million lines. It borrows the long texts and
//! copies only numbers. Not here: any verdict.

use super::onset::{self, FaultHistory};
use super::streak::{ProbeTick, TickOutcome, Watched};
use crate::clock::Moment;
use crate::model::{
    Answer, Answered, Expected, Fact, Finding, JudgementKind, Line, Mark, MarkState, Objectives, Phase, RecoveryPoint,
    Span, Terms, Verdict,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A time at which the harness itself was stalled.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Stall {
    /// The last heartbeat before.
    pub from: Moment,
    /// The first heartbeat after.
    pub to: Moment,
    /// Seconds that the machine was suspended meanwhile; no clock of the run counts them.
    pub suspended: f64,
}

/// One mark and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct MarkHistory<'a> {
    /// The mark as it was sent.
    pub mark: &'a Mark,
    /// When it was entered in the ledger, right before it was sent.
    pub sent: Moment,
    /// When all its parts were acknowledged.
    pub acknowledged: Option<Moment>,
    /// The id of its subject, if the acknowledgement has it.
    pub at: Option<&'a str>,
    /// What became of it.
    pub state: Option<MarkState>,
}

/// One step of the runbook.
#[derive(Debug, Clone, Copy)]
pub struct StepHistory<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// When it began.
    pub begin: Moment,
    /// When and how it ended.
    pub end: Option<(Moment, &'a Finding)>,
}

/// A decision of the run about itself.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// What sort of thing was judged.
    pub kind: JudgementKind,
    /// What was judged.
    pub what: &'a str,
    /// How.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<&'a str>,
}

/// A timeline, sorted by what the rules of measurement need.
#[derive(Debug)]
pub struct History<'a> {
    /// The run's name, Lifeboat's version and the plan's digest; none if the timeline does not begin with them.
    pub began: Option<[&'a str; 3]>,
    /// The objectives, probes and checks of the drill.
    pub terms: Terms,
    /// Wall time of the first line.
    pub wall: Option<Timestamp>,
    /// The last moment of the timeline.
    pub end: Moment,
    /// When watching ended: at tear-down, else with the timeline.
    pub watched_until: Moment,
    /// The phases and their beginnings.
    pub phases: Vec<(Phase, Moment)>,
    /// The faults, in order of their first mention.
    pub faults: Vec<FaultHistory<'a>>,
    /// What each probe saw.
    pub watched: Vec<Watched>,
    /// When the harness was stalled, in order.
    pub stalls: Vec<Stall>,
    /// The marks, in order of sending.
    pub marks: Vec<MarkHistory<'a>>,
    /// The last finding of each check.
    pub checked: BTreeMap<&'a str, (Moment, &'a Finding)>,
    /// The runbook's steps that were carried out.
    pub steps: Vec<StepHistory<'a>>,
    /// The steps that were not carried out: id and reason.
    pub skipped: Vec<(&'a str, &'a str)>,
    /// The points that backups made.
    pub points: Vec<RecoveryPoint>,
    /// The backups that made none, and why.
    pub failed_backups: Vec<(u64, &'a str)>,
    /// The faults that could not be lifted, and why; one that was lifted later is not among them.
    pub unlifted: BTreeMap<usize, &'a str>,
    /// What the run decided about itself.
    pub decisions: Vec<Decision<'a>>,
    /// Notes, with their times.
    pub notes: Vec<(Moment, &'a str)>,
    /// What was left behind.
    pub left: Vec<&'a str>,
    /// Did the user stop it?
    pub interrupted: bool,
    /// Did the run reach its end?
    pub ended: bool,
    numbers: HashMap<u64, usize>,
}

impl<'a> History<'a> {
    /// Reads a timeline.
    pub fn read(lines: &'a [Line]) -> Self {
        let mut history = Self::blank();
        history.wall = lines.first().map(|line| line.wall);
        for line in lines {
            history.end = history.end.max(line.at);
            history.add(line);
        }
        let teardown = history.phases.iter().find(|(phase, _)| *phase == Phase::Teardown);
        history.watched_until = teardown.map_or(history.end, |(_, at)| *at);
        history.stalls.sort_by_key(|stall| stall.from);
        let Self { watched, stalls, watched_until, .. } = &mut history;
        for watched in watched {
            stalls.iter().for_each(|stall| watched.stalled(stall.from, stall.to));
            watched.close(*watched_until);
        }
        history
    }

    /// Did the run come to this phase?
    pub fn reached(&self, wanted: Phase) -> bool {
        self.phases.iter().any(|(phase, _)| *phase == wanted)
    }

    /// Seconds for which the machine was suspended between two moments.
    pub fn suspended(&self, from: Moment, to: Moment) -> f64 {
        self.stalls.iter().filter(|stall| stall.to >= from && stall.from <= to).map(|stall| stall.suspended).sum()
    }

    /// Why no fault was injected, if the run decided so.
    pub fn not_injected(&self) -> Option<String> {
        let failed = self.decisions.iter().any(|d| d.kind == JudgementKind::Baseline && d.verdict != Verdict::Met);
        failed.then(|| "no fault was injected: the baseline failed".to_owned())
    }

    fn blank() -> Self {
        Self {
            began: None,
            terms: no_terms(),
            wall: None,
            end: Moment::default(),
            watched_until: Moment::default(),
            phases: vec![],
            faults: vec![],
            watched: vec![],
            stalls: vec![],
            marks: vec![],
            checked: BTreeMap::new(),
            steps: vec![],
            skipped: vec![],
            points: vec![],
            failed_backups: vec![],
            unlifted: BTreeMap::new(),
            decisions: vec![],
            notes: vec![],
            left: vec![],
            interrupted: false,
            ended: false,
            numbers: HashMap::new(),
        }
    }

    fn add(&mut self, line: &'a Line) {
        match &line.fact {
            Fact::Began { run, version, plan, terms } => {
                self.began = Some([run, version, plan]);
                self.watched.resize_with(terms.probes.len(), Watched::default);
                self.terms = Terms::clone(terms);
            }
            Fact::Answered(answered) => self.answered(answered),
            Fact::Stalled { from, to, suspended } => {
                self.stalls.push(Stall { from: *from, to: *to, suspended: suspended.as_seconds() });
            }
            Fact::Sending(_) | Fact::Acknowledged { .. } | Fact::MarkState { .. } => self.marked(line),
            Fact::Phase(phase) => self.phases.push((*phase, line.at)),
            Fact::StepBegan { id, kind } => self.steps.push(StepHistory { id, kind, begin: line.at, end: None }),
            Fact::StepEnded { id, finding } => {
                if let Some(step) = self.steps.iter_mut().rfind(|step| step.id == id && step.end.is_none()) {
                    step.end = Some((line.at, finding));
                }
            }
            Fact::StepSkipped { id, reason, .. } => self.skipped.push((id, reason)),
            Fact::BackupEnded { number, point, error } => {
                self.points.extend(point.clone());
                self.failed_backups.extend(error.as_deref().map(|error| (*number, error)));
            }
            Fact::Checked { check, finding } => {
                self.checked.insert(check, (line.at, finding));
            }
            Fact::Decided { kind, what, verdict, reason } => {
                self.decisions.push(Decision { kind: *kind, what, verdict: *verdict, reason: reason.as_deref() });
            }
            Fact::Note(text) => self.notes.push((line.at, text)),
            Fact::Left(what) => self.left.push(what),
            Fact::Removed => self.left.clear(), // a later cleanup removed it all
            // During an ordinary tear-down there is nothing more to judge.
            Fact::Interrupted => self.interrupted |= self.phases.iter().all(|(phase, _)| *phase != Phase::Teardown),
            Fact::Ended => self.ended = true,
            Fact::Lifted { fault, error: None } => drop(self.unlifted.remove(fault)),
            Fact::Lifted { fault, error: Some(error) } => drop(self.unlifted.insert(*fault, error)),
            _ => onset::add(&mut self.faults, line),
        }
    }

    fn answered(&mut self, answered: &Answered) {
        let Answered { probe, due, asked, ended, answer } = answered;
        let outcome = match answer {
            Answer::Served => TickOutcome::Served,
            Answer::Failed(_) => TickOutcome::Failed,
            Answer::Unasked => TickOutcome::Unasked,
        };
        if let Some(watched) = self.watched.get_mut(*probe) {
            watched.add(ProbeTick { due: *due, asked: *asked, ended: *ended, outcome });
        }
    }

    fn marked(&mut self, line: &'a Line) {
        match &line.fact {
            Fact::Sending(mark) => {
                self.numbers.insert(mark.number, self.marks.len());
                self.marks.push(MarkHistory { mark, sent: line.at, acknowledged: None, at: None, state: None });
            }
            Fact::Acknowledged { mark, at } => {
                if let Some(mark) = self.numbers.get(mark).and_then(|index| self.marks.get_mut(*index)) {
                    mark.acknowledged.get_or_insert(line.at);
                    mark.at = at.as_deref().or(mark.at);
                }
            }
            Fact::MarkState { mark, state } => {
                if let Some(mark) = self.numbers.get(mark).and_then(|index| self.marks.get_mut(*index)) {
                    mark.state = Some(*state);
                }
            }
            _ => {}
        }
    }
}

/// The terms of a timeline without any: no objectives, probes or checks.
fn no_terms() -> Terms {
    Terms {
        drill: String::new(),
        scenario: String::new(),
        about: String::new(),
        requirements: vec![],
        expected: Expected::Met,
        environment: String::new(),
        objectives: Objectives::default(),
        probes: vec![],
        checks: vec![],
        runbook: vec![],
        stable: Span(Duration::ZERO),
        streak: 1,
        recovery: Span(Duration::ZERO),
        workload: false,
    }
}
