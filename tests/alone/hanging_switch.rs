//! SIGKILL with a node off, and a switch that hangs: `cleanup` ends in time, removes all the rest and names the node; when
//! the switch works again, so does `cleanup`.
//!
//! Apart because the drill's own program is killed, and its switch is a script that this test changes afterwards.
#![allow(clippy::disallowed_methods)] // reads the clock itself

use crate::nodes::TURN;
use crate::services;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use lifeboat::client::kubernetes::nodes;
use lifeboat::model::{Fact, Line, Verdict};
use lifeboat::store;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DRILL: &str = "drill: lost\nscenario: ./lost-node.yaml\n\
    probes: [mlflow: { depth: health, every: 500ms, timeout: 10s }]\nchecks: []\n\
    limits: { baseline: 2s, recovery: 4m }\nstable: 1s\n";
const SCENARIO: &str = "scenario: lost-node\nfaults: [node-lost: { carries: mlflow, spares: postgres, how: power }]\n\
    recovery: [command: 'sleep 300']\n";

/// A folder with the drill and its switch; at its end every node that the drill took away is up again, and nothing of
/// the drill is left.
struct Site {
    folder: tempfile::TempDir,
    run: Option<Child>,
}

impl Site {
    fn new(kubeconfig: &Path, switch: &str) -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap(), run: None };
        let source = env!("CARGO_MANIFEST_DIR");
        let hang = this.hang().display().to_string();
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = up ] && [ -e '{hang}' ]; then sleep 1000; fi\n\
             cd '{source}' && exec {switch} \"$@\"\n"
        );
        fs::write(this.switch(), script).unwrap();
        fs::set_permissions(this.switch(), fs::Permissions::from_mode(0o700)).unwrap();
        let verb = |verb: &str| format!("{} {verb} \"$LIFEBOAT_NODE\"", this.switch().display());
        let nodes = json!({ "power_off": verb("kill"), "power_on": verb("up"), "cut_off": verb("cut"), "connect": verb("heal") });
        let environment = json!({ "kubernetes": { "kubeconfig": kubeconfig, "images": "built", "access": "forward",
            "storage_class": "network", "mlflow": { "replicas": 2, "toleration": "5s" }, "nodes": nodes } });
        fs::write(this.path().join("lost.yaml"), format!("{DRILL}environment: {environment}\n")).unwrap();
        fs::write(this.path().join("lost-node.yaml"), SCENARIO).unwrap();
        this
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn switch(&self) -> PathBuf {
        self.path().join("switch")
    }

    /// While this file is there the switch does not come to its end.
    fn hang(&self) -> PathBuf {
        self.path().join("hang")
    }

    fn lifeboat(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args).arg("--reports").arg(self.path().join("reports")).current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    fn cleanup(&self) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.lifeboat(&["cleanup"]).output().unwrap();
        (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
    }

    /// The timeline of its run, so far.
    fn lines(&self) -> Vec<Line> {
        let folder = store::runs(&self.path().join("reports")).pop();
        folder.and_then(|folder| store::read_timeline(&folder).ok()).unwrap_or_default()
    }

    /// The node that the drill takes away, once it is decided.
    fn node(&self) -> Option<String> {
        let node = |line: Line| match line.fact {
            Fact::Intended { receipt, .. } => receipt.0["node"].as_str().map(str::to_owned),
            _ => None,
        };
        self.lines().into_iter().find_map(node)
    }

    /// Runs the drill and kills it as soon as its fault has taken effect; answers the run's name.
    fn kill_after_the_onset(&mut self) -> String {
        let log = fs::File::create(self.path().join("log")).unwrap();
        let run = self.lifeboat(&["run", "lost.yaml"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let run = self.run.insert(run);
        let folder = self.folder.path().to_owned();
        let said = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        let reports = folder.join("reports");
        loop {
            assert!(run.try_wait().unwrap().is_none(), "{}", said());
            let newest = store::runs(&reports).pop();
            let lines = newest.and_then(|folder| store::read_timeline(&folder).ok()).unwrap_or_default();
            let onset =
                |line: &Line| matches!(&line.fact, Fact::Confirmed { finding, .. } if finding.verdict == Verdict::Met);
            if lines.iter().any(onset) {
                run.kill().unwrap();
                run.wait().unwrap();
                let Some(Line { fact: Fact::Began { run, .. }, .. }) = lines.first() else { panic!("{lines:?}") };
                return run.clone();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(run) = &mut self.run {
            let _ = run.kill();
            let _ = run.wait();
        }
        let _ = fs::remove_file(self.hang());
        if let Some(node) = self.node() {
            let _ = Command::new(self.switch()).args(["up", &node]).status(); // up already is as good
        }
        let _ = self.cleanup();
    }
}

async fn ready(client: &Client, node: &str) -> bool {
    let node = Api::<Node>::all(client.clone()).get(node).await.unwrap();
    nodes::ready(&node)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_hangs_does_not_hold_up_the_cleanup_of_the_rest() {
    let (Some(client), Some(kubeconfig)) = (services::cluster().await, services::kubeconfig()) else { return };
    let Some(switch) = services::switch() else { return };
    let _turn = TURN.lock().await;
    let mut site = Site::new(&kubeconfig, &switch);
    let run = tokio::task::block_in_place(|| site.kill_after_the_onset());
    let node = site.node().unwrap();
    fs::write(site.hang(), "").unwrap();

    let began = Instant::now();
    let (code, said) = tokio::task::block_in_place(|| site.cleanup());
    let took = began.elapsed();
    println!("cleaned up in {:.1} s:\n{said}", took.as_secs_f64());
    assert_eq!(code, Some(6), "{said}");
    assert!(took < Duration::from_mins(1), "{took:?}: {said}");
    let left: Vec<_> = said.lines().filter(|line| line.contains("left behind: ")).collect();
    assert!(left.len() == 1 && left[0].contains(&format!("node `{node}`")), "{said}");
    assert_eq!(services::in_cluster(&client, &run).await, Vec::<String>::new(), "{said}");
    assert!(!store::state().join(&run).exists(), "{said}");

    fs::remove_file(site.hang()).unwrap();
    let (code, said) = tokio::task::block_in_place(|| site.cleanup());
    assert_eq!(code, Some(0), "{said}");
    assert!(ready(&client, &node).await, "{said}");
    let still = lifeboat::client::process::switches_of(&run);
    assert!(still.is_empty(), "{still:?}");
}
