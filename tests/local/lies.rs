//! Recoveries that are a lie: none may end met, and each says why in a sentence. Here are whole drills on the real local
//! platform; `lies/harms.rs` is the catalogue of harms to a restored platform, `lies/honest.rs` has the restores that must
//! raise no alarm, `lies/clean.rs` the recovery points that hold a harm, `lies/shared.rs` a platform that others use. Beside the lies one drill that is met: a backup of the ruins is never what is restored.

mod clean;
pub mod fixture;
mod harms;
mod health;
mod honest;
mod shared;

use lifeboat::model::report::Report;
use lifeboat::model::{RecoveryPoint, Verdict};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// An honest restore by one's own commands: filled at the side, then in the live one's environment. `$from` is the point.
const RESTORE: &str = r#"
    server="${LIFEBOAT_POSTGRES%/*}"
    psql -qX -v ON_ERROR_STOP=1 "$server/postgres" \
        -c 'DROP DATABASE IF EXISTS side WITH (FORCE)' -c 'CREATE DATABASE side'
    pg_restore --exit-on-error -d "$server/side" "$from/db"
    psql -qX -v ON_ERROR_STOP=1 "$server/postgres" \
        -c 'DROP DATABASE IF EXISTS mlflow WITH (FORCE)' -c 'ALTER DATABASE side RENAME TO mlflow'
"#;
const BUILTIN: &str = "builtin: { postgres: logical }";

/// A drill in a folder of its own.
struct Drill {
    folder: tempfile::TempDir,
    name: &'static str,
    engine: String,
    steps: Vec<String>,
    workload: &'static str,
    checks: &'static str,
    objectives: &'static str,
    limits: &'static str,
}

impl Drill {
    /// The database is dropped and restored, and the service has the time to come back.
    fn new(name: &'static str, engine: impl Into<String>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            name,
            engine: engine.into(),
            steps: vec!["restore".into()],
            workload: "workload: { mlflow: { runs: 5/s, artifacts: 0/s } }\n",
            checks: "mlflow-smoke, sql-integrity, contents",
            objectives: "rto: 20s, rpo: 30s, at: read",
            limits: "baseline: 6s, recovery: 30s, drill: 5m",
        }
    }

    /// One whose service will not come back: it is not waited for longer than it was promised, and nobody writes,
    /// because nothing can be read back.
    fn hopeless(name: &'static str, engine: impl Into<String>) -> Self {
        let (objectives, limits) = ("rto: 4s, at: read", "baseline: 6s, recovery: 6s, drill: 5m");
        Self { workload: "", checks: "sql-integrity", objectives, limits, ..Self::new(name, engine) }
    }

    /// A command before the restore.
    fn after(mut self, command: &str) -> Self {
        self.steps.insert(0, format!("command: {}", json!(command)));
        self
    }

    /// Where the points of its run lie while it goes on.
    fn points(&self) -> PathBuf {
        self.folder.path().join("reports").join(self.name).join("latest/points")
    }

    fn write(&self) -> PathBuf {
        let Self { name, engine, workload, checks, objectives, limits, .. } = self;
        let steps = format!("  - {}\n", self.steps.join("\n  - "));
        let scenario =
            format!("scenario: {name}\nfaults: [ {{ database-drop: {{ component: postgres }} }} ]\nrecovery:\n{steps}");
        let drill = format!(
            "drill: {name}\nscenario: {name}\nenvironment: {{ local: {{}} }}\nscale: 0.05\n\
             protect:\n  engine: {{ {engine} }}\n  every: 2s\n{workload}\
             probes: [ {{ mlflow: {{ depth: read, every: 200ms, timeout: 20s }} }} ]\nchecks: [ {checks} ]\n\
             objectives: {{ {objectives} }}\nlimits: {{ {limits} }}\nstable: 1s\nstreak: 2\n"
        );
        let path = |kind: &str| self.folder.path().join(kind).join(format!("{name}.yaml"));
        for (kind, text) in [("scenarios", scenario), ("drills", drill)] {
            fs::create_dir_all(path(kind).parent().unwrap()).unwrap();
            fs::write(path(kind), text).unwrap();
        }
        path("drills")
    }

    /// Carries it out as a user does. The baseline is long and its probe patient, so that a busy machine comes to a steady
    /// state too: a drill in which nothing was harmed would show nothing.
    fn run(&self) -> Report {
        let mut path = vec![crate::postgres::newest()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(["run", "--json"]).arg(self.write()).arg("--reports").arg(self.folder.path().join("reports"));
        let output = command.env("PATH", std::env::join_paths(path).unwrap()).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        let expected = match report.verdict {
            Verdict::Met => 0,
            Verdict::Missed => 3,
            Verdict::Unknown => 4,
        };
        assert_eq!(output.status.code(), Some(expected), "{said}");
        println!("{}: {} in {:.1} s", self.name, report.verdict, report.seconds);
        assert_eq!(report.left, Vec::<String>::new());
        assert_eq!(judged(&report, "fault took effect").0, Verdict::Met, "{said}");
        report
    }
}

/// The user's own commands; a backup is a whole one, a restore is `restore`.
fn own(restore: &str) -> String {
    let backup = r#"pg_dump -Fc -f "$LIFEBOAT_POINT/db" "$LIFEBOAT_POSTGRES""#;
    format!("command: {{ backup: {}, restore: {} }}", json!(backup), json!(restore))
}

fn honest_then(harm: &str) -> String {
    let harm = format!("psql -qX -v ON_ERROR_STOP=1 \"$LIFEBOAT_POSTGRES\" -c '{harm}'");
    own(&format!("set -e; from=\"$LIFEBOAT_POINT\"{RESTORE}{harm}"))
}

fn judged(report: &Report, what: &str) -> (Verdict, String) {
    let found = report.judgements.iter().find(|judgement| judgement.what == what);
    let found = found.unwrap_or_else(|| panic!("`{what}` was not judged: {:#?}", report.judgements));
    (found.verdict, found.reason.clone().unwrap_or_default())
}

fn restored(report: &Report) -> &lifeboat::model::report::StepReport {
    report.steps.iter().find(|step| step.kind == "restore").unwrap()
}

/// The point that was restored, and when the fault can have taken effect at the earliest.
fn chosen(report: &Report) -> (&RecoveryPoint, f64) {
    let (_, id) = restored(report).figures.iter().find(|(name, _)| name == "point").unwrap();
    (report.points.iter().find(|point| point.id == *id).unwrap(), report.moments["injecting"])
}

#[test]
fn a_restore_that_loses_a_table_which_clients_need_is_missed_by_name() {
    let report = Drill::new("lost-table", honest_then("DROP TABLE registered_models CASCADE")).run();
    assert_eq!((restored(&report).verdict, report.verdict), (Verdict::Met, Verdict::Missed));
    assert_eq!(judged(&report, "rto").0, Verdict::Met, "who only reads a run sees nothing");
    let (verdict, why) = judged(&report, "mlflow-smoke");
    assert!(verdict == Verdict::Missed && why.contains("registry: "), "{why}");
}

#[test]
fn a_restore_that_loses_a_table_nobody_asks_for_is_missed_by_name() {
    let report = Drill::new("lost-silent-table", honest_then("DROP TABLE webhooks CASCADE")).run();
    assert_eq!(judged(&report, "mlflow-smoke").0, Verdict::Met, "no question needs it");
    let (verdict, why) = judged(&report, "sql-integrity");
    assert!(verdict == Verdict::Missed && why.contains("the table `public.webhooks` is gone"), "{why}");
    assert_eq!(report.verdict, Verdict::Missed);
}

#[test]
fn a_restore_that_loses_half_of_the_params_is_missed_by_name() {
    let report =
        Drill::new("half-of-the-params", honest_then("DELETE FROM params WHERE ctid::text ~ $$[02468].$$")).run();
    let (verdict, why) = judged(&report, "contents");
    assert!(verdict == Verdict::Missed && why.contains("`public.params`"), "{why}");
    assert_eq!(report.verdict, Verdict::Missed);
}

#[test]
fn a_restore_of_an_older_backup_misses_the_recovery_point_that_the_right_one_keeps() {
    let oldest = format!("set -e; from=\"$LIFEBOAT_POINT/../0001\"{RESTORE}");
    let mut drill = Drill::new("older-backup", own(&oldest));
    drill.objectives = "rto: 20s, rpo: 4s, at: read";
    drill.limits = "baseline: 8s, recovery: 30s, drill: 5m";
    let report = drill.run();
    let (point, onset) = chosen(&report);
    assert!(point.id != "0001" && onset - point.snapshot.seconds() < 4.0, "the right one was in reach: {point:?}");
    let rpa = &report.measurements.rpa.strict;
    assert!(rpa.low.unwrap() > 4.0 && report.writes.lost.unwrap() > 20, "{rpa:?}: {:?}", report.writes);
    assert!(rpa.high.is_some(), "already the first point holds a write: {rpa:?}");
    let (verdict, why) = judged(&report, "rpo");
    assert!(verdict == Verdict::Missed && why.contains("the objective is 4 s"), "{why}");
    assert_eq!(report.verdict, Verdict::Missed);
}

#[test]
fn a_corrupt_backup_is_refused() {
    let drill = Drill::hopeless("corrupt-backup", BUILTIN);
    let harm =
        "chmod u+w \"$pack\"; printf corrupt | dd of=\"$pack\" bs=1 seek=$(($(wc -c < \"$pack\") / 2)) conv=notrunc";
    let harm = format!("set -e; for pack in {}/repository/data/*/*; do {harm}; done", drill.points().display());
    let report = drill.after(&harm).run();
    let step = restored(&report);
    let why = step.reason.as_deref().unwrap();
    assert!(step.verdict == Verdict::Missed && why.contains("what is stored is damaged"), "{why}");
    assert_eq!((report.verdict, judged(&report, "rto").0), (Verdict::Missed, Verdict::Missed));
}

#[test]
fn a_truncated_backup_is_refused() {
    let drill = Drill::hopeless("truncated-backup", BUILTIN);
    let harm = "chmod u+w \"$pack\"; truncate -s $(($(wc -c < \"$pack\") / 2)) \"$pack\"";
    let harm = format!("set -e; for pack in {}/repository/data/*/*; do {harm}; done", drill.points().display());
    let report = drill.after(&harm).run();
    let step = restored(&report);
    let why = step.reason.as_deref().unwrap();
    assert!(step.verdict == Verdict::Missed && why.contains("the file is cut short"), "{why}");
    assert_eq!((report.verdict, judged(&report, "rto").0), (Verdict::Missed, Verdict::Missed));
}

#[test]
fn a_restore_that_does_nothing_and_says_it_did_is_missed() {
    let report = Drill::hopeless("empty-restore", own("true")).run();
    assert_eq!(restored(&report).verdict, Verdict::Met, "an engine is not asked whether it did well");
    let (verdict, why) = judged(&report, "rto");
    assert!(verdict == Verdict::Missed && why.contains("not back when watching ended"), "{why}");
    assert_eq!(report.verdict, Verdict::Missed);
}

#[test]
fn a_backup_of_the_empty_database_made_anew_is_never_what_is_restored() {
    let empty = "psql -qX \"${LIFEBOAT_POSTGRES%/*}/postgres\" -c 'CREATE DATABASE mlflow' && sleep 5";
    let report = Drill::new("ruins", BUILTIN).after(empty).run();
    let (point, onset) = chosen(&report);
    let (confirmed, begin) = (report.moments["onset"], restored(&report).begin);
    let of_ruins = |other: &RecoveryPoint| confirmed < other.snapshot.seconds() && other.snapshot.seconds() < begin;
    assert!(report.points.iter().any(of_ruins), "no backup was taken of the ruins: {:?}", report.points);
    assert!(point.snapshot.seconds() < onset, "{point:?}");
    assert!(report.writes.survived.unwrap() > 0, "{:?}", report.writes);
    assert_eq!(report.verdict, Verdict::Met, "{:#?}", report.judgements);
}
