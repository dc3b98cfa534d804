//! The rules of the recovery point, each as a history of a few lines.

use crate::measure::timeline_builder::{TimelineBuilder, assert_band};
use crate::model::ledger::Operation;
use crate::model::{Fact, MarkState, Verdict};
use MarkState::{Corrupted, Half, Lost, Resurrected, Survived, Unread};

fn confirmed() -> TimelineBuilder {
    TimelineBuilder::new().writing(10).onset(20.0, 20.4)
}

#[test]
fn nothing_missing_is_zero_if_somebody_wrote_shortly_before() {
    let rpa = confirmed().mark(1, 12.0, Survived).rpa();
    assert_band(&rpa, Some(0.0), Some(0.0), Some(0.0));
    assert_eq!(rpa.verdict, Some(Verdict::Met));
    let long_ago = confirmed().mark(1, 9.0, Survived).mark(2, 25.0, Survived).rpa();
    assert_band(&long_ago, None, None, None);
    assert_eq!(long_ago.verdict, Some(Verdict::Unknown));
    assert_eq!(long_ago.reason.unwrap(), "no write was acknowledged in the 10 s before the onset");
    assert_eq!(confirmed().writing(1).mark(1, 15.5, Survived).rpa().verdict, Some(Verdict::Met), "at least 5 s");
}

#[test]
fn the_oldest_missing_write_counts_although_younger_ones_survived() {
    let timeline = confirmed().mark(1, 14.0, Survived).mark(2, 15.0, Lost).mark(3, 17.0, Survived);
    assert_band(&timeline.rpa(), Some(5.2), Some(5.0), Some(6.4)); // the last before it at 14
    assert_eq!(timeline.rpa().verdict, Some(Verdict::Met));
    assert_eq!(timeline.report().measurements.rpa.newest_survivor, Some(3.0));
    let verdict = |rpo| timeline.clone().writing(rpo).rpa().verdict;
    assert_eq!(
        (verdict(4), verdict(6), verdict(7)),
        (Some(Verdict::Missed), Some(Verdict::Unknown), Some(Verdict::Met))
    );
}

#[test]
fn half_corrupted_and_resurrected_marks_are_missing_too() {
    for state in [Half, Corrupted, Resurrected] {
        let rpa = confirmed().mark(1, 14.0, Survived).mark(2, 15.0, state).rpa();
        assert_band(&rpa, Some(5.2), Some(5.0), Some(6.4));
    }
}

#[test]
fn a_loss_of_everything_is_open_above() {
    let rpa = confirmed().mark(1, 18.0, Lost).mark(2, 19.0, Lost).rpa();
    assert_band(&rpa, Some(2.2), Some(2.0), None);
    assert_eq!(rpa.verdict, Some(Verdict::Unknown));
}

#[test]
fn a_write_lost_within_the_onset_is_between_zero_and_the_one_before() {
    let rpa = confirmed().mark(1, 19.9, Survived).mark(2, 20.3, Lost).rpa();
    assert_band(&rpa, Some(0.0), Some(0.0), Some(0.5));
}

#[test]
fn writes_lost_after_the_disaster_are_missed_whatever_else_is() {
    let after = confirmed().mark(1, 19.0, Survived).mark(2, 25.0, Lost).rpa();
    assert_band(&after, Some(0.0), Some(0.0), Some(0.0));
    assert_eq!(after.verdict, Some(Verdict::Missed));
    assert_eq!(after.reason.unwrap(), "writes acknowledged after the disaster are missing: 1");
    let both = confirmed().mark(1, 18.0, Survived).mark(2, 19.0, Lost).mark(3, 25.0, Lost).rpa();
    assert_band(&both, Some(1.2), Some(1.0), Some(2.4));
    assert_eq!(both.verdict, Some(Verdict::Missed));
}

#[test]
fn marks_that_were_not_read_back_make_it_unknown() {
    let unread = confirmed().mark(1, 19.0, Survived).mark(2, 19.5, Unread).report();
    assert_eq!(unread.measurements.rpa.strict.verdict, Some(Verdict::Unknown));
    assert_eq!((unread.writes.acknowledged, unread.writes.survived, unread.writes.lost), (2, None, None));
    let forgotten = confirmed().mark(1, 19.0, Survived).sent(2, 19.2, Operation::Create);
    let forgotten = forgotten.at(19.3, Fact::Acknowledged { mark: 2, at: None }).rpa();
    assert_eq!(forgotten.reason.unwrap(), "1 of 2 acknowledged writes could not be read back");
}

#[test]
fn without_a_workload_a_promised_rpo_is_unknown_and_an_unpromised_one_is_not_judged() {
    let promised = confirmed().with(|terms| terms.workload = false).rpa();
    assert_eq!(promised.verdict, Some(Verdict::Unknown));
    assert_eq!(TimelineBuilder::new().onset(20.0, 20.4).rpa().verdict, None);
    let unpromised = confirmed().with(|terms| terms.objectives.rpo = None).mark(1, 19.0, Lost).rpa();
    assert_eq!((unpromised.verdict, unpromised.low), (None, Some(1.0)));
}

#[test]
fn acknowledged_is_the_sum_of_its_fates_and_every_loss_has_its_own_name() {
    let timeline = confirmed().mark(1, 14.0, Survived).mark(2, 15.0, Lost).mark(3, 16.0, Half).mark(4, 17.0, Corrupted);
    let timeline = timeline.sent(5, 17.9, Operation::Delete).at(18.0, Fact::Acknowledged { mark: 5, at: None });
    let timeline = timeline.at(100.0, Fact::MarkState { mark: 5, state: Resurrected }).sent(6, 19.0, Operation::Create);
    let report = timeline.at(19.1, Fact::Unanswered { mark: 6, reason: "timeout".into() }).report();
    let w = &report.writes;
    assert_eq!((w.sent, w.acknowledged, w.indeterminate, w.resurrected), (6, 5, 1, Some(1)));
    assert_eq!((w.survived, w.lost, w.half, w.corrupted), (Some(1), Some(2), Some(1), Some(1)));
    let losses: Vec<_> = report.losses.iter().map(|loss| (loss.kind, loss.name.as_str())).collect();
    let wanted = [
        (Lost, "run 2 (id2), mark 2"),
        (Half, "run 3 (id3), mark 3"),
        (Corrupted, "run 4 (id4), mark 4"),
        (Lost, "delete of run 5, mark 5"),
        (Resurrected, "run 5, deleted by mark 5"),
    ];
    assert_eq!(losses, wanted);
}

#[test]
fn only_writes_before_the_onset_tell_how_long_one_takes() {
    let timeline = confirmed().mark(1, 18.0, Survived).mark(2, 19.0, Survived).sent(3, 10.0, Operation::Create);
    let slow_later = timeline.sent(4, 21.0, Operation::Create).at(25.0, Fact::Acknowledged { mark: 4, at: None });
    let times = slow_later.report().writes.times.unwrap();
    assert!((times.median_ms - 100.0).abs() < 0.1 && (times.p99_ms - 100.0).abs() < 0.1, "{times:?}");
    assert_eq!(confirmed().sent(1, 19.0, Operation::Create).report().writes.times, None);
}
