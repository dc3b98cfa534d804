//! kill -9 at random moments of a protection's commands: the repositories stay valid, and the same command ends well.

use crate::protection::{Protected, said};
use rand::Rng;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How often each command is killed.
fn kills() -> u32 {
    std::env::var("LIFEBOAT_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_leaves_valid_repositories_and_the_next_command_ends_well() {
    let it = Protected::start().await;
    it.write_with("mlflow", "keep: 1ms\n");
    // So that a dump takes a while, and no two points are the same.
    let more = "INSERT INTO runs SELECT n FROM generate_series((SELECT max(id) + 1 FROM runs), \
        (SELECT max(id) + 60000 FROM runs)) n";
    it.sql("mlflow", more).await;
    it.done("backup mlflow.yaml --create");
    for command in [
        "backup mlflow.yaml",
        "copy mlflow.yaml --from near --to far",
        "prune mlflow.yaml --readers 0s",
        "restore mlflow.yaml --to latest --replace",
    ] {
        let took = time_of(&it, command);
        for _ in 0..kills() {
            // Something to do for each of them.
            it.sql("mlflow", more).await;
            it.done("backup mlflow.yaml");
            let rows = it.rows("mlflow").await;
            let moment = took.mul_f64(rand::rng().random_range(0.0..1.0));
            let mut running = it.command(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(moment).await;
            let _ = running.kill();
            running.wait().unwrap();
            println!("killed `{command}` after {moment:?}");

            let verified = it.lifeboat("verify mlflow.yaml");
            assert_eq!(verified.status.code(), Some(0), "after {moment:?} of `{command}`: {}", said(&verified));
            let again = it.lifeboat(command);
            assert_eq!(again.status.code(), Some(0), "after {moment:?} of `{command}`: {}", said(&again));
            it.done("verify mlflow.yaml");
            assert_eq!(it.rows("mlflow").await, rows, "after {moment:?} of `{command}`");
        }
    }
}

/// How long the command takes that nobody kills.
fn time_of(it: &Protected, command: &str) -> Duration {
    let began = Instant::now();
    let output = it.lifeboat(command);
    assert_eq!(output.status.code(), Some(0), "{command}: {}", said(&output));
    began.elapsed()
}
