//! What a drill leaves of a standing platform: as it was after one that is met; the recovery points and the way out after
//! one that was interrupted or whose restore failed.

use crate::standing::{Part, Standing, differences, points, told};
use lifeboat::model::Fact;
use std::process::Command;

const DROP: &str = "faults: [database-drop: {}]\nrecovery:\n- stop: { component: mlflow }\n\
    - restore: {}\n- start: { component: mlflow }\n";

/// What users add while a drill goes on, and how it is taken away again.
const ADDED: &str = "
    INSERT INTO runs SELECT md5('busy'), 'busy', source_type, source_name, entry_point_name, user_id, 'FINISHED', start_time, \
        end_time, source_version, 'active', artifact_uri, experiment_id FROM runs WHERE name = 'seed-1-1';
    INSERT INTO params VALUES ('p', 'of a user', md5('busy'))";
const AWAY: &str = "DELETE FROM params WHERE run_uuid = md5('busy'); DELETE FROM runs WHERE run_uuid = md5('busy')";
/// What users change and delete while a drill goes on: without the digests of the restored point it would be a loss. Not
/// one of the oldest runs, which the probe reads.
const CHANGED: &str = "UPDATE params SET value = 'by a user' WHERE run_uuid = \
        (SELECT run_uuid FROM runs WHERE status = 'FINISHED' ORDER BY start_time DESC, run_uuid LIMIT 1); \
    DELETE FROM model_version_tags WHERE version = 1";

#[tokio::test(flavor = "multi_thread")]
async fn a_standing_platform_is_afterwards_as_it_was() {
    let Some(standing) = Standing::new("kept", 2).await else { return };
    let store = standing.store();
    let crash = "faults: [kill: { component: mlflow }]\nrecovery: [stop: { component: mlflow }, \
        start: { component: mlflow }]\n";
    standing.write("crash", &|drill| drill, crash);
    // So long that a backup is taken after what users do, and before the fault.
    standing.write("drop", &|drill| drill.replace("baseline: 4s", "baseline: 12s"), DROP);
    let before = standing.state().await;

    for (drill, work) in [("crash.yaml", ADDED), ("drop.yaml", CHANGED)] {
        let environment = standing.attach(&store, &standing.fingerprints(drill), "");
        let (code, said) = used(&standing, drill, &environment, work).await;
        assert_eq!(code, Some(0), "{drill}: {said}");
        standing.database(AWAY).await;
        assert_eq!(differences(&before, &standing.state().await), Vec::<String>::new(), "{drill}");
        assert!(points(&standing.run().unwrap()) > 0, "the points of a standing platform are kept");
    }
    let environment = standing.attach(&store, &standing.fingerprints("drop.yaml"), "");
    let (code, said) = standing.lifeboat(&["plan", "drop.yaml"], &environment);
    assert_eq!(code, Some(0), "the restored database carries the token: {said}");

    interrupted(&standing).await;
    assert_eq!(differences(&before, &standing.state().await), Vec::<String>::new(), "after Ctrl-C and the way out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standing_platform_that_a_run_broke_is_mended_by_the_command_that_is_told() {
    let Some(standing) = Standing::new("mended", 1).await else { return };
    standing.write("drop", &|drill| drill, DROP);
    let before = standing.state().await;
    killed(&standing).await;
    assert_eq!(differences(&before, &standing.state().await), Vec::<String>::new(), "after SIGKILL and the way out");
    let failing = DROP.replace("- restore: {}", "- { restore: {}, deadline: 100ms }");
    standing.write("failing", &|drill| drill.replace("recovery: 4m", "recovery: 20s"), &failing);
    let environment = standing.attach(&standing.store(), &standing.fingerprints("failing.yaml"), "");
    let (code, said) = standing.lifeboat(&["run", "failing.yaml"], &environment);
    mended(&standing, code, &said);
    assert_eq!(differences(&before, &standing.state().await), Vec::<String>::new(), "after a failed restore");
    withdrawn(&standing).await;
}

/// Runs a drill while users work: they do it once its first backup is there.
async fn used(standing: &Standing, drill: &str, environment: &str, work: &str) -> (Option<i32>, String) {
    let mut run = standing.start(&["run", drill], environment);
    standing.until(&mut run, "a backup", |fact| matches!(fact, Fact::BackupEnded { point: Some(_), .. })).await;
    standing.database(work).await;
    told(&tokio::task::block_in_place(|| run.wait_with_output()).unwrap())
}

/// Ctrl-C right after the onset: everything is told, and the printed command brings the database back.
async fn interrupted(standing: &Standing) {
    let environment = standing.attach(&standing.store(), &standing.fingerprints("drop.yaml"), "");
    let mut run = standing.start(&["run", "drop.yaml"], &environment);
    standing.until(&mut run, "the onset", |fact| matches!(fact, Fact::Confirmed { .. })).await;
    signal(run.id(), "INT");
    let (code, said) = told(&tokio::task::block_in_place(|| run.wait_with_output()).unwrap());
    mended(standing, code, &said);
}

/// SIGKILL right after the onset, then `cleanup`: it tells the same, and deletes no point.
async fn killed(standing: &Standing) {
    let environment = standing.attach(&standing.store(), &standing.fingerprints("drop.yaml"), "");
    let mut run = standing.start(&["run", "drop.yaml"], &environment);
    standing.until(&mut run, "the onset", |fact| matches!(fact, Fact::Confirmed { .. })).await;
    run.kill().unwrap();
    run.wait().unwrap();
    let folder = standing.run().unwrap();
    let (code, said) = standing.lifeboat(&["cleanup", folder.to_str().unwrap()], &environment);
    mended(standing, code, &said);
}

/// The token is withdrawn once the fault has struck: that does not stop the healing.
async fn withdrawn(standing: &Standing) {
    let environment = standing.attach(&standing.store(), &standing.fingerprints("drop.yaml"), "");
    let mut run = standing.start(&["run", "drop.yaml"], &environment);
    standing.until(&mut run, "the onset", |fact| matches!(fact, Fact::Confirmed { .. })).await;
    standing.opt_in(Part::Namespace, false).await;
    let (code, said) = told(&tokio::task::block_in_place(|| run.wait_with_output()).unwrap());
    assert_eq!(code, Some(0), "{said}");
    standing.refused("drop.yaml", &environment, "carries no drill token");
}

/// The platform is told to be broken, with its points and a command; that command mends it.
#[track_caller]
fn mended(standing: &Standing, code: Option<i32>, said: &str) {
    assert_eq!(code, Some(6), "{said}");
    let line =
        said.lines().rfind(|line| line.contains("the standing platform is broken")).unwrap_or_else(|| panic!("{said}"));
    println!("{line}");
    assert!(line.contains("its database (`database-drop`)") && line.contains("recovery points are kept in"), "{line}");
    assert!(points(&standing.run().unwrap()) > 0, "the points are there");
    let command = line.split("lifeboat ").last().unwrap();
    let (code, said) = standing.lifeboat(&command.split_whitespace().collect::<Vec<_>>(), "");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = standing.lifeboat(&["cleanup"], "");
    assert_eq!(code, Some(0), "nothing is owed any more: {said}");
}

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap().success());
}
