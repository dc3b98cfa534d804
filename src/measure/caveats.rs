//! Caveats: why the numbers may be wrong or incomplete, and what to do about it.
//!
//! Apart from the verdicts because a caveat changes none of them.

use super::history::History;
use super::streak::ProbeTick;
use crate::model::report::{Measurement, Report};
use crate::model::{Depth, Onset, Verdict};

/// A probe that asks later than this, at the 99th percentile, gets a caveat: the machine is too busy.
const LATE_MS: f64 = 10.0;
/// A band wider than this share of the objective gets a caveat.
const WIDE: f64 = 0.1;

/// Every caveat that the timeline gives a reason for.
pub fn caveats(history: &History, onset: &Result<Onset, String>, depth: Option<Depth>, report: &Report) -> Vec<String> {
    let mut caveats = vec!["This is a single run: repeat the drill before you trust its numbers.".to_owned()];
    caveats.extend(objectives(history, depth));
    let judged = depth.and_then(|depth| report.measurements.rta.get(&depth));
    caveats.extend(judged.and_then(|rta| wide("recovery time", "probe more often", rta)));
    caveats.extend(wide("recovery point", "write more often", &report.measurements.rpa.strict));
    caveats.extend(watching(history, report));
    caveats.extend(writing(history, onset, report));
    caveats.extend(recovering(history, report));
    caveats
}

fn objectives(history: &History, depth: Option<Depth>) -> Vec<String> {
    let (promised, mut caveats) = (&history.terms.objectives, vec![]);
    if promised.rto.is_none() {
        caveats.push("There is no RTO: the recovery time was measured and not judged.".to_owned());
    }
    if promised.rpo.is_none() && history.terms.workload {
        caveats.push("There is no RPO: the loss was measured and not judged.".to_owned());
    }
    if promised.rpo.is_some() && !history.terms.workload {
        caveats.push("There is an RPO but no workload: add a workload, so that it can be judged.".to_owned());
    }
    if depth == Some(Depth::Health) {
        caveats.push(
            "The recovery time is that of `health`, which MLflow answers without its database: probe a deeper depth."
                .into(),
        );
    }
    caveats
}

fn wide(what: &str, advice: &str, measured: &Measurement) -> Option<String> {
    let (width, objective) = (measured.high? - measured.low?, measured.objective?);
    (width > WIDE * objective)
        .then(|| format!("The {what} is uncertain by {width:.2} s, more than a tenth of the objective: {advice}."))
}

fn watching(history: &History, report: &Report) -> Vec<String> {
    let mut caveats = vec![];
    for (probe, watched) in report.probes.iter().zip(&history.watched) {
        let ticks = watched.ticks();
        let (depth, all) = (probe.depth, ticks.len());
        if all == 0 {
            caveats.push(format!("The `{depth}` probe never asked."));
        }
        if probe.unasked > 0 {
            let unasked = probe.unasked;
            caveats.push(format!(
                "The `{depth}` probe could not ask {unasked} of {all} times: an outage may be hidden there."
            ));
        }
        if probe.late_p99_ms > LATE_MS {
            let late = probe.late_p99_ms;
            caveats.push(format!("The `{depth}` probe asked up to {late:.0} ms late (p99): this machine is too busy."));
        }
        if let Some(gone) = gone(ticks, probe.every) {
            caveats.push(format!(
                "About {gone} ticks of the `{depth}` probe are missing in the timeline: the true recovery time may be longer."
            ));
        }
    }
    if !history.stalls.is_empty() {
        let (times, seconds) =
            (history.stalls.len(), history.stalls.iter().map(|stall| stall.to.since(stall.from)).sum::<f64>());
        caveats.push(format!(
            "Lifeboat itself was stalled {times} times, {seconds:.2} s in all; failures at those times are not counted."
        ));
    }
    let suspended: f64 = history.stalls.iter().map(|stall| stall.suspended).sum();
    if suspended > 0.0 {
        caveats.push(format!(
            "The machine was suspended for {suspended:.0} s: nobody watched then, and times after the onset may be longer by that."
        ));
    }
    caveats
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
    let (writes, mut caveats) = (&report.writes, vec![]);
    if writes.indeterminate > 0 {
        let (n, sent) = (writes.indeterminate, writes.sent);
        caveats.push(format!(
            "{n} of {sent} writes were not acknowledged: they may or may not be there, and count neither as survived nor as lost."
        ));
    }
    if let Ok(onset) = onset {
        let at = |marks: &super::history::MarkHistory| marks.acknowledged.filter(|at| *at <= onset.injecting);
        let before: Vec<_> = history.marks.iter().filter_map(at).collect();
        let span = before.iter().min().zip(before.iter().max()).map_or(0.0, |(first, last)| last.since(*first));
        if span > 0.0 {
            let rate = (before.len() - 1) as f64 / span;
            caveats.push(format!(
                "Before the onset {rate:.2} writes per second were acknowledged: the time of a loss is not known more precisely."
            ));
        }
        let after = report.losses.iter().filter(|loss| loss.at > onset.confirmed.seconds()).count();
        if after > 0 && history.terms.objectives.rpo.is_none() {
            caveats.push(format!("{after} losses are of writes acknowledged after the disaster."));
        }
    }
    caveats
}

fn recovering(history: &History, report: &Report) -> Vec<String> {
    let mut caveats = vec![];
    let optional = |id: &str| history.terms.runbook.iter().any(|step| step.id == id && step.optional);
    for step in report.steps.iter().filter(|step| step.verdict != Verdict::Met) {
        let reason = step.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let may = if optional(&step.id) { "optional step" } else { "step" };
        caveats.push(format!("The {may} `{}` is {}{reason}.", step.id, step.verdict));
    }
    if let Some((number, why)) = history.failed_backups.first() {
        let failed = history.failed_backups.len();
        let backups = if failed == 1 { "backup" } else { "backups" };
        caveats.push(format!("{failed} {backups} failed, first number {number}: {why}."));
    }
    caveats
}
