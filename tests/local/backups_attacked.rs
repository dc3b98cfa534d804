//! Repositories whose files are deleted with their own credentials: what a lock keeps, what is gone, and the way back, in
//! drills and by commands.

use crate::drill_repositories::{RepositoryDrill, figure, files, step};
use crate::protection::Protected;
use crate::repository::ObjectLockServer;
use lifeboat::clock::wall;
use lifeboat::model::Verdict;
use lifeboat::repository::{OpenRepository, Patience, RepositoryFiles, RepositorySettings};
use lifeboat::spec::load_protection;
use std::fs;
use std::time::Duration;

const LOCK: &str = ", lock: { mode: compliance, for: 1s }";
const ATTACKS: &str = "{ ransomware: {} }, \
    { backups-attacked: { repository: near, destroy: true } }, { backups-attacked: { repository: far, destroy: true } }";
const NEAR: &str = "near: { directory: near, password: { file: password } }";

fn protect(repositories: &str) -> String {
    let engine = "builtin: { postgres: logical, artifacts: objects }";
    format!("{{ engine: {{ {engine} }}, every: 3s, repositories: [ {repositories} ] }}")
}

/// A protection whose only repository is in a bucket, with a point.
async fn backed_up(store: &ObjectLockServer, bucket: &str, lock: &str) -> (Protected, RepositorySettings) {
    let it = Protected::start().await;
    let path = it.folder.path().join("mlflow.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let (head, _) = text.split_once("repositories:").unwrap();
    fs::write(&path, format!("{head}repositories:\n  - far: {}\n", store.repository(bucket, lock))).unwrap();
    it.done("backup mlflow.yaml --create");
    let settings = load_protection(&path).unwrap().repositories.remove(0);
    (it, settings)
}

/// Deletes all that may be deleted; answers how many versions are left.
async fn attack(settings: &RepositorySettings) -> usize {
    let place = RepositoryFiles::of(settings, Patience::default()).await.unwrap();
    let all = place.seen().await.unwrap();
    assert!(all.contains("config") && !place.gone().await.unwrap());
    place.delete(&all).await.unwrap();
    assert!(place.gone().await.unwrap() && place.seen().await.unwrap().is_empty());
    assert!(OpenRepository::open(settings, Patience::default()).await.is_err());
    place.versions(&all).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_repository_comes_back_by_a_command_that_its_own_message_names() {
    let Some(store) = ObjectLockServer::start().await else { return };
    store.make_bucket("locked", true).await;
    let (it, settings) = backed_up(&store, "locked", LOCK).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = wall();
    let left = attack(&settings).await;
    assert!(left >= 4, "config, key, index, snapshot and packs: {left}");
    let why = it.refused("points mlflow.yaml", 5);
    assert!(
        why.contains("its files are deleted") && why.contains("undelete-repository FILE --repository far"),
        "{why}"
    );

    let command = |since: &str| format!("undelete-repository mlflow.yaml --repository far --since {since}");
    let late = it.refused(&command("2099-01-01T00:00:00Z"), 3);
    assert!(late.contains("nothing of `far` was deleted in that time"), "{late}");
    let planned = it.done(&format!("{} --dry-run", command(&before.to_string())));
    assert!(planned["planned"].as_u64().unwrap() >= 4 && planned["failed"] == 0, "{planned:#}");
    it.refused("points mlflow.yaml", 5);
    let back = it.done(&command(&before.to_string()));
    assert_eq!((&back["planned"], &back["points"]), (&planned["planned"], &1.into()), "{back:#}");
    it.done("verify mlflow.yaml");
    it.done("restore mlflow.yaml --to latest --into back");
    assert_eq!(it.rows("back").await, Some(1000));
    it.refused("undelete-repository mlflow.yaml --repository near --since 2026-03-01T12:00:00Z", 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lock_every_version_goes_and_nothing_comes_back() {
    let Some(store) = ObjectLockServer::start().await else { return };
    store.make_bucket("versions", false).await;
    store.keep_versions("versions").await;
    let (it, settings) = backed_up(&store, "versions", "").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = wall();
    assert_eq!(attack(&settings).await, 0);
    for (more, said) in [(" --dry-run", "0 files would come back"), ("", "0 files came back")] {
        let why = it.refused(&format!("undelete-repository mlflow.yaml --repository far --since {before}{more}"), 3);
        assert!(why.contains(said) && why.contains("no version of it is left"), "{why}");
    }

    // A directory keeps no versions at all.
    it.write_with("directory", "");
    it.done("backup directory.yaml --create");
    let why = it.refused("undelete-repository directory.yaml --repository near --since 2026-03-01T12:00:00Z", 5);
    assert!(why.contains("it keeps no versions"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repositories_of_a_drill_are_attacked_and_the_locked_one_comes_back() {
    let Some(store) = ObjectLockServer::start().await else { return };
    store.make_bucket("far", true).await;
    let it = Protected::start().await;
    let drill = RepositoryDrill { it: &it, name: "attacked" };
    let repositories = format!("{{ {NEAR} }}, {{ far: {} }}", store.repository("far", LOCK));
    // As a backup does that is under way.
    let late = format!("command: 'mkdir -p {0}/data/ab && touch {0}/data/ab/late'", drill.path("near").display());
    let steps =
        ["stop: { component: mlflow }", "undelete-repository: { repository: far }", "restore: { to: clean }", &late];
    drill.write(&protect(&repositories), ATTACKS, &steps);
    drill.change(&[(", rpo: 1m", "")]); // what is written between the attack and the restore is lost with it
    let (report, told) = drill.run();
    assert_eq!(report.verdict, Verdict::Met, "{told}\n{:#?}", report.judgements);
    assert_eq!(figure(step(&report, "restore"), "repository"), "far");
    let back = step(&report, "undelete-repository");
    assert!(figure(back, "failed") == "0" && figure(back, "undeleted") != "0", "{back:?}");
    assert!(report.notes.iter().any(|it| it.text.contains("cannot be removed before")), "{told}");
    assert_eq!(files(&drill.path("near/snapshots")) + files(&drill.path("near/keys")), 0);
    assert_eq!(files(&drill.path("near/data/ab")), 0, "what came after the attack is in the way of the next run");

    // Without the way back there is none: each repository says why.
    let again = RepositoryDrill { it: &it, name: "hopeless" };
    let repositories = format!("{{ {NEAR} }}");
    let attack =
        "{ database-drop: { component: postgres } }, { backups-attacked: { repository: near, destroy: true } }";
    let steps = [steps[0], &steps[1].replace("far", "near"), "restore: { component: postgres }"];
    again.write(&protect(&repositories), attack, &steps);
    again.hopeless();
    let (report, _) = again.run();
    let why = step(&report, "undelete-repository").reason.clone().unwrap_or_default();
    assert!(report.verdict == Verdict::Missed && why.contains("it keeps no versions"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_with_the_points_of_others_is_not_attacked() {
    let it = Protected::start().await;
    it.done("backup mlflow.yaml --create");
    let before = files(&it.folder.path().join("near/snapshots"));
    let drill = RepositoryDrill { it: &it, name: "others" };
    let attack = "{ backups-attacked: { repository: near, destroy: true } }";
    drill.write(&protect(&format!("{{ {NEAR} }}")), attack, &["restore: { component: postgres }"]);
    for command in ["plan", "run --reports reports"] {
        let why = it.refused(&format!("{command} drills/others.yaml"), 7);
        assert!(why.contains("must not be attacked") && why.contains("it holds points of mlflow"), "{why}");
    }
    assert_eq!((files(&drill.path("near/snapshots")), files(&drill.path("reports"))), (before, 0));
    drill.write("../mlflow.yaml", attack, &["restore: { component: postgres }"]);
    let why = it.refused("plan drills/others.yaml", 2);
    assert!(why.contains("the repositories of the protection `mlflow` are not attacked"), "{why}");
}
