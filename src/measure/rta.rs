//! Recovery time actual: from the onset to the moment from which clients are served and stay served.
//!
//! Apart from the recovery point because it reads only the probes' answers. Answers are in the order of asking, because a
//! slow answer of the old server may come after a quick one of the new server.

use super::band::Band;
use super::history::{History, ProbeTick, TickOutcome};
use crate::clock::Moment;
use crate::model::{Depth, Onset, Watch};
use std::collections::BTreeMap;

/// An outage is detected after this many consecutive failures.
const DETECTED: usize = 3;

/// The outage as one probe saw it, or the worst of several.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outage {
    /// The recovery time.
    pub band: Band,
    /// When the first question was asked that failed.
    pub first_failed: Option<Moment>,
    /// When the third failure in a row ended.
    pub detected: Option<Moment>,
    /// When the first question after a failed one was asked that was served.
    pub first_good: Option<Moment>,
    /// Since when the service is stable: when the first question of the stable streak was asked.
    pub stable_since: Option<Moment>,
}

/// The outage at each depth that was probed. Of several probes at one depth the worst counts.
pub fn outages(history: &History, onset: &Result<Onset, String>) -> BTreeMap<Depth, Outage> {
    let mut outages: BTreeMap<Depth, Outage> = BTreeMap::new();
    for (watch, ticks) in history.terms.probes.iter().zip(&history.ticks) {
        let outage = match onset {
            Ok(onset) => outage(history, watch, ticks, *onset),
            Err(reason) => Outage { band: Band::unmeasured(reason), ..Outage::default() },
        };
        let worst = match outages.remove(&watch.depth) {
            Some(other) => worst(other, outage),
            None => outage,
        };
        outages.insert(watch.depth, worst);
    }
    outages
}

/// The depth that is judged: the one that the objectives name, else the deepest that is probed.
pub fn judged_depth(history: &History) -> Option<Depth> {
    history.terms.objectives.at.or(history.terms.probes.iter().map(|watch| watch.depth).max())
}

fn worst(a: Outage, b: Outage) -> Outage {
    let first = |a: Option<Moment>, b: Option<Moment>| [a, b].into_iter().flatten().min();
    Outage {
        first_failed: first(a.first_failed, b.first_failed),
        detected: first(a.detected, b.detected),
        first_good: a.first_good.max(b.first_good),
        stable_since: a.stable_since.zip(b.stable_since).map(|(a, b)| a.max(b)),
        band: a.band.worst(b.band),
    }
}

fn outage(history: &History, watch: &Watch, ticks: &[ProbeTick], onset: Onset) -> Outage {
    let until = history.watched_until;
    let after = |tick: &&ProbeTick| {
        tick.ended >= onset.injecting && tick.ended <= until && tick.outcome != TickOutcome::Unasked
    };
    let seen: Vec<&ProbeTick> = ticks.iter().filter(after).collect();
    let failed = |tick: &&&ProbeTick| tick.outcome == TickOutcome::Failed;
    let mut outage = Outage {
        first_failed: seen.iter().find(failed).map(|tick| tick.asked),
        detected: detected(&seen),
        ..Outage::default()
    };
    outage.first_good = outage.first_failed.and_then(|at| served_since(&seen, at)).map(|tick| tick.asked);
    match seen.iter().rfind(failed) {
        Some(last) => {
            let tail: Vec<&ProbeTick> = seen.iter().copied().filter(|tick| tick.asked > last.asked).collect();
            outage.stable_since = tail.first().filter(|_| stable(history, &tail)).map(|tick| tick.asked);
            outage.band = match (tail.first(), outage.stable_since) {
                (Some(good), Some(_)) => returned(onset, last, good),
                _ => not_back(history, onset, last, &tail, &seen),
            };
        }
        None => {
            let tail: Vec<&ProbeTick> = seen.iter().copied().filter(|tick| tick.asked >= onset.injecting).collect();
            outage.band = if stable(history, &tail) {
                Band::between(0.0, 0.0, Some(watch.every.as_seconds() + watch.timeout.as_seconds()))
            } else {
                Band::unmeasured(format!(
                    "only {} answers after the onset, too few to tell whether it was served",
                    tail.len()
                ))
            };
        }
    }
    if outage.band.seconds.is_some() {
        widen(&mut outage.band, unwatched(history, watch, ticks, onset), &seen, onset);
    }
    outage
}

/// The outage began within the onset. It ended between the asking of the last failed question and the end of the first
/// good answer after it.
fn returned(onset: Onset, last: &ProbeTick, good: &ProbeTick) -> Band {
    let (low, high) = (last.asked.since(onset.confirmed), good.ended.since(onset.injecting));
    Band::between(low, f64::midpoint(low, high), Some(high))
}

/// Not back, or served again but not long enough. In the second case the outage may have ended right after the last
/// failure, so the low end is there.
fn not_back(history: &History, onset: Onset, last: &ProbeTick, tail: &[&ProbeTick], seen: &[&ProbeTick]) -> Band {
    let terms = &history.terms;
    let (until, reason) = if tail.is_empty() {
        let until = seen.iter().map(|tick| tick.ended).max().unwrap_or(last.ended);
        let watched = until.since(onset.confirmed).max(0.0);
        (until, format!("not back when watching ended, {watched:.2} s after the onset"))
    } else {
        let (n, streak, stable) = (tail.len(), terms.streak, terms.stable);
        let what = format!("{n} good answers at the end, not {streak} over {stable}");
        (last.asked, format!("not back for good when watching ended: {what}"))
    };
    Band { seconds: None, low: Some(until.since(onset.confirmed).max(0.0)), high: None, reason: Some(reason) }
}

fn stable(history: &History, tail: &[&ProbeTick]) -> bool {
    let terms = &history.terms;
    let last = tail.iter().map(|tick| tick.ended).max();
    let long = |(first, last): (&&ProbeTick, Moment)| last.since(first.asked) >= terms.stable.as_seconds();
    tail.len() >= terms.streak.max(1) && tail.first().zip(last).is_some_and(long)
}

fn detected(seen: &[&ProbeTick]) -> Option<Moment> {
    let down = |window: &&[&ProbeTick]| window.iter().all(|tick| tick.outcome == TickOutcome::Failed);
    seen.windows(DETECTED).find(down).and_then(|window| window.iter().map(|tick| tick.ended).max())
}

fn served_since<'a>(seen: &[&'a ProbeTick], since: Moment) -> Option<&'a ProbeTick> {
    let from = seen.partition_point(|tick| tick.asked < since);
    seen[from..].iter().find(|tick| tick.outcome == TickOutcome::Served).copied()
}

/// The last moment after the onset at which no probe asked: an outage may be hidden there.
fn unwatched(history: &History, watch: &Watch, ticks: &[ProbeTick], onset: Onset) -> Option<Moment> {
    let within = |at: &Moment| *at >= onset.injecting && *at <= history.watched_until;
    let unasked = ticks.iter().filter(|tick| tick.outcome == TickOutcome::Unasked).map(|tick| tick.due);
    let long = |(from, to): &&(Moment, Moment)| to.since(*from) > watch.every.as_seconds();
    let stalled = history.stalls.iter().filter(long).map(|(_, to)| *to);
    unasked.chain(stalled).filter(within).max()
}

fn widen(band: &mut Band, unwatched: Option<Moment>, seen: &[&ProbeTick], onset: Onset) {
    let Some(unwatched) = unwatched else { return };
    let seen_again = served_since(seen, unwatched).map(|tick| tick.ended.since(onset.injecting));
    band.high = band.high.zip(seen_again).map(|(high, seen_again)| high.max(seen_again));
    if band.high.is_none() {
        band.reason = Some("no probe asked at the end of watching: an outage may be hidden there".into());
    }
}

#[cfg(test)]
#[path = "rta_tests.rs"]
mod tests;
