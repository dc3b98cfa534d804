//! kill -9 at random moments of a protection's commands: the repositories stay valid, and the same command ends well.

use crate::protection::{Protected, said};
use crate::protection_artifacts::all;
use crate::protection_versions::{keep_versions, list_versions};
use crate::repository::ObjectLockServer;
use lifeboat::client::{s3, versions};
use rand::Rng;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// So many objects has the bucket that is rolled back.
const OBJECTS: usize = 300;

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
            let moment = kill(&it, command, took).await;

            let verified = it.lifeboat("verify mlflow.yaml");
            assert_eq!(verified.status.code(), Some(0), "after {moment:?} of `{command}`: {}", said(&verified));
            let again = it.lifeboat(command);
            assert_eq!(again.status.code(), Some(0), "after {moment:?} of `{command}`: {}", said(&again));
            it.done("verify mlflow.yaml");
            assert_eq!(it.rows("mlflow").await, rows, "after {moment:?} of `{command}`");
        }
    }
}

/// The rollback of a bucket by the command: what it had not done yet is done by the next, and nothing is done twice.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_a_rollback_leaves_a_bucket_that_the_next_command_brings_back() {
    let Some(store) = ObjectLockServer::start().await else { return };
    let (it, client) = (Protected::start().await, &store.client());
    store.make_bucket("mlflow", false).await;
    list_versions(&it, &store);
    keep_versions(client).await;
    let key = |n: usize| format!("artifacts/{}/{n}", n % 7);
    let put = |n: usize, bytes: &'static [u8]| async move { s3::put(client, "mlflow", &key(n), bytes.to_vec()).await };
    futures::future::try_join_all((0..OBJECTS).map(|n| put(n, b"as it was"))).await.unwrap();
    let before = all(client, "mlflow").await;
    it.done("backup mlflow.yaml --create");
    let command = "restore mlflow.yaml --to latest --replace --only artifacts";
    let mut took = Duration::ZERO;
    for round in 0..=kills() {
        let doomed: Vec<_> = (0..OBJECTS).filter(|n| n % 3 > 0).map(|n| (key(n), None)).collect();
        assert_eq!(versions::delete(client, "mlflow", &doomed).await.unwrap(), []);
        futures::future::try_join_all((0..OBJECTS).step_by(6).map(|n| put(n, b"afterwards"))).await.unwrap();
        assert_ne!(all(client, "mlflow").await, before);
        if round == 0 {
            took = time_of(&it, command);
        } else {
            let moment = kill(&it, command, took).await;
            let again = it.lifeboat(command);
            assert_eq!(again.status.code(), Some(0), "after {moment:?}: {}", said(&again));
        }
        assert_eq!(all(client, "mlflow").await, before);
    }
}

/// Kills the command at a random moment of the time that it takes; answers when.
async fn kill(it: &Protected, command: &str, took: Duration) -> Duration {
    let moment = took.mul_f64(rand::rng().random_range(0.0..1.0));
    let mut running = it.command(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(moment).await;
    let _ = running.kill();
    running.wait().unwrap();
    println!("killed `{command}` after {moment:?}");
    moment
}

/// How long the command takes that nobody kills.
fn time_of(it: &Protected, command: &str) -> Duration {
    let began = Instant::now();
    let output = it.lifeboat(command);
    assert_eq!(output.status.code(), Some(0), "{command}: {}", said(&output));
    began.elapsed()
}
