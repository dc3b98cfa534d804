//! SIGKILL at random moments of a real drill, then `lifeboat cleanup`: nothing may be left of it, all of a live run beside
//! it, and the next drill is met.
//!
//! In each environment, by the groups of tests. `LIFEBOAT_TEST_KILLS` sets how many moments; `make test-full` takes ten.

#![allow(dead_code)] // each group takes its own environment

use super::services;
use kube::Client;
use lifeboat::client::process::ProcessIdentity;
use lifeboat::model::{Fact, Phase, Receipt};
use lifeboat::store;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testcontainers::bollard::Docker;

const DRILL: &str = "drill: killed\nscenario: ./drop.yaml\nscale: 0.02\n\
    protect: { engine: { builtin: { postgres: logical } }, every: 2s }\n\
    workload: { mlflow: { runs: 3/s, artifacts: 1/s } }\n\
    probes: [mlflow: { depth: read, every: 200ms, timeout: 10s }]\nchecks: [sql-integrity]\n\
    limits: { baseline: 4s }\nstable: 1s\n";
const DROP: &str = "scenario: drop\nfaults: [database-drop: { component: postgres }]\n\
    recovery:\n- stop: { component: mlflow }\n- restore: { component: postgres }\n- start: { component: mlflow }\n";

/// Where drills happen, and how one sees what they leave there.
pub enum Target {
    Processes,
    Engine(Docker),
    Cluster(Client),
}

pub struct Site {
    folder: tempfile::TempDir,
    target: Target,
}

impl Site {
    pub fn new(target: Target, environment: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("killed.yaml"), format!("{DRILL}environment: {environment}\n")).unwrap();
        fs::write(folder.path().join("drop.yaml"), DROP).unwrap();
        Self { folder, target }
    }

    /// With backups of the whole server, and its log.
    pub fn physical(self) -> Self {
        let file = self.folder.path().join("killed.yaml");
        let drill = fs::read_to_string(&file).unwrap();
        fs::write(file, drill.replace("postgres: logical", "postgres: physical")).unwrap();
        self
    }

    /// Kills a run of the drill when it has recorded such an intent, and cleans up: nothing is left. Answers what was.
    pub async fn killed_at(&self, intent: impl Fn(&Receipt) -> bool) -> Vec<String> {
        let mut run = self.lifeboat(&["run", "killed.yaml"]);
        let intends = |fact: &Fact| matches!(fact, Fact::Acting(receipt) if intent(receipt));
        let folder = loop {
            let folder = store::runs(&self.reports()).pop();
            if let Some(folder) = folder.filter(|it| store::read_timeline(it).unwrap().iter().any(|l| intends(&l.fact)))
            {
                break folder;
            }
            assert!(run.try_wait().unwrap().is_none(), "it ended before: {}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        run.kill().unwrap();
        run.wait().unwrap();
        let left = self.left(&folder).await;
        self.succeeds(&["cleanup"]);
        assert_eq!(self.left(&folder).await, Vec::<String>::new(), "{}", self.said());
        left
    }

    fn lifeboat(&self, args: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args).arg("--reports").arg(self.reports()).current_dir(self.folder.path());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    #[track_caller]
    fn succeeds(&self, args: &[&str]) {
        assert!(self.lifeboat(args).wait().unwrap().success(), "{}", self.said());
    }

    fn reports(&self) -> PathBuf {
        self.folder.path().join("reports")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What a run's own timeline, the marks in the processes' environment variables and the engine or cluster say is still there.
    async fn left(&self, folder: &Path) -> Vec<String> {
        let mut left = vec![];
        let lines = store::read_timeline(folder).unwrap();
        let run = lines.iter().find_map(|line| if let Fact::Began { run, .. } = &line.fact { Some(run) } else { None });
        let Some(run) = run else { return left };
        for line in &lines {
            if let Fact::Creating(receipt) = &line.fact
                && let Ok(identity) = serde_json::from_value::<ProcessIdentity>(receipt.0["process"].clone())
                && identity.lives()
            {
                left.push(format!("process {}", identity.pid));
            }
        }
        let marked = lifeboat::client::process::marked("LIFEBOAT_RUN", run, "LIFEBOAT_COMPONENT");
        left.extend(marked.into_iter().map(|(_, of)| format!("a process of {of:?}"))); // workers come and go
        let files = fs::read_dir(store::state()).into_iter().flatten().flatten();
        let ours = files.filter(|file| file.file_name().to_string_lossy().starts_with(run.as_str()));
        left.extend(ours.map(|file| format!("`{}`", file.path().display())));
        let points = folder.join("points");
        left.extend(points.exists().then(|| format!("folder {}", points.display())));
        left.extend(match &self.target {
            Target::Processes => vec![],
            Target::Engine(docker) => services::on_engine(docker, run).await,
            Target::Cluster(client) => services::in_cluster(client, run).await,
        });
        left.sort();
        left.dedup();
        left
    }

    /// The same of a live run, without the tools of its backups, which end by themselves.
    async fn kept(&self, folder: &Path) -> Vec<String> {
        let mut kept = self.left(folder).await;
        kept.retain(|thing| !thing.contains("tool"));
        kept
    }

    /// Starts the drill and kills it: at a random moment of the time that a whole one takes, but not later than in its
    /// tear-down, or soon after its platform serves. Answers its folder, and when it was killed.
    async fn kill(&self, serving: bool, whole: Duration) -> (PathBuf, Duration) {
        let after = whole.mul_f64(rand::random_range(0.01..0.97));
        let (began, before) = (Instant::now(), store::runs(&self.reports()));
        let mut run = self.lifeboat(&["run", "killed.yaml"]);
        let newest = || store::runs(&self.reports()).pop().filter(|folder| !before.contains(folder));
        let at = |phase| newest().is_some_and(|folder| reached(&store::read_timeline(&folder).unwrap(), phase));
        let enough = || if serving { at(Phase::Baseline) } else { began.elapsed() > after || at(Phase::Teardown) };
        while !(newest().is_some() && enough()) && run.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..if serving { 3000 } else { 200 }))).await;
        run.kill().unwrap();
        run.wait().unwrap();
        (newest().unwrap_or_else(|| panic!("it ended before it had a folder: {}", self.said())), began.elapsed())
    }

    /// Starts the drill, and waits until its platform serves: from then on nothing is made or removed for a while.
    fn served(&self) -> (Live, PathBuf) {
        let before = store::runs(&self.reports());
        let mut live = Live(self.lifeboat(&["run", "killed.yaml"]));
        loop {
            assert!(live.0.try_wait().unwrap().is_none(), "{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
            let Some(folder) = store::runs(&self.reports()).pop().filter(|folder| !before.contains(folder)) else {
                continue;
            };
            let lines = store::read_timeline(&folder).unwrap();
            if reached(&lines, Phase::Baseline) {
                return (live, folder);
            }
        }
    }
}

/// Has a run begun this phase?
fn reached(lines: &[lifeboat::model::Line], phase: Phase) -> bool {
    lines.iter().any(|line| line.fact == Fact::Phase(phase))
}

/// A live run; it dies with this value.
struct Live(Child);

impl Live {
    /// From now on it has what it has, for whoever looks.
    fn freeze(&self) {
        let id = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills runs of a drill, each at a moment of its own.
pub async fn kill_at_random(site: Site, kills: u32) {
    let began = Instant::now();
    site.succeeds(&["run", "killed.yaml"]);
    let whole = began.elapsed();
    let kills = std::env::var("LIFEBOAT_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(kills);
    let (live, of_live) = site.served();
    live.freeze();
    let alive = site.kept(&of_live).await;
    assert!(alive.len() > 1, "{alive:?}: {}", site.said());
    for n in 0..kills {
        let (folder, after) = site.kill(n == 0, whole).await;
        let (had, lines) = (site.left(&folder).await.len(), store::read_timeline(&folder).unwrap());
        let serves = reached(&lines, Phase::Baseline) && !reached(&lines, Phase::Teardown);
        assert!(had > 0 || !serves, "killed after {after:?}, it had nothing: {}", site.said());
        assert!(serves || n > 0, "the first one is killed while its platform serves: {}", site.said());
        site.succeeds(&["cleanup"]);
        std::thread::sleep(Duration::from_millis(100));
        println!("killed after {:.2} of {:.2} s: {had} things to remove", after.as_secs_f64(), whole.as_secs_f64());
        assert_eq!(site.left(&folder).await, Vec::<String>::new(), "killed after {after:?}: {}", site.said());
        assert_eq!(site.kept(&of_live).await, alive, "a live run was touched: {}", site.said());
    }
    drop(live);
    site.succeeds(&["cleanup"]);
    site.succeeds(&["run", "killed.yaml"]);
    for folder in store::runs(&site.reports()) {
        assert_eq!(site.left(&folder).await, Vec::<String>::new());
    }
}
