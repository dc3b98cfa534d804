//! The rules of the recovery time, each as a history of a few lines; then random histories of a known truth.

use crate::clock::Moment;
use crate::measure::timeline_builder::{TimelineBuilder, assert_band};
use crate::model::{Answer, Depth, Fact, Period, Phase, Span, Verdict, Watch};
use proptest::prelude::*;

/// Up until 10, confirmed at 10.2 to 10.4, down from 11 to 13, up again.
fn outage() -> TimelineBuilder {
    TimelineBuilder::new().up(0..=10).onset(10.2, 10.4).down(11..=13).up(14..=20)
}

#[test]
fn an_outage_ends_between_the_last_failed_and_the_first_good_answer() {
    let rta = outage().rta();
    assert_band(&rta, Some(3.25), Some(2.6), Some(3.9)); // 13 − 10.4, 14.1 − 10.2
    assert_eq!(rta.verdict, Some(Verdict::Met));
    let moments = outage().report().moments;
    assert_eq!((moments["first_failed"], moments["first_good"], moments["stable_since"]), (11.0, 14.0, 14.0));
    assert_eq!((moments["injecting"], moments["onset"]), (10.2, 10.4));
    assert!((moments["detected"] - 13.1).abs() < 1e-6);
}

#[test]
fn the_verdict_of_a_time_follows_the_ends_of_its_band() {
    let verdict = |rto| outage().with(|terms| terms.objectives.rto = Some(Span::milliseconds(rto))).rta().verdict;
    assert_eq!(verdict(2500), Some(Verdict::Missed));
    assert_eq!(verdict(3500), Some(Verdict::Unknown));
    assert_eq!(verdict(3900), Some(Verdict::Met));
    assert_eq!(outage().with(|terms| terms.objectives.rto = None).rta().verdict, None);
}

#[test]
fn a_relapse_before_watching_ends_moves_the_end() {
    let rta = outage().down([21]).up(22..=26).rta();
    assert_band(&rta, Some(11.25), Some(10.6), Some(11.9));
    assert_eq!(rta.verdict, Some(Verdict::Missed));
}

#[test]
fn what_fails_after_tear_down_began_is_no_relapse() {
    let torn = outage().at(20.5, Fact::Phase(Phase::Teardown)).down(21..=25).rta();
    assert_band(&torn, Some(3.25), Some(2.6), Some(3.9));
}

#[test]
fn a_service_that_is_not_back_is_missed_only_past_the_objective() {
    let late = TimelineBuilder::new().up(0..=10).onset(10.0, 10.5).down(11..=30).rta();
    assert_band(&late, None, Some(19.5), None); // 30 − 10.5
    assert_eq!(late.verdict, Some(Verdict::Missed));
    let early = TimelineBuilder::new().up(0..=10).onset(10.0, 10.5).down(11..=15).rta();
    assert_band(&early, None, Some(4.5), None);
    assert_eq!(early.verdict, Some(Verdict::Unknown));
}

#[test]
fn a_return_that_was_not_watched_long_enough_is_not_back() {
    let short = TimelineBuilder::new().up(0..=10).onset(10.0, 10.5).down(11..=13).up(14..=15).rta();
    assert_band(&short, None, Some(2.5), None);
    assert_eq!(short.verdict, Some(Verdict::Unknown));
    let few = TimelineBuilder::new().up(0..=10).onset(10.0, 10.5).down(11..=13).up([14, 16]).rta();
    assert_eq!(few.seconds, None, "two answers are no streak of three");
}

#[test]
fn a_onset_that_no_client_noticed_is_zero_up_to_interval_and_timeout() {
    let rta = TimelineBuilder::new().up(0..=20).onset(10.2, 10.4).rta();
    assert_band(&rta, Some(0.0), Some(0.0), Some(2.0));
    assert_eq!(rta.verdict, Some(Verdict::Met));
    let unwatched = TimelineBuilder::new().up(0..=11).onset(10.2, 10.4).rta();
    assert_band(&unwatched, None, None, None);
    assert_eq!(unwatched.verdict, Some(Verdict::Unknown));
}

#[test]
fn a_failure_before_the_onset_is_not_its_outage() {
    let rta = TimelineBuilder::new().up(0..=4).down([5]).up(6..=20).onset(10.2, 10.4).rta();
    assert_band(&rta, Some(0.0), Some(0.0), Some(2.0));
}

#[test]
fn ticks_that_nobody_asked_widen_the_band_and_are_never_outage() {
    let hidden = TimelineBuilder::new().up(0..=12).unasked(13..=15).up(16..=20).onset(10.0, 10.0).rta();
    assert_band(&hidden, Some(0.0), Some(0.0), Some(6.1));
    let around = TimelineBuilder::new().up(0..=9).onset(10.0, 10.0).down(11..=12).unasked(13..=15).up(16..=20).rta();
    assert_band(&around, Some(4.05), Some(2.0), Some(6.1));
    let after = outage().unasked(21..=23).up(24..=26).rta();
    assert_band(&after, Some(3.25), Some(2.6), Some(13.9));
    assert_eq!(after.verdict, Some(Verdict::Unknown));
    let late = outage().unasked([21]).up(22..=24).rta();
    assert_band(&late, Some(3.25), Some(2.6), Some(3.9)); // one tick was late: the gap is not long
    let open = outage().unasked(21..=24).rta();
    assert_band(&open, Some(3.25), Some(2.6), None);
    assert_eq!(open.verdict, Some(Verdict::Unknown));
    let within =
        TimelineBuilder::new().up(0..=10).onset(10.2, 10.4).down([11]).unasked([12]).down([13]).up(14..=20).rta();
    assert_band(&within, Some(3.25), Some(2.6), Some(3.9));
}

#[test]
fn what_failed_while_the_harness_was_stalled_is_not_outage() {
    let stalled = Fact::Stalled { from: Moment::at(14.5), to: Moment::at(15.05), suspended: Span::seconds(0) };
    let rta = TimelineBuilder::new().up(0..=14).down([15]).up(16..=20).onset(10.0, 10.0).at(15.1, stalled).rta();
    assert_band(&rta, Some(0.0), Some(0.0), Some(6.1));
    let long = Fact::Stalled { from: Moment::at(12.2), to: Moment::at(16.0), suspended: Span::seconds(0) };
    let rta = TimelineBuilder::new().up((0..=12).chain(16..=20)).onset(10.0, 10.0).at(16.0, long).rta();
    assert_band(&rta, Some(0.0), Some(0.0), Some(6.1));
}

#[test]
fn streaks_follow_the_order_of_asking() {
    let slow = TimelineBuilder::new().up(0..=10).onset(10.0, 10.0).down([11]).asks(
        0,
        12.0,
        1.0,
        Answer::Failed("late".into()),
    );
    let rta = slow.asks(0, 12.5, 0.1, Answer::Served).up(13..=20).rta();
    assert_band(&rta, Some(2.3), Some(2.0), Some(2.6));
}

/// Rule 3: with a timeout of 4 s, each second question is answered at once and the others never.
#[test]
fn a_service_that_hangs_on_every_second_question_is_not_stable() {
    let hangs = |ended: f64| {
        let watch = Watch { depth: Depth::Read, every: Period::milliseconds(500), timeout: Period::seconds(4) };
        let terms = TimelineBuilder::new().with(|terms| {
            (terms.probes, terms.stable) = (vec![watch], Span::seconds(3));
            terms.objectives.rto = Some(Span::seconds(15));
        });
        let mut timeline = (0..20).fold(terms, |it, n| it.asks(0, f64::from(n) / 2.0, 0.1, Answer::Served));
        timeline = timeline.onset(10.0, 10.1);
        for n in 10..30 {
            timeline = timeline.asks(0, f64::from(n) + 0.5, 4.0, Answer::Failed("no answer".into()));
            timeline = timeline.asks(0, f64::from(n) + 1.0, 0.1, Answer::Served);
        }
        timeline.at(ended, Fact::Phase(Phase::Teardown)).report()
    };
    for ended in [14.3, 15.0, 16.0, 20.0, 29.0, 40.0] {
        let report = hangs(ended);
        assert_ne!(report.measurements.rta[&Depth::Read].verdict, Some(Verdict::Met), "ended at {ended} s");
        assert_ne!(report.verdict, Verdict::Met, "ended at {ended} s");
    }
}

#[test]
fn what_is_open_when_watching_ends_may_hide_an_outage() {
    let open = outage().asks(0, 21.0, 3.0, Answer::Failed("no answer".into())).at(22.0, Fact::Phase(Phase::Teardown));
    assert_band(&open.rta(), Some(3.25), Some(2.6), None);
    assert_eq!(open.rta().verdict, Some(Verdict::Unknown));
}

/// Rule 1: an hour of sleep is an hour that nobody watched.
#[test]
fn a_machine_that_slept_during_the_outage_does_not_shorten_it() {
    let slept = |from, to| Fact::Stalled { from: Moment::at(from), to: Moment::at(to), suspended: Span::seconds(3600) };
    let during = outage().at(12.6, slept(12.2, 12.6)).rta();
    assert_band(&during, Some(1803.25), Some(2.6), Some(3603.9));
    assert_eq!(during.verdict, Some(Verdict::Unknown));
    let after = outage().at(16.6, slept(16.2, 16.6)).rta();
    assert_eq!((after.verdict, after.high), (Some(Verdict::Unknown), Some(3606.9)), "a relapse may be hidden there");
    let unnoticed = TimelineBuilder::new().up(0..=20).onset(10.2, 10.4).at(12.6, slept(12.2, 12.6)).rta();
    assert_eq!(unnoticed.verdict, Some(Verdict::Unknown));
    assert_eq!(
        outage().at(5.6, slept(5.2, 5.6)).rta().verdict,
        Some(Verdict::Met),
        "before the onset it does not matter"
    );
}

#[test]
fn ticks_that_are_missing_in_the_timeline_widen_the_band() {
    let gap = TimelineBuilder::new().up((0..=12).chain(16..=20)).onset(10.0, 10.0).rta();
    assert_band(&gap, Some(0.0), Some(0.0), Some(6.1));
}

/// Rule 4: artifacts are served without the database, and that is no service.
#[test]
fn the_recovery_time_at_a_depth_is_the_worst_of_all_up_to_it() {
    let watch = |depth| Watch { depth, every: Period::seconds(1), timeout: Period::seconds(1) };
    let mut timeline = outage().with(|terms| {
        terms.probes = [Depth::Read, Depth::Read, Depth::Artifact, Depth::Health].map(watch).to_vec();
        terms.objectives.at = Some(Depth::Artifact);
    });
    for at in 0..=20 {
        let answer = if (11..=15).contains(&at) { Answer::Failed("no".into()) } else { Answer::Served };
        timeline = timeline.asks(1, f64::from(at), 0.1, answer);
        timeline = timeline.asks(2, f64::from(at), 0.1, Answer::Served).asks(3, f64::from(at), 0.1, Answer::Served);
    }
    let report = timeline.report();
    let rta = |depth| &report.measurements.rta[&depth];
    assert_band(rta(Depth::Read), Some(5.25), Some(4.6), Some(5.9));
    assert_band(rta(Depth::Artifact), Some(5.25), Some(4.6), Some(5.9));
    assert_band(rta(Depth::Health), Some(0.0), Some(0.0), Some(2.0));
    assert_eq!((rta(Depth::Read).objective, rta(Depth::Read).verdict), (None, None));
    assert_eq!(rta(Depth::Artifact).verdict, Some(Verdict::Met));
    let deepest = timeline.with(|terms| terms.objectives.at = None).report();
    assert_eq!(deepest.measurements.rta[&Depth::Artifact].verdict, Some(Verdict::Met), "the deepest by default");
}

/// When a service is up: from 0, toggled at each of these moments (milliseconds), and up at the end.
fn is_up(toggles: &[u32], at: u32) -> bool {
    toggles.iter().filter(|toggle| **toggle <= at).count() % 2 == 0
}

proptest! {
    #[test]
    fn the_band_holds_the_truth_and_is_no_wider_than_interval_and_timeout(
        outages in prop::collection::vec((1u32..4000, 1u32..4000), 0..4),
        every in 50u32..500, timeout in 50u32..1000, window in 0u32..300,
        took in prop::collection::vec(0u32..1000, 400),
    ) {
        let confirmed = 5000;
        let mut toggles = vec![];
        for (index, (up, down)) in outages.into_iter().enumerate() {
            let from = if index == 0 { confirmed } else { toggles.last().copied().unwrap_or(confirmed) + up };
            toggles.extend([from, from + down]);
        }
        let truth = f64::from(toggles.last().copied().unwrap_or(confirmed) - confirmed) / 1000.0;
        let watch = Watch {
            depth: Depth::Read,
            every: Period::milliseconds(every.into()),
            timeout: Period::milliseconds(timeout.into()),
        };
        let end = toggles.last().copied().unwrap_or(confirmed) + 8000;
        let seconds = |ms: u32| f64::from(ms) / 1000.0;
        let mut timeline = TimelineBuilder::new().with(|terms| terms.probes = vec![watch]);
        timeline = timeline.onset(seconds(confirmed - window), seconds(confirmed + window));
        let mut last_failed = None;
        for (tick, took) in (0..end / every).zip(took.iter().cycle()) {
            let (asked, took) = (tick * every, took % timeout);
            let answer = if is_up(&toggles, asked) { Answer::Served } else { Answer::Failed("down".into()) };
            if answer != Answer::Served { last_failed = Some(asked); }
            timeline = timeline.asks(0, seconds(asked), seconds(took), answer);
        }
        let rta = timeline.rta();
        let (low, value, high) = (rta.low.unwrap(), rta.seconds.unwrap(), rta.high.unwrap());
        prop_assert!(low <= value && value <= high, "{rta:?}");
        prop_assert!(high - low <= seconds(every + timeout + 2 * window) + 1e-6, "{rta:?}");
        // No probe sees an outage between two questions; all that probes saw is in the band.
        let hidden = toggles.chunks(2).next_back().is_some_and(|last| last_failed.is_none_or(|at| at < last[0]));
        if !hidden || toggles.len() <= 2 {
            prop_assert!(low <= truth + 1e-6 && truth <= high + 1e-6, "truth {truth}, {rta:?}");
        }
    }
}
