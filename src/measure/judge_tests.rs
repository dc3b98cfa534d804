//! What makes a run unknown or missed, each as a history of a few lines.

use crate::measure::timeline_builder::{TimelineBuilder, assert_band};
use crate::measure::{measure, onset};
use crate::model::{Depth, Fact, Finding, JudgementKind, MarkState, Phase, Span, StepTerms, Verdict, When};

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
    let (kind, what) = (JudgementKind::Baseline, "baseline".into());
    let failed = Fact::Decided { kind, what, verdict: Verdict::Unknown, reason: Some("slow".into()) };
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

/// A runbook of these steps: id, the one before it, and when it is carried out.
fn runbook(steps: &[(&str, &[&str], When)]) -> TimelineBuilder {
    let terms = |&(id, after, when): &(&str, &[&str], When)| {
        let after = after.iter().map(|&id| id.to_owned()).collect();
        StepTerms { id: id.to_owned(), after, when, optional: id.starts_with("may") }
    };
    good().with(|it| it.runbook = steps.iter().map(terms).collect())
}

fn step(timeline: TimelineBuilder, at: f64, id: &str, finding: Finding) -> TimelineBuilder {
    let began = Fact::StepBegan { id: id.into(), kind: "command".into() };
    timeline.at(at, began).at(at + 0.5, Fact::StepEnded { id: id.into(), finding })
}

fn skipped(timeline: TimelineBuilder, at: f64, id: &str) -> TimelineBuilder {
    timeline.at(at, Fact::StepSkipped { id: id.into(), kind: "command".into(), reason: "not its turn".into() })
}

#[test]
fn a_step_that_failed_or_is_unknown_counts() {
    let steps = runbook(&[("restart", &[], When::Done)]);
    let missed = step(steps.clone(), 11.0, "restart", Finding::missed("no"));
    assert_eq!((missed.report().verdict, missed.report().steps[0].end), (Verdict::Missed, Some(11.5)));
    assert_eq!(reason(&missed, "restart"), (Verdict::Missed, Some("no".into())));
    assert!(missed.report().caveats.contains(&"The step `restart` is missed: no.".to_owned()));
    assert_eq!(step(steps.clone(), 11.0, "restart", Finding::unknown("?")).report().verdict, Verdict::Unknown);
    assert_eq!(step(steps.clone(), 11.0, "restart", Finding::met()).report().verdict, Verdict::Met);
    assert_eq!(steps.report().verdict, Verdict::Unknown, "it was never carried out");
    let open = steps.at(11.0, Fact::StepBegan { id: "restart".into(), kind: "command".into() });
    assert_eq!(reason(&open, "restart"), (Verdict::Unknown, Some("it did not end".into())));
}

#[test]
fn an_optional_step_may_fail_and_is_a_caveat() {
    let report = step(runbook(&[("may-warm", &[], When::Done)]), 11.0, "may-warm", Finding::missed("no")).report();
    assert_eq!(report.verdict, Verdict::Met);
    assert!(report.caveats.contains(&"The optional step `may-warm` is missed: no.".to_owned()), "{:?}", report.caveats);
}

#[test]
fn a_later_branch_that_is_met_mends_a_failed_step() {
    let steps: &[(&str, &[&str], When)] =
        &[("quick", &[], When::Done), ("then", &["quick"], When::Done), ("slow", &["then"], When::Failed)];
    let failed = skipped(step(runbook(steps), 11.0, "quick", Finding::missed("no")), 11.6, "then");
    assert_eq!(step(failed.clone(), 12.0, "slow", Finding::met()).report().verdict, Verdict::Met);
    assert_eq!(step(failed.clone(), 12.0, "slow", Finding::missed("no")).report().verdict, Verdict::Missed);
    assert_eq!(skipped(failed, 12.0, "slow").report().verdict, Verdict::Missed, "the branch was not carried out");
    let other: &[(&str, &[&str], When)] = &[("quick", &[], When::Done), ("other", &[], When::Failed)];
    let timeline = step(runbook(other), 11.0, "quick", Finding::missed("no"));
    assert_eq!(step(timeline, 12.0, "other", Finding::met()).report().verdict, Verdict::Missed, "a branch of another");
}

#[test]
fn a_service_that_is_not_back_is_missed_promised_or_not() {
    let down = TimelineBuilder::new().up(0..=10).onset(10.2, 10.4).down(11..=60).with(|terms| {
        terms.objectives.rto = None;
    });
    let watched = down.clone().at(40.0, Fact::Phase(Phase::Verify));
    let (verdict, why) = reason(&watched, "recovered");
    assert!(verdict == Verdict::Missed && why.as_deref().unwrap().starts_with("`read`: not back when"), "{why:?}");
    assert_eq!(watched.report().verdict, Verdict::Missed);
    assert_eq!(reason(&down, "recovered").0, Verdict::Unknown, "watching was cut off before the verification");
    let short = TimelineBuilder::new().up(0..=10).onset(10.2, 10.4).down(11..=13).up([14]);
    let short = short.at(14.5, Fact::Phase(Phase::Verify)).with(|terms| terms.objectives.rto = None);
    assert_eq!(reason(&short, "recovered").0, Verdict::Unknown, "one good answer is not back, and not gone");
}

#[test]
fn a_service_that_is_back_after_the_limit_of_the_recovery_is_missed() {
    let late = good().with(|terms| (terms.objectives.rto, terms.recovery) = (None, Span::seconds(1)));
    let (verdict, why) = reason(&late, "recovered");
    assert!(verdict == Verdict::Missed && why.as_deref().unwrap().contains("only after the limit of 1s"), "{why:?}");
}

#[test]
fn marks_that_could_not_be_read_back_make_the_drill_unknown_without_any_rpo() {
    let writing = good().with(|terms| terms.workload = true);
    assert_eq!(writing.clone().mark(1, 9.0, MarkState::Survived).report().verdict, Verdict::Met);
    let unread = writing.mark(1, 9.0, MarkState::Unread);
    assert_eq!(unread.report().verdict, Verdict::Unknown);
    let why = "1 of 1 acknowledged writes could not be read back";
    assert_eq!(reason(&unread, "marks read back").1.as_deref(), Some(why));
}

#[test]
fn a_condition_that_could_not_be_lifted_is_missed_until_it_is() {
    let stuck = good().at(21.0, Fact::Lifted { fault: 0, error: Some("no answer".into()) });
    assert_eq!(reason(&stuck, "undo"), (Verdict::Missed, Some("no answer".into())));
    assert_eq!(stuck.at(22.0, Fact::Lifted { fault: 0, error: None }).report().verdict, Verdict::Met);
}

#[test]
fn what_was_left_is_told_until_a_later_cleanup_removed_it() {
    let left = good().at(30.0, Fact::Left("bucket `a`".into()));
    assert_eq!(left.report().left, ["bucket `a`"]);
    assert!(left.at(40.0, Fact::Removed).report().left.is_empty());
}
