//! Why to doubt the numbers, and what to do about it: plain sentences, no verdicts.
//!
//! Apart from the verdicts because a caveat changes none: it is what an honest reader would ask next.

use super::history::{History, ProbeTick};
use crate::model::report::{Measurement, Report};
use crate::model::{Depth, Onset, Verdict};

/// Later than this at the 99th percentile, and the probes no longer keep their own places on the clock.
const LATE_MS: f64 = 10.0;
/// A band wider than this share of the objective is told.
const WIDE: f64 = 0.1;

/// Every doubt that the timeline gives reason for.
pub fn caveats(history: &History, onset: &Result<Onset, String>, depth: Option<Depth>, report: &Report) -> Vec<String> {
    let mut told = vec!["One run is a sample of one: repeat the drill before trusting its numbers.".to_owned()];
    told.extend(objectives(history, depth));
    let judged = depth.and_then(|depth| report.measurements.rta.get(&depth));
    told.extend(judged.and_then(|rta| wide("recovery time", "probe more often", rta)));
    told.extend(wide("recovery point", "write more often", &report.measurements.rpa.strict));
    told.extend(watching(history, report));
    told.extend(writing(history, onset, report));
    told.extend(recovering(history, report));
    told
}

fn objectives(history: &History, depth: Option<Depth>) -> Vec<String> {
    let (promised, mut told) = (&history.terms.objectives, vec![]);
    if promised.rto.is_none() {
        told.push("No RTO is promised: the recovery time was measured and not judged.".to_owned());
    }
    if promised.rpo.is_none() && history.terms.workload {
        told.push("No RPO is promised: the loss was measured and not judged.".to_owned());
    }
    if promised.rpo.is_some() && !history.terms.workload {
        told.push("An RPO is promised but nobody writes: add a workload to have it judged.".to_owned());
    }
    if depth == Some(Depth::Health) {
        told.push(
            "The recovery time is that of `health`, which may answer with the database gone: probe deeper.".into(),
        );
    }
    told
}

fn wide(what: &str, advice: &str, measured: &Measurement) -> Option<String> {
    let (width, objective) = (measured.high? - measured.low?, measured.objective?);
    (width > WIDE * objective)
        .then(|| format!("The {what} is known to {width:.2} s, more than a tenth of the objective: {advice}."))
}

fn watching(history: &History, report: &Report) -> Vec<String> {
    let mut told = vec![];
    for (probe, ticks) in report.probes.iter().zip(&history.ticks) {
        let (depth, all) = (probe.depth, ticks.len());
        if all == 0 {
            told.push(format!("The `{depth}` probe never asked."));
        }
        if probe.unasked > 0 {
            let unasked = probe.unasked;
            told.push(format!("The `{depth}` probe could not ask {unasked} of {all} times: an outage may hide there."));
        }
        if probe.late_p99_ms > LATE_MS {
            let late = probe.late_p99_ms;
            told.push(format!("The `{depth}` probe asked up to {late:.0} ms late (p99): this machine is too busy."));
        }
        if let Some(gone) = gone(ticks, probe.every) {
            told.push(format!(
                "The timeline lacks about {gone} ticks of the `{depth}` probe: its numbers may be too kind."
            ));
        }
    }
    if !history.stalls.is_empty() {
        let (times, seconds) =
            (history.stalls.len(), history.stalls.iter().map(|(from, to)| to.since(*from)).sum::<f64>());
        told.push(format!(
            "Lifeboat itself stood still {times} times, {seconds:.2} s in all; what failed then is not counted."
        ));
    }
    told
}

/// How many ticks are missing between the first and the last, if it is more than a few.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count of ticks
fn gone(ticks: &[ProbeTick], every: f64) -> Option<u64> {
    let due = |tick: &ProbeTick| tick.due;
    let (first, last) = (ticks.iter().map(due).min()?, ticks.iter().map(due).max()?);
    let gone = last.since(first) / every + 1.0 - ticks.len() as f64;
    (every > 0.0 && gone >= 1.5 + 0.02 * ticks.len() as f64).then_some(gone.round() as u64)
}

#[allow(clippy::cast_precision_loss)] // a count of writes
fn writing(history: &History, onset: &Result<Onset, String>, report: &Report) -> Vec<String> {
    let (writes, mut told) = (&report.writes, vec![]);
    if writes.indeterminate > 0 {
        let (n, sent) = (writes.indeterminate, writes.sent);
        told.push(format!(
            "{n} of {sent} writes got no good answer: they may or may not be there and count as neither."
        ));
    }
    if let Ok(onset) = onset {
        let at = |marks: &super::history::MarkHistory| marks.acknowledged.filter(|at| *at <= onset.injecting);
        let before: Vec<_> = history.marks.iter().filter_map(at).collect();
        let span = before.iter().min().zip(before.iter().max()).map_or(0.0, |(first, last)| last.since(*first));
        if span > 0.0 {
            let rate = (before.len() - 1) as f64 / span;
            told.push(format!(
                "Before the onset {rate:.2} writes per second were acknowledged: no loss can be dated finer."
            ));
        }
        let after = report.losses.iter().filter(|loss| loss.at > onset.confirmed.seconds()).count();
        if after > 0 && history.terms.objectives.rpo.is_none() {
            told.push(format!("{after} losses are of writes acknowledged after the disaster."));
        }
    }
    told
}

fn recovering(history: &History, report: &Report) -> Vec<String> {
    let mut told = vec![];
    for step in report.steps.iter().filter(|step| step.verdict != Verdict::Met) {
        let reason = step.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        told.push(format!("The step `{}` is {}{reason}.", step.id, step.verdict));
    }
    if let Some((number, why)) = history.failed_backups.first() {
        let failed = history.failed_backups.len();
        let backups = if failed == 1 { "backup" } else { "backups" };
        told.push(format!("{failed} {backups} failed, first number {number}: {why}."));
    }
    told.extend(history.unlifted.iter().map(|why| format!("A fault could not be lifted: {why}.")));
    told
}
