//! The container engine goes away in the middle of a drill and comes back later: the drill ends, unknown, and cleanup
//! removes all that came back with the engine.
//!
//! Apart because every other test on that engine would be hit too: the programs of tests run one after the other. Only on
//! an engine that `deploy/images/engine` has started, since nobody else's is ours to stop.

use crate::binary::{Home, stderr};
use crate::services;
use std::fs;
use std::path::Path;
use std::process::Command;

fn engine(verb: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/images/engine");
    let output = Command::new(script).arg(verb).output().unwrap();
    assert!(output.status.success(), "{verb}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Brings the engine back, whatever became of the test.
struct Back;

impl Drop for Back {
    fn drop(&mut self) {
        engine("up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_whose_engine_goes_away_ends_unknown_and_is_cleaned_up_when_it_is_back() {
    let Some(docker) = services::engine().await else { return };
    let ours = format!("unix://{}", engine("socket").trim());
    if std::env::var("DOCKER_HOST").ok() != Some(ours) {
        services::skipped("the loss of the container engine: it is not the one of deploy/images/engine");
        return;
    }
    let home = Home::new(None);
    let drill = home.path().join("drills/tiny.yaml");
    let text = fs::read_to_string(&drill).unwrap();
    let text = text.replace("{ local: {} }", "{ containers: { images: built } }");
    fs::write(&drill, text.replace("recovery: 4m", "recovery: 20s").replace("rto: 3m", "rto: 10s")).unwrap();
    let mut live = home.drill();
    let run = live.run();
    live.until_it_says("phase recovery");
    let back = Back;
    engine("stop");
    let (code, said) = live.end();
    // 6: the verdict is told, and so is what could not be removed.
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("left behind: ") && said.contains("hint: lifeboat cleanup"), "{said}");
    let report = fs::read_to_string(home.path().join("reports/tiny/latest/report.md")).unwrap();
    assert!(report.contains("unknown"), "{report}");
    let early = home.lifeboat(&["cleanup", &run]);
    assert!(!early.status.success(), "an engine that is gone is not clean: {}", stderr(&early));
    drop(back);
    assert!(!services::on_engine(&docker, &run).await.is_empty(), "the containers came back with the engine");
    let cleaned = home.lifeboat(&["cleanup", &run]);
    assert_eq!(cleaned.status.code(), Some(0), "{}", stderr(&cleaned));
    assert_eq!(services::on_engine(&docker, &run).await, Vec::<String>::new());
    home.assert_nothing_left(&[&run]);
}
