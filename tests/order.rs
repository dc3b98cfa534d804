//! Whole drills in a simulated place on a paused clock: the order of phases, exact times, and the lies that must
//! not be told.
#![allow(clippy::unwrap_used, missing_docs)]

use lifeboat::model::report::Report;
use lifeboat::model::{Depth, Fact, Line, Verdict};
use lifeboat::run::{Outcome, Watcher, run};
use lifeboat::spec;
use lifeboat::store::read_timeline;
use std::fs;
use std::path::Path;
use std::sync::Arc;

struct Nobody;

impl Watcher for Nobody {
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
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), scenario, extra);
    let plan = spec::plan(&folder.path().join("drills/sample.yaml")).unwrap_or_else(|wrong| panic!("{wrong}"));
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
                Fact::Decided { what, verdict, .. } => format!("{what} {verdict}"),
                Fact::Intended { .. } => "intended".to_owned(),
                Fact::Injecting { .. } => "injecting".to_owned(),
                Fact::Confirmed { finding, .. } => format!("confirmed {}", finding.verdict),
                Fact::StepBegan { id, .. } => format!("begin {id}"),
                Fact::StepEnded { id, finding } => format!("end {id} {}", finding.verdict),
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
    // Noticed at the third failed answer, at most 0.3 s after the bite; the start takes 2 s; ticks are 0.1 s apart.
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
async fn a_platform_that_heals_itself_needs_no_runbook() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "faults: [ { kill: { component: mlflow } } ]\nrecovery: []", "");
    let path = folder.path().join("drills/sample.yaml");
    let text = fs::read_to_string(&path).unwrap().replace("start: 2s", "start: 2s, heals: 4s");
    fs::write(&path, text).unwrap();
    let outcome = run(spec::plan(&path).unwrap(), &folder.path().join("reports"), Arc::new(Nobody)).await.unwrap();
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
async fn a_baseline_that_fails_is_unknown_before_any_harm() {
    // A component that is frozen before the baseline cannot be had without harm; one that starts after it can.
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), CRASH, "");
    let path = folder.path().join("drills/sample.yaml");
    let text = fs::read_to_string(&path).unwrap().replace("component: mlflow, every", "component: absent, every");
    fs::write(&path, text).unwrap();
    let plan = spec::plan(&path).unwrap();
    let outcome = run(plan, &folder.path().join("reports"), Arc::new(Nobody)).await.unwrap();
    let lines = read_timeline(&outcome.folder).unwrap();
    assert_eq!(outcome.report.verdict, Verdict::Unknown);
    assert!(!lines.iter().any(|line| matches!(line.fact, Fact::Intended { .. })), "no harm was done");
}
