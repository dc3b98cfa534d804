//! SIGKILL at random moments of a real drill, then `lifeboat cleanup`: nothing may be left, and the next drill is met.
//!
//! `LIFEBOAT_TEST_KILLS` sets how many moments; `make test-full` takes ten.

#![allow(clippy::unwrap_used, missing_docs)]

use lifeboat::client::process::Born;
use lifeboat::model::Fact;
use lifeboat::store;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DRILL: &str = "drill: killed\nscenario: ./drop.yaml\nenvironment: { local: {} }\nscale: 0.02\n\
    protect: { engine: { builtin: { postgres: logical } }, every: 2s }\n\
    workload: { mlflow: { runs: 3/s, artifacts: 1/s } }\n\
    probes: [mlflow: { depth: read, every: 200ms }]\nchecks: [sql-integrity]\n\
    limits: { baseline: 4s }\nstable: 1s\n";
const DROP: &str = "scenario: drop\nfaults: [database-drop: { component: postgres }]\n\
    recovery:\n- stop: { component: mlflow }\n- restore: { component: postgres }\n- start: { component: mlflow }\n";

struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("killed.yaml"), DRILL).unwrap();
        fs::write(folder.path().join("drop.yaml"), DROP).unwrap();
        Self(folder)
    }

    fn lifeboat(&self, args: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args).arg("--reports").arg(self.reports()).current_dir(self.0.path());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.0.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn reports(&self) -> PathBuf {
        self.0.path().join("reports")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.0.path().join("log")).unwrap_or_default()
    }
}

/// What a run's own timeline and the marks in the processes' environment say is still there.
fn left(folder: &Path) -> Vec<String> {
    let mut left = vec![];
    let lines = store::read_timeline(folder).unwrap();
    let run = lines.iter().find_map(|line| if let Fact::Began { run, .. } = &line.fact { Some(run) } else { None });
    let Some(run) = run else { return left };
    for line in &lines {
        if let Fact::Creating(receipt) = &line.fact
            && let Ok(born) = serde_json::from_value::<Born>(receipt.0["process"].clone())
            && born.lives()
        {
            left.push(format!("process {}", born.pid));
        }
    }
    let marked = lifeboat::client::process::marked("LIFEBOAT_RUN", run, "LIFEBOAT_COMPONENT");
    left.extend(marked.into_iter().map(|(born, of)| format!("process {} of {of:?}", born.pid)));
    let state = store::state().join(run);
    left.extend(state.exists().then(|| format!("folder {}", state.display())));
    let points = folder.join("points");
    left.extend(points.exists().then(|| format!("folder {}", points.display())));
    left
}

#[test]
fn whenever_it_is_killed_cleanup_leaves_nothing() {
    let site = Site::new();
    let began = Instant::now();
    assert!(site.lifeboat(&["run", "killed.yaml"]).wait().unwrap().success(), "{}", site.said());
    let whole = began.elapsed();
    let kills = std::env::var("LIFEBOAT_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    for _ in 0..kills {
        let after = whole.mul_f64(rand::random_range(0.01..0.97));
        let mut run = site.lifeboat(&["run", "killed.yaml"]);
        std::thread::sleep(after);
        run.kill().unwrap();
        run.wait().unwrap();
        let folder = store::runs(&site.reports()).pop().unwrap();
        let had = left(&folder).len();
        assert!(site.lifeboat(&["cleanup"]).wait().unwrap().success(), "{}", site.said());
        std::thread::sleep(Duration::from_millis(100));
        println!("killed after {:.2} of {:.2} s: {had} things to remove", after.as_secs_f64(), whole.as_secs_f64());
        assert_eq!(left(&folder), Vec::<String>::new(), "killed after {after:?}: {}", site.said());
    }
    assert!(site.lifeboat(&["run", "killed.yaml"]).wait().unwrap().success(), "{}", site.said());
    for folder in store::runs(&site.reports()) {
        assert_eq!(left(&folder), Vec::<String>::new());
    }
}
