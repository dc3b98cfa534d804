//! Figures beside recovery time and recovery point: steps, phases, named moments, and the probes' own performance.
//!
//! Apart from the judging because nothing here is judged.

use super::history::History;
use super::rta::Outage;
use super::steady::{p99, percentile, time};
use super::streak::{ProbeTick, TickOutcome};
use crate::clock::Moment;
use crate::model::report::{Note, PhaseTime, ProbeFigures, Skipped, StepReport, WriteTimes};
use crate::model::{Onset, Phase, Verdict, Watch};
use std::collections::BTreeMap;

/// The runbook's steps that were carried out; one that never ended is unknown.
pub fn steps(history: &History) -> Vec<StepReport> {
    let step = |step: &super::history::StepHistory| {
        let (verdict, reason, figures) = match step.end {
            Some((_, finding)) => (finding.verdict, finding.reason.clone(), finding.figures.clone()),
            None => (Verdict::Unknown, Some("it did not end".into()), vec![]),
        };
        let (id, kind) = (step.id.to_owned(), step.kind.to_owned());
        let (begin, end) = (step.begin.seconds(), step.end.map(|(at, _)| at.seconds()));
        StepReport { id, kind, begin, end, verdict, reason, figures }
    };
    history.steps.iter().map(step).collect()
}

/// The steps that were not carried out.
pub fn skipped(history: &History) -> Vec<Skipped> {
    let skipped = |&(id, reason): &(&str, &str)| Skipped { id: id.to_owned(), reason: reason.to_owned() };
    history.skipped.iter().map(skipped).collect()
}

/// The notes of the run.
pub fn notes(history: &History) -> Vec<Note> {
    history.notes.iter().map(|(at, text)| Note { at: at.seconds(), text: (*text).to_owned() }).collect()
}

/// The phases, each until the next one.
pub fn phases(history: &History) -> Vec<PhaseTime> {
    let ends = history.phases.iter().skip(1).map(|(_, at)| *at).chain([history.end]);
    let time = |(&(phase, begin), end): (&(Phase, Moment), Moment)| PhaseTime {
        name: phase.to_string(),
        begin: begin.seconds(),
        end: end.seconds(),
    };
    history.phases.iter().zip(ends).map(time).collect()
}

/// The named moments of the run, as far as they occurred. Those of the outage are of the depth that is judged.
pub fn moments(history: &History, onset: &Result<Onset, String>, outage: Option<&Outage>) -> BTreeMap<String, f64> {
    let seen = |moment: fn(&Outage) -> Option<Moment>| outage.and_then(moment);
    let named = [
        ("injecting", history.faults.iter().filter_map(|fault| fault.injecting).min()),
        ("onset", onset.as_ref().ok().map(|onset| onset.confirmed)),
        ("first_failed", seen(|outage| outage.first_failed)),
        ("detected", seen(|outage| outage.detected)),
        ("recovery_started", history.steps.iter().map(|step| step.begin).min()),
        ("first_good", seen(|outage| outage.first_good)),
        ("stable_since", seen(|outage| outage.stable_since)),
        ("verified", verified(history)),
    ];
    named.into_iter().filter_map(|(name, at)| Some((name.to_owned(), at?.seconds()))).collect()
}

/// The performance of each probe over the whole run.
pub fn probes(history: &History, onset: &Result<Onset, String>) -> Vec<ProbeFigures> {
    let injecting = onset.as_ref().ok().map_or(history.end, |onset| onset.injecting);
    let probes = history.terms.probes.iter().zip(&history.watched);
    probes.map(|(watch, watched)| probe(*watch, watched.ticks(), injecting)).collect()
}

/// How long the writes before the onset took; nothing if none was acknowledged.
pub fn write_times(history: &History, onset: &Result<Onset, String>) -> Option<WriteTimes> {
    let injecting = onset.as_ref().ok().map_or(history.end, |onset| onset.injecting);
    let took = |percent| {
        let before = history.marks.iter().filter_map(|mark| Some((mark.sent, mark.acknowledged?)));
        let before = before.filter(|(_, at)| *at < injecting).map(|(sent, at)| at.since(sent) * 1000.0);
        percentile(percent, before)
    };
    Some(WriteTimes { median_ms: took(50)?, p99_ms: took(99)? })
}

/// The moment of the last check, if all checks of the drill are met.
fn verified(history: &History) -> Option<Moment> {
    let passed = |name: &String| {
        history.checked.get(name.as_str()).filter(|(_, finding)| finding.verdict == Verdict::Met).map(|(at, _)| *at)
    };
    history.terms.checks.iter().map(passed).collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn probe(watch: Watch, ticks: &[ProbeTick], injecting: Moment) -> ProbeFigures {
    let count = |outcome| ticks.iter().filter(|tick| tick.outcome == outcome).count() as u64;
    let late = ticks.iter().filter(|tick| tick.outcome != TickOutcome::Unasked).map(|tick| tick.asked.since(tick.due));
    let before = |tick: &&ProbeTick| tick.outcome == TickOutcome::Served && tick.asked < injecting;
    let took = ticks.iter().filter(before).map(time);
    ProbeFigures {
        depth: watch.depth,
        every: watch.every.as_seconds(),
        timeout: watch.timeout.as_seconds(),
        served: count(TickOutcome::Served),
        failed: count(TickOutcome::Failed),
        unasked: count(TickOutcome::Unasked),
        late_p99_ms: p99(late).unwrap_or(0.0) * 1000.0,
        baseline_p99_ms: p99(took).map(|seconds| seconds * 1000.0),
    }
}
