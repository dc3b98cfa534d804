//! What makes a run unknown or missed, each as a history of a few lines.

use crate::measure::timeline_builder::{TimelineBuilder, assert_band};
use crate::measure::{measure, onset};
use crate::model::{Depth, Fact, Finding, Verdict};

fn good() -> TimelineBuilder {
    TimelineBuilder::new().up(0..=10).onset(10.2, 10.4).down(11..=13).up(14..=20)
}

fn reason(timeline: &TimelineBuilder, what: &str) -> (Verdict, Option<String>) {
    let report = timeline.report();
    let found = report.judgements.iter().find(|judgement| judgement.what == what).unwrap();
    (found.verdict, found.reason.clone())
}

#[test]
fn a_whole_run_that_keeps_its_promise_is_met() {
    let report = good().report();
    assert_eq!(report.verdict, Verdict::Met, "{:?}", report.judgements);
    assert_eq!(onset(&good().lines()).map(|onset| onset.confirmed.seconds()), Ok(10.4));
}

#[test]
fn a_fault_without_effect_makes_the_drill_unknown() {
    let finding = Finding::missed("it still runs");
    let timeline = TimelineBuilder::new().up(0..=20).at(10.2, Fact::Injecting { fault: 0 });
    let timeline = timeline.at(10.4, Fact::Confirmed { fault: 0, finding });
    assert_eq!(timeline.report().verdict, Verdict::Unknown);
    assert_eq!(reason(&timeline, "fault took effect").1.unwrap(), "the fault `` did not take effect: it still runs");
    assert_band(&timeline.rta(), None, None, None);
    assert_eq!(timeline.rta().verdict, Some(Verdict::Unknown));
    assert!(onset(&timeline.lines()).is_err());
}

#[test]
fn a_second_fault_without_effect_makes_the_drill_unknown_too() {
    let timeline = good().at(12.0, Fact::Injecting { fault: 1 });
    assert_eq!((timeline.report().verdict, timeline.rta().verdict), (Verdict::Unknown, Some(Verdict::Met)));
}

#[test]
fn a_failed_baseline_means_that_no_fault_was_injected() {
    let failed = Fact::Decided { what: "baseline".into(), verdict: Verdict::Unknown, reason: Some("slow".into()) };
    let timeline = TimelineBuilder::new().writing(10).up(0..=9).at(9.5, failed);
    let report = timeline.report();
    assert_eq!(report.verdict, Verdict::Unknown);
    let why = Some("no fault was injected: the baseline failed".to_owned());
    assert_eq!(report.measurements.rta[&Depth::Read].reason, why);
    assert_eq!(report.measurements.rpa.strict.reason, why);
}

#[test]
fn a_check_that_was_not_run_is_unknown_and_the_last_finding_counts() {
    let timeline = good().with(|terms| terms.checks = vec!["smoke".into()]);
    assert_eq!(reason(&timeline, "smoke"), (Verdict::Unknown, Some("it was not run".into())));
    let checked =
        |at, finding| Fact::Checked { check: "smoke".into(), finding: if at { finding } else { Finding::met() } };
    let red =
        timeline.clone().at(21.0, checked(false, Finding::met())).at(22.0, checked(true, Finding::missed("gone")));
    assert_eq!(red.report().verdict, Verdict::Missed);
    assert!(!red.report().moments.contains_key("verified"));
    let green = timeline.at(21.0, checked(true, Finding::missed("gone"))).at(22.0, checked(false, Finding::met()));
    assert_eq!((green.report().verdict, green.report().moments["verified"]), (Verdict::Met, 22.0));
}

#[test]
fn a_run_that_was_stopped_or_cut_off_is_never_green() {
    assert_eq!(reason(&good().at(30.0, Fact::Interrupted), "run").1.unwrap(), "the run was interrupted");
    assert_eq!(good().at(30.0, Fact::Interrupted).report().verdict, Verdict::Unknown);
    assert_eq!(good().cut().verdict, Verdict::Unknown);
    assert_eq!(measure(&[]).verdict, Verdict::Unknown);
}

#[test]
fn a_promise_at_a_depth_that_nobody_asks_is_unknown() {
    let timeline = good().with(|terms| terms.objectives.at = Some(Depth::Predict));
    assert_eq!(reason(&timeline, "rto"), (Verdict::Unknown, Some("no probe asks at depth `predict`".into())));
}

#[test]
fn a_failed_step_is_a_caveat_and_no_verdict() {
    let timeline = good().at(11.0, Fact::StepBegan { id: "restart".into(), kind: "start".into() });
    let timeline = timeline.at(12.0, Fact::StepEnded { id: "restart".into(), finding: Finding::missed("no") });
    let report = timeline.report();
    assert_eq!((report.verdict, report.steps[0].end), (Verdict::Met, Some(12.0)));
    assert!(report.caveats.contains(&"The step `restart` is missed: no.".to_owned()), "{:?}", report.caveats);
}

#[test]
fn what_was_left_is_told_until_a_later_cleanup_removed_it() {
    let left = good().at(30.0, Fact::Left("bucket `a`".into()));
    assert_eq!(left.report().left, ["bucket `a`"]);
    assert!(left.at(40.0, Fact::Removed).report().left.is_empty());
}
