//! The one judge of answers: is an outage detected, is the service back. The run asks it while time passes, and the
//! report asks it afterwards.
//!
//! Ticks are in the order of asking, because a slow answer of the old server may come after a quick one of the new server.
//! A question that is not answered yet is not good: a streak counts only up to the asking of the oldest open question.

use crate::clock::Moment;
use crate::model::StreakRule;
use std::collections::BTreeSet;

/// What a tick of a probe says of the service, after the harness's own stalls are taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickOutcome {
    /// It gave the right answer in time.
    Served,
    /// It was asked in time and gave no right answer.
    Failed,
    /// The tick says nothing about the service.
    Unasked,
}

/// One tick of a probe, without the text of its answer.
#[derive(Debug, Clone, Copy)]
pub struct ProbeTick {
    /// When it should have been asked.
    pub due: Moment,
    /// When it was asked.
    pub asked: Moment,
    /// When the answer was there.
    pub ended: Moment,
    /// What it says of the service.
    pub outcome: TickOutcome,
}

/// What one probe has seen: its answered questions in the order of asking, and the open ones.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    ticks: Vec<ProbeTick>,
    open: BTreeSet<Moment>,
    stalls: Vec<(Moment, Moment)>,
}

impl Watched {
    /// A question is asked and open from now on.
    pub fn asking(&mut self, asked: Moment) {
        self.open.insert(asked);
    }

    /// The question that was asked at this moment has ended without a tick of its own, or its tick follows.
    pub fn ended(&mut self, asked: Moment) {
        self.open.remove(&asked);
    }

    /// A tick. One that failed while the harness was stalled says nothing.
    pub fn add(&mut self, mut tick: ProbeTick) {
        excuse(&self.stalls, &mut tick);
        let at = self.ticks.partition_point(|other| other.asked <= tick.asked);
        self.ticks.insert(at, tick);
    }

    /// The harness was stalled: what failed meanwhile says nothing.
    pub fn stalled(&mut self, from: Moment, to: Moment) {
        let at = self.stalls.partition_point(|stall| *stall <= (from, to));
        self.stalls.insert(at, (from, to));
        self.ticks.iter_mut().for_each(|tick| excuse(&self.stalls, tick));
    }

    /// Watching ended: later questions do not count, and one that had no good answer by then stays open.
    pub fn close(&mut self, until: Moment) {
        let Self { ticks, open, .. } = self;
        ticks.retain(|tick| {
            let late = tick.asked <= until && tick.ended > until && tick.outcome != TickOutcome::Served;
            if late {
                open.insert(tick.asked);
            }
            tick.asked <= until && !late
        });
    }

    /// The ticks, in the order of asking.
    pub fn ticks(&self) -> &[ProbeTick] {
        &self.ticks
    }

    /// When the oldest question was asked that is not answered yet.
    pub fn oldest_open(&self) -> Option<Moment> {
        self.open.first().copied()
    }

    /// The ticks that were asked before the oldest open question.
    pub fn known(&self) -> &[ProbeTick] {
        let Some(open) = self.oldest_open() else { return &self.ticks };
        &self.ticks[..self.ticks.partition_point(|tick| tick.asked < open)]
    }

    /// When an outage was detected: the end of the first streak of failures of which each ended at `from` or later.
    pub fn detected(&self, from: Moment, rule: StreakRule) -> Option<Moment> {
        let counts = |tick: &&ProbeTick| tick.ended >= from && tick.outcome != TickOutcome::Unasked;
        let seen: Vec<&ProbeTick> = self.known().iter().filter(counts).collect();
        let down = |window: &&[&ProbeTick]| window.iter().all(|tick| tick.outcome == TickOutcome::Failed);
        seen.windows(rule.streak.max(1)).find(down).and_then(|window| window.iter().map(|tick| tick.ended).max())
    }

    /// The good answers after the last failed one, asked at `from` or later and before the oldest open question.
    pub fn good_tail(&self, from: Moment) -> Vec<&ProbeTick> {
        let known = self.known();
        let failed = known.iter().rposition(|tick| tick.outcome == TickOutcome::Failed).map_or(0, |at| at + 1);
        let good = |tick: &&ProbeTick| tick.outcome == TickOutcome::Served && tick.asked >= from;
        known[failed..].iter().filter(good).collect()
    }

    /// Since when the service is stable: when the first question of the stable streak was asked.
    pub fn stable_since(&self, from: Moment, rule: StreakRule) -> Option<Moment> {
        let tail = self.good_tail(from);
        let (first, last) = (tail.first()?, tail.last()?);
        let long = last.asked.since(first.asked) >= rule.stable.as_secs_f64() - ROUNDING;
        (tail.len() >= rule.streak && long).then_some(first.asked)
    }

    /// Is the service stable, by questions after the last moment up to which an outage may be hidden?
    pub fn back(&self, from: Moment, every: f64, rule: StreakRule) -> bool {
        let watched_since = self.unwatched(every).fold(from, Moment::max);
        self.stable_since(watched_since, rule).is_some()
    }

    /// The ends of the times in which nobody asked for so long that an outage may be hidden there. `every` is the probe's
    /// interval in seconds. A tick that comes late leaves a gap of up to [`GAP`] intervals; an outage that short can hide
    /// there as one shorter than an interval can between any two ticks.
    pub fn unwatched(&self, every: f64) -> impl Iterator<Item = Moment> {
        let long = move |from: Moment, to: Moment| to.since(from) > GAP * every + ROUNDING;
        let mut last_asked: Option<Moment> = None;
        let gaps = self.ticks.iter().filter_map(move |tick| {
            // What was asked and says nothing, because of a stall or our own connection, may have been an outage.
            let silent = (tick.outcome == TickOutcome::Unasked && tick.ended > tick.asked).then_some(tick.ended);
            let gap = last_asked.is_some_and(|last| long(last, tick.asked)).then_some(tick.asked);
            if tick.outcome != TickOutcome::Unasked {
                last_asked = Some(tick.asked);
            }
            silent.or(gap)
        });
        let stalls = self.stalls.iter().filter(move |(from, to)| long(*from, *to)).map(|(_, to)| *to);
        gaps.chain(stalls)
    }
}

/// A time without any question that is longer than this many intervals may hide an outage.
const GAP: f64 = 3.0;
/// Differences of moments are rounded to this.
const ROUNDING: f64 = 5e-10;

/// A tick that failed while the harness was stalled says nothing. `stalls` are in order.
fn excuse(stalls: &[(Moment, Moment)], tick: &mut ProbeTick) {
    let next = stalls.partition_point(|(_, to)| *to < tick.asked);
    if tick.outcome == TickOutcome::Failed && stalls.get(next).is_some_and(|(from, _)| *from <= tick.ended) {
        tick.outcome = TickOutcome::Unasked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TickOutcome::{Failed, Served, Unasked};
    use std::time::Duration;

    const RULE: StreakRule = StreakRule { streak: 3, stable: Duration::from_secs(2) };

    fn watched(ticks: &[(f64, f64, TickOutcome)]) -> Watched {
        let mut watched = Watched::default();
        for &(asked, took, outcome) in ticks {
            let (due, ended) = (Moment::at(asked), Moment::at(asked + took));
            watched.add(ProbeTick { due, asked: due, ended, outcome });
        }
        watched
    }

    fn good(from: u32, to: u32) -> Vec<(f64, f64, TickOutcome)> {
        (from..=to).map(|at| (f64::from(at), 0.1, Served)).collect()
    }

    #[test]
    fn a_streak_needs_its_count_and_its_length() {
        assert_eq!(watched(&good(1, 3)).stable_since(Moment::at(0.0), RULE), Some(Moment::at(1.0)));
        assert_eq!(watched(&good(1, 2)).stable_since(Moment::at(0.0), RULE), None, "two are no three");
        assert_eq!(watched(&good(1, 3)).stable_since(Moment::at(1.5), RULE), None, "asked too early");
        let quick = watched(&[(1.0, 0.1, Served), (1.1, 0.1, Served), (1.2, 3.0, Served)]);
        assert_eq!(quick.stable_since(Moment::at(0.0), RULE), None, "a slow answer does not make a streak longer");
    }

    #[test]
    fn a_question_that_is_not_answered_yet_is_not_good() {
        let mut service = watched(&good(11, 15));
        assert!(service.back(Moment::at(10.0), 1.0, RULE));
        service.asking(Moment::at(11.5));
        assert_eq!(service.stable_since(Moment::at(10.0), RULE), None, "only the answer of 11 s is before it");
        assert!(!service.back(Moment::at(10.0), 1.0, RULE));
        service.ended(Moment::at(11.5));
        assert!(service.back(Moment::at(10.0), 1.0, RULE));
    }

    #[test]
    fn what_was_open_when_watching_ended_is_open_if_its_answer_was_not_good() {
        let mut ticks = good(11, 15);
        ticks.extend([(11.5, 4.0, Failed), (14.5, 4.0, Served), (16.0, 0.1, Failed)]);
        let mut service = watched(&ticks);
        service.close(Moment::at(15.2));
        assert_eq!((service.oldest_open(), service.ticks().len()), (Some(Moment::at(11.5)), 6));
        assert_eq!(service.stable_since(Moment::at(10.0), RULE), None);
    }

    #[test]
    fn an_outage_is_detected_by_as_many_failures_as_a_return_by_good_answers() {
        let down = watched(&[(1.0, 0.1, Failed), (2.0, 0.1, Unasked), (3.0, 0.1, Failed), (4.0, 0.1, Failed)]);
        assert_eq!(down.detected(Moment::at(0.0), RULE), Some(Moment::at(4.1)));
        assert_eq!(down.detected(Moment::at(2.0), RULE), None);
    }

    #[test]
    fn what_failed_in_a_stall_says_nothing_whichever_is_known_first() {
        let mut first = watched(&[(1.0, 1.0, Failed)]);
        first.stalled(Moment::at(1.5), Moment::at(1.8));
        assert_eq!(first.ticks()[0].outcome, Unasked);
        let mut second = Watched::default();
        second.stalled(Moment::at(1.5), Moment::at(1.8));
        second.add(ProbeTick { outcome: Failed, ..first.ticks()[0] });
        assert_eq!(second.ticks()[0].outcome, Unasked);
    }

    #[test]
    fn a_service_is_back_by_questions_after_a_time_in_which_nobody_asked() {
        let mut ticks = good(1, 4);
        ticks.extend([5.0, 6.0, 7.0].map(|at| (at, 0.0, Unasked)));
        assert!(watched(&ticks).back(Moment::at(0.0), 1.0, RULE), "a gap of three intervals is none");
        ticks.push((8.0, 0.0, Unasked));
        let service = watched(&ticks);
        assert!(service.stable_since(Moment::at(0.0), RULE).is_some() && !service.back(Moment::at(0.0), 1.0, RULE));
        ticks.extend(good(9, 10));
        assert!(!watched(&ticks).back(Moment::at(0.0), 1.0, RULE));
        ticks.extend(good(11, 11));
        assert!(watched(&ticks).back(Moment::at(0.0), 1.0, RULE));
    }

    #[test]
    fn a_service_is_back_by_questions_after_the_last_long_stall() {
        let mut service = watched(&good(1, 4));
        service.stalled(Moment::at(4.5), Moment::at(7.6));
        let answer =
            |at| ProbeTick { due: Moment::at(at), asked: Moment::at(at), ended: Moment::at(at), outcome: Served };
        service.add(answer(8.0));
        service.add(answer(9.0));
        assert!(!service.back(Moment::at(0.0), 1.0, RULE));
        service.add(answer(10.0));
        assert!(service.back(Moment::at(0.0), 1.0, RULE));
    }
}
