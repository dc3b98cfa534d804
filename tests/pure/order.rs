//! Whole drills in the simulated environment on a paused clock: the order of phases, exact times, and the lies that must
//! not be told.
use lifeboat::model::report::Report;
use lifeboat::model::{Depth, Fact, JudgementKind, Line, Verdict};
use lifeboat::plan;
use lifeboat::run::{Observer, Outcome, run};
use lifeboat::store::read_timeline;
use std::fs;
use std::path::Path;
use std::sync::Arc;

struct Nobody;

impl Observer for Nobody {
    fn line(&self, _: &Line) {}
    fn progress(&self, _: &str) {}
}

fn write(folder: &Path, scenario: &str, extra: &str) {
    fs::create_dir_all(folder.join("drills")).unwrap();
    fs::create_dir_all(folder.join("scenarios")).unwrap();
    let scenario = format!("scenario: sample\nabout: A sample.\n{scenario}\nobjectives: {{ rto: 10s }}\n");
    fs::write(folder.join("scenarios/sample.yaml"), scenario).unwrap();
    let drill = format!(
        "drill: sample\nabout: A sample.\nscenario: sample\n\
         environment: {{ simulated: {{ components: [mlflow], start: 2s }} }}\n\
         probes: [ {{ running: {{ component: mlflow, every: 100ms }} }} ]\n\
         stable: 3s\nlimits: {{ baseline: 5s, recovery: 20s, drill: 5m }}\n{extra}\n"
    );
    fs::write(folder.join("drills/sample.yaml"), drill).unwrap();
}

async fn drill(scenario: &str, extra: &str) -> (Report, Vec<Line>) {
    drill_with(scenario, extra, &[]).await
}

/// The same with some texts of the drill replaced.
async fn drill_with(scenario: &str, extra: &str, changes: &[(&str, &str)]) -> (Report, Vec<Line>) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), scenario, extra);
    let path = folder.path().join("drills/sample.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, changes.iter().fold(text, |text, (from, to)| text.replace(from, to))).unwrap();
    let plan = plan::load(&path).unwrap_or_else(|wrong| panic!("{wrong}"));
    let Outcome { report, folder: run_folder, .. } =
        run(plan, &folder.path().join("reports"), Arc::new(Nobody)).await.unwrap();
    let lines = read_timeline(&run_folder).unwrap();
    for file in ["report.json", "report.md", "plan.yaml"] {
        assert!(run_folder.join(file).is_file(), "{file}");
    }
    (report, lines)
}

fn story(lines: &[Line]) -> Vec<String> {
    lines
        .iter()
        .filter_map(|line| {
            Some(match &line.fact {
                Fact::Began { .. } => "began".to_owned(),
                Fact::Phase(phase) => phase.to_string(),
                Fact::Creating(_) => "creating".to_owned(),
                Fact::Acting(_) => "acting".to_owned(),
                Fact::Decided { what, verdict, .. } => format!("{what} {verdict}"),
                Fact::Intended { .. } => "intended".to_owned(),
                Fact::Injecting { .. } => "injecting".to_owned(),
                Fact::Confirmed { finding, .. } => format!("confirmed {}", finding.verdict),
                Fact::StepBegan { id, .. } => format!("begin {id}"),
                Fact::StepEnded { id, finding } => format!("end {id} {}", finding.verdict),
                Fact::StepSkipped { id, .. } => format!("skip {id}"),
                Fact::Lifted { .. } => "lifted".to_owned(),
                Fact::Removed => "removed".to_owned(),
                Fact::Ended => "ended".to_owned(),
                _ => return None,
            })
        })
        .collect()
}

const CRASH: &str = "faults: [ { kill: { component: mlflow } } ]\nrecovery: [ { start: { component: mlflow } } ]";

#[tokio::test(start_paused = true)]
async fn the_phases_follow_each_other_and_intent_comes_before_the_act() {
    let (report, lines) = drill(CRASH, "").await;
    let expected = "began, provision, creating, baseline, baseline met, disaster, intended, injecting, confirmed met, \
                    recovery, begin start-mlflow, end start-mlflow met, verify, teardown, removed, ended";
    assert_eq!(story(&lines).join(", "), expected);
    assert_eq!(report.verdict, Verdict::Met, "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_rta_is_exact_on_a_paused_clock() {
    let (report, _) = drill(CRASH, "").await;
    let rta = &report.measurements.rta[&Depth::Health];
    // Noticed at the third failed answer, at most 0.3 s after the onset; the start takes 2 s; ticks are 0.1 s apart.
    let (low, seconds, high) = (rta.low.unwrap(), rta.seconds.unwrap(), rta.high.unwrap());
    assert!(low <= 2.3 && 2.0 <= high && high - low <= 0.11, "{rta:?}");
    assert!((2.1..=2.4).contains(&seconds), "{rta:?}");
    let (again, _) = drill(CRASH, "").await;
    let other = again.measurements.rta[&Depth::Health].seconds.unwrap();
    assert!((other - seconds).abs() < 0.11, "{seconds} and {other}");
}

#[tokio::test(start_paused = true)]
async fn a_fault_without_effect_makes_the_drill_unknown() {
    let (report, lines) = drill("faults: [ noop ]\nrecovery: [ { restart: { component: mlflow } } ]", "").await;
    assert_eq!(report.verdict, Verdict::Unknown);
    assert!(!story(&lines).iter().any(|s| s.starts_with("begin")), "nothing is recovered where nothing was broken");
}

#[tokio::test(start_paused = true)]
async fn a_runbook_that_does_nothing_is_missed() {
    let (report, _) = drill("faults: [ { kill: { component: mlflow } } ]\nrecovery: []", "").await;
    assert_eq!(report.verdict, Verdict::Missed);
    let rta = &report.measurements.rta[&Depth::Health];
    assert!(rta.high.is_none() && rta.seconds.is_none() && rta.low.unwrap() > 10.0, "{rta:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_comes_back_is_missed_though_nothing_was_promised() {
    let scenario = "faults: [ { kill: { component: mlflow } } ]\nrecovery: []";
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), scenario, "");
    let path = folder.path().join("scenarios/sample.yaml");
    let text = fs::read_to_string(&path).unwrap().replace("objectives: { rto: 10s }\n", "");
    fs::write(&path, text).unwrap();
    let plan = plan::load(&folder.path().join("drills/sample.yaml")).unwrap();
    let report = run(plan, &folder.path().join("reports"), Arc::new(Nobody)).await.unwrap().report;
    assert_eq!(report.verdict, Verdict::Missed);
    let judgement = report.judgements.iter().find(|judgement| judgement.what == "recovered").unwrap();
    assert_eq!((judgement.kind, judgement.verdict), (JudgementKind::Recovered, Verdict::Missed));
}

#[tokio::test(start_paused = true)]
async fn a_last_step_that_fails_is_missed_and_an_optional_one_is_a_caveat() {
    let with = |last: &str| {
        format!(
            "faults: [ {{ kill: {{ component: mlflow }} }} ]\nrecovery:\n  - start: {{ component: mlflow }}\n  - {last}"
        )
    };
    let (failed, _) = drill(&with("command: 'false'"), "").await;
    assert_eq!(failed.verdict, Verdict::Missed);
    let optional = "{ command: 'false', optional: true }\n  - { start: { component: mlflow }, id: again }";
    let (report, lines) = drill(&with(optional), "").await;
    assert_eq!(report.verdict, Verdict::Met, "{:#?}", report.judgements);
    assert!(report.caveats.iter().any(|caveat| caveat.starts_with("The optional step `command` is missed")));
    assert!(story(&lines).contains(&"end again met".to_owned()), "the steps after it go on");
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_heals_itself_needs_no_runbook() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "faults: [ { kill: { component: mlflow } } ]\nrecovery: []", "");
    let path = folder.path().join("drills/sample.yaml");
    let text = fs::read_to_string(&path).unwrap().replace("start: 2s", "start: 2s, heals: 4s");
    fs::write(&path, text).unwrap();
    let outcome = run(plan::load(&path).unwrap(), &folder.path().join("reports"), Arc::new(Nobody)).await.unwrap();
    let rta = &outcome.report.measurements.rta[&Depth::Health];
    assert_eq!(outcome.report.verdict, Verdict::Met);
    assert!(rta.low.unwrap() <= 4.0 && 4.0 <= rta.high.unwrap(), "{rta:?}");
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_lifted_at_the_end() {
    let pause = "faults: [ { pause: { component: mlflow } } ]\nrecovery: []";
    let (report, lines) = drill(pause, "").await;
    assert_eq!(report.verdict, Verdict::Missed, "nobody resumed it");
    let story = story(&lines);
    let at = |what: &str| story.iter().position(|s| s == what).unwrap();
    assert!(at("teardown") < at("lifted") && at("lifted") < at("removed"));
    let (report, _) = drill("faults: [ { pause: { component: mlflow } } ]\nrecovery: [ lift ]", "").await;
    assert_eq!(report.verdict, Verdict::Met);
}

#[tokio::test(start_paused = true)]
async fn a_baseline_that_fails_is_unknown_before_any_fault() {
    // A component that is frozen before the baseline cannot be had without harm; one that starts after it can.
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), CRASH, "");
    let path = folder.path().join("drills/sample.yaml");
    let text = fs::read_to_string(&path).unwrap().replace("component: mlflow, every", "component: absent, every");
    fs::write(&path, text).unwrap();
    let plan = plan::load(&path).unwrap();
    let outcome = run(plan, &folder.path().join("reports"), Arc::new(Nobody)).await.unwrap();
    let lines = read_timeline(&outcome.folder).unwrap();
    assert_eq!(outcome.report.verdict, Verdict::Unknown);
    assert!(!lines.iter().any(|line| matches!(line.fact, Fact::Intended { .. })), "no harm was done");
}

/// What the runbook did, in order.
fn runbook(lines: &[Line]) -> String {
    let of_steps = |told: &String| ["begin ", "end ", "skip "].iter().any(|word| told.starts_with(word));
    story(lines).into_iter().filter(of_steps).collect::<Vec<_>>().join(", ")
}

/// When the first of these facts was told, in seconds.
fn when(lines: &[Line], wanted: impl Fn(&Fact) -> bool) -> f64 {
    lines.iter().find(|line| wanted(&line.fact)).unwrap().at.seconds()
}

fn killed(steps: &str) -> String {
    format!("faults: [ {{ kill: {{ component: mlflow }} }} ]\nrecovery:\n{steps}")
}

// A start takes 2 s, so that one with a deadline of 1 s fails.
const FAILS: &str = "  - { start: { component: mlflow }, id: quick, deadline: 1s }\n";
const WORKS: &str = "  - { start: { component: mlflow }, id: quick }\n";
const FALLBACK: &str =
    "  - { restart: { component: mlflow }, id: slow, when: failed }\n  - { start: { component: mlflow }, id: then }\n";

#[tokio::test(start_paused = true)]
async fn a_fallback_is_carried_out_when_what_it_comes_after_failed() {
    let (report, lines) = drill(&killed(&format!("{FAILS}{FALLBACK}")), "").await;
    assert_eq!(runbook(&lines), "begin quick, end quick missed, begin slow, end slow met, begin then, end then met");
    assert_eq!((report.verdict, report.steps.len(), report.skipped.len()), (Verdict::Met, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_is_not_needed_is_skipped_with_its_branch() {
    let last = "  - { start: { component: mlflow }, id: last, after: [then], when: always }\n";
    let (report, lines) = drill(&killed(&format!("{WORKS}{FALLBACK}{last}")), "").await;
    assert_eq!(runbook(&lines), "begin quick, end quick met, skip slow, skip then, begin last, end last met");
    assert_eq!(report.verdict, Verdict::Met);
    let skipped: Vec<_> = report.skipped.iter().map(|step| (step.id.as_str(), step.reason.as_str())).collect();
    assert_eq!(skipped, [("slow", "nothing that it comes after failed"), ("then", "`slow` was not needed")]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_rest_is_skipped_and_said_so() {
    let rest = "  - { start: { component: mlflow }, id: b }\n  - { start: { component: mlflow }, id: c }\n";
    let (report, lines) = drill(&killed(&format!("{FAILS}{rest}")), "").await;
    assert_eq!(runbook(&lines), "begin quick, end quick missed, skip b, skip c");
    assert_eq!(report.verdict, Verdict::Missed);
    let skipped: Vec<_> = report.skipped.iter().map(|step| step.reason.as_str()).collect();
    assert_eq!(skipped, ["`quick` did not succeed", "`b` did not succeed"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_over_the_steps_that_it_skipped() {
    let between = "  - { start: { component: mlflow }, id: between }\n";
    let (report, lines) = drill(&killed(&format!("{FAILS}{between}{FALLBACK}")), "").await;
    let rest = "skip between, begin slow, end slow met, begin then, end then met";
    assert_eq!(runbook(&lines), format!("begin quick, end quick missed, {rest}"));
    assert_eq!(report.verdict, Verdict::Met);
}

#[tokio::test(start_paused = true)]
async fn steps_that_do_not_wait_for_each_other_are_carried_out_side_by_side() {
    let both = "faults: [ { kill: { component: mlflow } }, { kill: { component: s3 } } ]\nrecovery:\n\
                \x20 - { start: { component: mlflow } }\n\
                \x20 - { start: { component: s3 }, after: [] }\n\
                \x20 - { wait-for: { healthy: s3 }, after: [start-mlflow, start-s3] }\n";
    let (report, _) = drill_with(both, "", &[("[mlflow]", "[mlflow, s3]")]).await;
    let times: Vec<_> = report.steps.iter().map(|step| (step.id.as_str(), step.begin, step.end.unwrap())).collect();
    let [(_, a, a_end), (_, b, b_end), (last, c, _)] = times[..] else { panic!("{times:?}") };
    let same = |x: f64, y: f64| (x - y).abs() < 0.002; // a timer's grain is a millisecond
    assert!(same(a, b) && same(a_end, a + 2.0) && same(b_end, b + 2.0) && same(c, a + 2.0), "{times:?}");
    assert_eq!((report.verdict, last), (Verdict::Met, "wait-for-s3"));
}

#[tokio::test(start_paused = true)]
async fn a_second_disaster_during_the_recovery_moves_the_end_of_the_outage() {
    let twice = "faults: [ { kill: { component: mlflow }, at: recovery+5s }, { kill: { component: mlflow } } ]\n\
                 recovery: []";
    let (report, lines) = drill_with(twice, "", &[("start: 2s", "start: 2s, heals: 4s")]).await;
    let began = when(&lines, |fact| matches!(fact, Fact::Phase(lifeboat::model::Phase::Recovery)));
    let first = when(&lines, |fact| matches!(fact, Fact::Injecting { fault: 1 }));
    let second = when(&lines, |fact| matches!(fact, Fact::Injecting { fault: 0 }));
    assert!((second - began - 5.0).abs() < 0.002, "{began} and {second}");
    // Each outage lasts 4 s; the service is not called back in the second between them.
    let rta = &report.measurements.rta[&Depth::Health];
    let outage = second + 4.0 - first;
    assert!(rta.low.unwrap() <= outage && outage <= rta.high.unwrap() && rta.seconds.unwrap() > 8.9, "{rta:?}");
    assert_eq!(report.verdict, Verdict::Met);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_stable_before_a_late_fault_is_not_called_back_yet() {
    let late = "faults: [ { kill: { component: mlflow } }, { kill: { component: mlflow }, at: recovery+12s } ]\n\
                recovery: [ { start: { component: mlflow } } ]";
    let (report, _) = drill(late, "").await;
    assert_eq!(report.verdict, Verdict::Missed, "nobody started it a second time");
    assert!(report.measurements.rta[&Depth::Health].high.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_late_fault_that_does_not_take_effect_or_is_not_injected_makes_the_drill_unknown() {
    let start = "recovery: [ { start: { component: mlflow } } ]";
    for (late, why) in [
        ("noop: {}, at: recovery", "the fault `noop` did not take effect"),
        ("kill: { component: mlflow }, at: recovery+1s", "at recovery+1s was not injected: cannot kill `mlflow`"),
        ("kill: { component: mlflow }, at: recovery+1m", "at recovery+1m was not injected: the limit of 20s"),
    ] {
        let faults = format!("faults: [ {{ kill: {{ component: mlflow }} }}, {{ {late} }} ]");
        let (report, _) = drill(&format!("{faults}\n{start}"), "").await;
        assert_eq!(report.verdict, Verdict::Unknown, "{late}");
        let reasons: Vec<_> = report.judgements.iter().filter_map(|it| it.reason.clone()).collect();
        assert!(reasons.iter().any(|reason| reason.contains(why)), "{reasons:?}");
        assert_eq!(report.measurements.rta[&Depth::Health].verdict, Some(Verdict::Met), "measured all the same");
    }
}

#[tokio::test(start_paused = true)]
async fn the_faults_of_the_disaster_are_injected_in_the_order_of_their_times_and_time_counts_from_the_first() {
    let faults = "faults: [ { kill: { component: mlflow }, at: disaster+4s }, { kill: { component: s3 } } ]\n\
                  recovery: [ { start: { component: mlflow } } ]";
    let (report, lines) = drill_with(faults, "", &[("[mlflow]", "[mlflow, s3]")]).await;
    let second = when(&lines, |fact| matches!(fact, Fact::Injecting { fault: 0 }));
    let first = when(&lines, |fact| matches!(fact, Fact::Injecting { fault: 1 }));
    assert!((second - first - 4.0).abs() < 0.05, "{first} and {second}");
    let rta = &report.measurements.rta[&Depth::Health];
    assert!((6.0..=6.5).contains(&rta.seconds.unwrap()), "4 s to the second fault and 2 s to start: {rta:?}");
}

#[tokio::test]
async fn a_step_passes_its_outputs_to_a_later_command() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let command = format!(
        "printf '%s,' \"${{steps.bring-back.outputs.point}}\" \"${{steps.other.outputs.point}}\" > {}",
        said.display()
    );
    let steps = format!(
        "  - {{ restore: {{}}, id: bring-back }}\n  - {{ restore: {{}}, id: other, when: failed }}\n\
         \x20 - start: {{ component: mlflow }}\n    after: [bring-back]\n\
         \x20 - command: {command:?}\n    after: [other]\n    when: always\n"
    );
    let protect = "protect: { engine: { command: { backup: 'true', restore: 'true' } }, every: 1h }";
    let quick = [
        ("[mlflow]", "[mlflow, postgres]"),
        ("start: 2s", "start: 50ms"),
        ("stable: 3s", "stable: 500ms"),
        ("baseline: 5s", "baseline: 1s"),
    ];
    let (report, _) = drill_with(&killed(&steps), protect, &quick).await;
    assert_eq!(report.verdict, Verdict::Met, "{report:#?}");
    assert_eq!(fs::read_to_string(said).unwrap(), "0001,,", "a skipped step has put out nothing");
}
