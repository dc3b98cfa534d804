//! Drills whose points are kept in repositories that they name: there while the drill goes on, gone when it is over, and
//! never taken for a protection's.

use crate::protection::{Protected, said};
use lifeboat::model::Verdict;
use lifeboat::model::report::{Report, StepReport};
use lifeboat::store;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A drill in the folder of a protection.
pub struct RepositoryDrill<'a> {
    pub it: &'a Protected,
    pub name: &'a str,
}

impl RepositoryDrill<'_> {
    /// Writes it: what stands behind `protect`, the faults, and the runbook up to the start of MLflow.
    pub fn write(&self, protect: &str, faults: &str, steps: &[&str]) {
        let (name, folder) = (self.name, self.it.folder.path());
        let steps = steps.iter().fold(String::new(), |all, step| format!("{all}  - {step}\n"));
        let scenario =
            format!("scenario: {name}\nfaults: [ {faults} ]\nrecovery:\n{steps}  - start: {{ component: mlflow }}\n");
        let drill = format!(
            "drill: {name}\nscenario: {name}\nenvironment: {{ local: {{}} }}\nscale: 0.02\nprotect: {protect}\n\
             workload: {{ mlflow: {{ runs: 3/s, artifacts: 1/s }} }}\n\
             probes: [ {{ mlflow: {{ depth: read, every: 200ms, timeout: 20s }} }} ]\n\
             checks: [ sql-integrity, contents ]\nobjectives: {{ rto: 4m, rpo: 1m }}\n\
             limits: {{ baseline: 8s, recovery: 5m, drill: 10m }}\nstable: 1s\n"
        );
        for (kind, text) in [("scenarios", scenario), ("drills", drill)] {
            fs::create_dir_all(folder.join(kind)).unwrap();
            fs::write(folder.join(kind).join(format!("{name}.yaml")), text).unwrap();
        }
    }

    /// With other texts in its file.
    pub fn change(&self, changes: &[(&str, &str)]) {
        let path = self.path("drills").join(format!("{}.yaml", self.name));
        let text = changes.iter().fold(fs::read_to_string(&path).unwrap(), |text, (from, to)| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        });
        fs::write(path, text).unwrap();
    }

    /// With little time: nothing comes back.
    pub fn hopeless(&self) {
        self.change(&[("rto: 4m", "rto: 5s"), ("recovery: 5m", "recovery: 15s")]);
    }

    /// Carries it out as a user does.
    #[track_caller]
    pub fn run(&self) -> (Report, String) {
        let args = format!("run drills/{}.yaml --json --reports reports", self.name);
        let output = self.it.command(&args).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        println!("{}: {} in {:.1} s", self.name, report.verdict, report.seconds);
        assert_eq!(report.left, Vec::<String>::new(), "{told}");
        (report, told)
    }

    /// Begins it, and waits until a repository holds a point.
    fn begun(&self, snapshots: &Path) -> Child {
        let mut command = self.it.command(&format!("run drills/{}.yaml --reports reports", self.name));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while files(snapshots) == 0 {
            assert!(child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_mins(4), "no point came");
            std::thread::sleep(Duration::from_millis(100));
        }
        child
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.it.folder.path().join(name)
    }
}

pub fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

pub fn step<'a>(report: &'a Report, kind: &str) -> &'a StepReport {
    report.steps.iter().find(|step| step.kind == kind).unwrap()
}

pub fn figure<'a>(step: &'a StepReport, name: &str) -> &'a str {
    step.figures.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap()
}

const INLINE: &str = "{ engine: { builtin: { postgres: logical } }, every: 3s, repositories: [ \
    { near: { directory: near, password: { file: password } } }, \
    { far: { directory: far, password: { file: password } } } ] }";
const DROP: &str = "{ database-drop: { component: postgres } }";
const RESTORE: &str = "restore: { component: postgres }";

#[tokio::test(flavor = "multi_thread")]
async fn the_points_of_a_drill_are_beside_those_of_its_protection_and_gone_afterwards() {
    let it = Protected::start().await;
    let drill = RepositoryDrill { it: &it, name: "beside" };
    let folder = it.folder.path().display();
    let look = format!(
        "command: 'cd {folder} && ls near/snapshots | wc -l > seen && {} points mlflow.yaml --json > listed'",
        env!("CARGO_BIN_EXE_lifeboat")
    );
    drill.write("../mlflow.yaml", DROP, &[&look, "stop: { component: mlflow }", RESTORE]);
    // Nothing is touched where the repositories of a protection are not there.
    let why = it.refused("run drills/beside.yaml --reports reports", 2);
    assert!(why.contains("there is none") && why.contains("lifeboat backup FILE --create"), "{why}");
    assert_eq!((files(&drill.path("near")), files(&drill.path("reports"))), (0, 0));

    it.done("backup mlflow.yaml --create");
    let planned = it.done("plan drills/beside.yaml");
    assert_eq!(planned["survey"]["facts"]["repository near"], "near", "{planned:#}");
    let (report, told) = drill.run();
    assert_eq!(report.verdict, Verdict::Met, "{told}\n{:#?}", report.judgements);
    assert_eq!(figure(step(&report, "restore"), "repository"), "near");
    let seen: usize = fs::read_to_string(drill.path("seen")).unwrap().trim().parse().unwrap();
    assert!(seen >= 2, "one of the protection and {} of the drill", seen - 1);
    let listed: serde_json::Value = serde_json::from_slice(&fs::read(drill.path("listed")).unwrap()).unwrap();
    let points = |listed: &serde_json::Value, n: usize| listed[n]["points"].as_array().unwrap().len();
    assert_eq!((points(&listed, 0), points(&listed, 1)), (1, 1), "no command takes them for the protection's");
    for repository in ["near/snapshots", "far/snapshots"] {
        assert_eq!(files(&drill.path(repository)), 1, "{repository}: the protection's stays, the drill's are gone");
    }
    it.done("verify mlflow.yaml");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_takes_the_repository_that_still_has_the_point() {
    let it = Protected::start().await;
    let drill = RepositoryDrill { it: &it, name: "elsewhere" };
    let lose = format!("command: 'rm -r {}'", drill.path("near").display());
    drill.write(INLINE, DROP, &["stop: { component: mlflow }", &lose, RESTORE]);
    let (report, told) = drill.run();
    assert_eq!(report.verdict, Verdict::Met, "{told}\n{:#?}", report.judgements);
    assert_eq!(figure(step(&report, "restore"), "repository"), "far");
    assert_eq!(files(&drill.path("far/snapshots")) + files(&drill.path("far/index")), 0, "the drill's own is empty");
    assert_eq!(files(&drill.path("near")), 0, "what is gone is not made anew");

    // Where no repository has it, the restore is missed, and says of each why.
    let both = format!("command: 'rm -r {} {}'", drill.path("near").display(), drill.path("far").display());
    drill.write(INLINE, DROP, &["stop: { component: mlflow }", &both, RESTORE]);
    drill.hopeless();
    let (report, _) = drill.run();
    let why = step(&report, "restore").reason.clone().unwrap_or_default();
    assert!(report.verdict == Verdict::Missed && why.contains("no repository can be read"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_drill_leaves_its_points_to_cleanup_and_only_where_it_was_started() {
    let it = Protected::start().await;
    let drill = RepositoryDrill { it: &it, name: "killed" };
    drill.write(INLINE, DROP, &["stop: { component: mlflow }", RESTORE]);
    let (near, far) = (drill.path("near/snapshots"), drill.path("far/snapshots"));
    let mut child = drill.begun(&far);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(files(&near) > 0 && files(&far) > 0);

    let run = store::runs(&drill.path("reports")).pop().unwrap();
    let elsewhere = it.command(&format!("cleanup {}", run.display())).current_dir("/").output().unwrap();
    let told = said(&elsewhere);
    assert!(elsewhere.status.code() == Some(6) && told.contains("Paths begin there"), "{told}");
    assert!(files(&near) > 0 && files(&far) > 0, "nothing is taken for gone");
    let here = it.lifeboat(&format!("cleanup {}", run.display()));
    assert_eq!(here.status.code(), Some(0), "{}", said(&here));
    assert_eq!((files(&near), files(&far)), (0, 0));
}
