//! Recovery time actual: from the onset to the moment from which clients are served and stay served.
//!
//! Apart from the recovery point because it reads only the probes' answers. Streaks are `streak`'s.

use super::band::Band;
use super::history::History;
use super::streak::{ProbeTick, TickOutcome, Watched};
use crate::clock::Moment;
use crate::model::{Depth, Onset, Watch};
use std::collections::BTreeMap;

/// Was the service back when watching ended?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Return {
    /// It was stable.
    Stable,
    /// Too few answers tell.
    #[default]
    Unknown,
    /// The last answers failed.
    Down,
}

/// The outage as one probe saw it, or the worst of several.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outage {
    /// The recovery time.
    pub band: Band,
    /// Was the service back when watching ended?
    pub back: Return,
    /// When the first question was asked that failed.
    pub first_failed: Option<Moment>,
    /// When the outage was detected.
    pub detected: Option<Moment>,
    /// When the first question after a failed one was asked that was served.
    pub first_good: Option<Moment>,
    /// Since when the service is stable: when the first question of the stable streak was asked.
    pub stable_since: Option<Moment>,
}

/// The outage at each depth that was probed: the worst of all probes up to that depth, because each depth rests on the
/// shallower ones. MLflow serves artifacts while its database is gone.
pub fn outages(history: &History, onset: &Result<Onset, String>) -> BTreeMap<Depth, Outage> {
    let mut of_probes: Vec<(Depth, Outage)> = vec![];
    for (watch, watched) in history.terms.probes.iter().zip(&history.watched) {
        let outage = match onset {
            Ok(onset) => outage(history, watch, watched, *onset),
            Err(reason) => Outage { band: Band::unmeasured(reason), ..Outage::default() },
        };
        of_probes.push((watch.depth, outage));
    }
    of_probes.sort_by_key(|(depth, _)| *depth); // stable: of one depth in the order of the drill
    let mut outages: BTreeMap<Depth, Outage> = BTreeMap::new();
    for (depth, outage) in of_probes {
        let shallower = outages.last_key_value().map(|(_, outage)| outage.clone());
        let up_to = match shallower {
            Some(shallower) => worst(shallower, outage),
            None => outage,
        };
        outages.insert(depth, up_to);
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
        back: a.back.max(b.back),
        first_failed: first(a.first_failed, b.first_failed),
        detected: first(a.detected, b.detected),
        first_good: a.first_good.max(b.first_good),
        stable_since: a.stable_since.zip(b.stable_since).map(|(a, b)| a.max(b)),
        band: a.band.worst(b.band),
    }
}

fn outage(history: &History, watch: &Watch, watched: &Watched, onset: Onset) -> Outage {
    let rule = history.terms.rule();
    let after = |tick: &&ProbeTick| tick.ended >= onset.injecting && tick.outcome != TickOutcome::Unasked;
    let seen: Vec<&ProbeTick> = watched.ticks().iter().filter(after).collect();
    let failed = |tick: &&&ProbeTick| tick.outcome == TickOutcome::Failed;
    let first_failed = seen.iter().find(failed).map(|tick| tick.asked);
    let stable_since = watched.stable_since(onset.injecting, rule);
    let tail = watched.good_tail(onset.injecting);
    let (band, back) = match (seen.iter().rfind(failed), tail.first(), stable_since) {
        (Some(last), Some(good), Some(_)) if last.asked < good.asked => {
            (returned(history, onset, last, good), Return::Stable)
        }
        (Some(last), ..) => not_back(history, onset, last, &tail, &seen),
        (None, _, Some(_)) => {
            let high = watch.every.as_seconds() + watch.timeout.as_seconds();
            (Band::between(0.0, 0.0, Some(high)), Return::Stable)
        }
        (None, ..) => {
            let answers = tail.len();
            let reason = format!("only {answers} answers after the onset, too few to tell whether it was served");
            (Band::unmeasured(reason), Return::Unknown)
        }
    };
    let mut outage = Outage {
        band,
        back,
        first_failed,
        detected: watched.detected(onset.injecting, rule),
        first_good: first_failed.and_then(|at| served_since(&seen, at)).map(|tick| tick.asked),
        stable_since: stable_since.filter(|_| back == Return::Stable),
    };
    let gaps = watched.unwatched(watch.every.as_seconds());
    if outage.back == Return::Down && gaps.max() > seen.last().map(|tick| tick.asked) {
        outage.back = Return::Unknown; // it was down, and nobody watched after that
    }
    if outage.band.seconds.is_some() {
        widen(&mut outage.band, history, watch, watched, onset);
        if outage.band.high.is_none() {
            outage.back = Return::Unknown; // it was, and nobody watched after that
        }
    }
    outage
}

/// The outage began within the onset. It ended between the asking of the last failed question and the end of the first
/// good answer after it. Time for which the machine was suspended meanwhile may be part of it.
fn returned(history: &History, onset: Onset, last: &ProbeTick, good: &ProbeTick) -> Band {
    let low = last.asked.since(onset.confirmed);
    let high = good.ended.since(onset.injecting) + history.suspended(onset.injecting, good.ended);
    Band::between(low, f64::midpoint(low, high), Some(high))
}

/// Not back, or served again but not long enough. The low end is at the asking of the last failed question: right after
/// that the outage may have ended.
fn not_back(
    history: &History,
    onset: Onset,
    last: &ProbeTick,
    tail: &[&ProbeTick],
    seen: &[&ProbeTick],
) -> (Band, Return) {
    let terms = &history.terms;
    let (reason, back) = if tail.is_empty() && seen.last().is_some_and(|tick| tick.asked == last.asked) {
        let watched = last.asked.since(onset.confirmed).max(0.0);
        (format!("not back when watching ended, {watched:.2} s after the onset"), Return::Down)
    } else {
        let (n, streak, stable) = (tail.len(), terms.streak, terms.stable);
        let what = format!("{n} good answers at the end, not {streak} over {stable}");
        (format!("not back for good when watching ended: {what}"), Return::Unknown)
    };
    let low = Some(last.asked.since(onset.confirmed).max(0.0));
    (Band { seconds: None, low, high: None, reason: Some(reason) }, back)
}

fn served_since<'a>(seen: &[&'a ProbeTick], since: Moment) -> Option<&'a ProbeTick> {
    let from = seen.partition_point(|tick| tick.asked < since);
    seen[from..].iter().find(|tick| tick.outcome == TickOutcome::Served).copied()
}

/// The last moment after the onset up to which nobody asked for long, or from which no answer is known: an outage may be
/// hidden there.
fn unwatched(history: &History, watch: &Watch, watched: &Watched, onset: Onset) -> Option<Moment> {
    let within = |at: &Moment| *at >= onset.injecting && *at <= history.watched_until;
    let suspended = history.stalls.iter().filter(|stall| stall.suspended > 0.0).map(|stall| stall.to);
    let gaps = watched.unwatched(watch.every.as_seconds());
    gaps.chain(suspended).chain(watched.oldest_open()).filter(within).max()
}

/// Where an outage may be hidden, the high end is where the service was stable after it.
fn widen(band: &mut Band, history: &History, watch: &Watch, watched: &Watched, onset: Onset) {
    let Some(unwatched) = unwatched(history, watch, watched, onset) else { return };
    let stable = watched.stable_since(unwatched, history.terms.rule()).is_some();
    let seen_again = watched
        .good_tail(unwatched)
        .first()
        .filter(|_| stable)
        .map(|tick| tick.ended.since(onset.injecting) + history.suspended(onset.injecting, tick.ended));
    band.high = band.high.zip(seen_again).map(|(high, seen_again)| high.max(seen_again));
    if band.high.is_none() {
        band.reason = Some("it was not watched long enough at the end: an outage may be hidden there".into());
    }
}

#[cfg(test)]
#[path = "rta_tests.rs"]
mod tests;
