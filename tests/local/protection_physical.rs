//! A protection with physical backups, as its users type the commands: a server under load whose log is received, and new
//! data directories of any of its moments. B1.

use crate::physical::add;
use crate::physical_fixture::{commit_steadily, rows};
use crate::protection_physical_fixture::{PhysicalProtection, received};
use lifeboat::client::process::{COMPONENT, RUN, marked};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_under_load_comes_back_to_any_moment_beside_the_live_one() {
    let archives = ["archive_mode=on", "archive_command=/bin/true"];
    let it = PhysicalProtection::start(&archives).await;
    let client = it.database.client().await;
    // In its files, where a copy would find it.
    client.batch_execute("ALTER SYSTEM SET archive_mode = on").await.unwrap();
    add(&client, 1).await;
    let unreceived = it.ends("backup p.yaml --create", 3);
    assert!(unreceived.contains("does `lifeboat receive` run?"), "{unreceived}");
    assert!(it.ends("verify p.yaml", 3).contains("no log of its server"));
    let alone = it.done_points()[0]["point"].as_str().unwrap().to_owned();

    let receive = it.receive();
    assert!(it.ends("receive p.yaml", 5).contains("another `lifeboat receive` does"));
    let (acknowledged, _writing) = commit_steadily(&it.database).await;
    let point = it.done("backup p.yaml")[0]["point"].as_str().unwrap().to_owned();
    add(&client, 2).await;
    let (_, between, _) = add(&client, 3).await;
    let (xid, ..) = add(&client, 4).await;
    client.batch_execute("SELECT pg_create_restore_point('upgrade')").await.unwrap();
    client.batch_execute("SELECT pg_switch_wal()").await.unwrap();
    let last = add(&client, 5).await;
    received().await;

    // What is planned is told, and nothing is made.
    let planned = it.ends(&format!("restore p.yaml --to {between} --into-directory moment --dry-run"), 0);
    assert!(planned.contains(&point) && planned.contains("is not replayed"), "{planned}");
    assert!(!it.path("moment").exists());
    let marks = |found: &[i32]| found.iter().copied().filter(|row| *row < 100).collect::<Vec<_>>();
    for (to, directory, expected) in [
        (between.to_string(), "moment", vec![1, 2, 3]),
        (format!("before:{xid}"), "transaction", vec![1, 2, 3]),
        ("before:upgrade".into(), "named", vec![1, 2, 3, 4]),
        ("latest".into(), "newest", vec![1, 2, 3, 4, 5]),
        (alone.clone(), "alone", vec![1]),
    ] {
        let begun = Instant::now();
        let restored = it.done(&format!("restore p.yaml --to {to} --into-directory {directory}"));
        println!("{to}: {:.1} s, {}", begun.elapsed().as_secs_f64(), restored["finding"]);
        let found = it.rows_of(directory).await;
        assert_eq!(marks(&found), expected, "{to}");
        assert!(!it.path(&format!("{directory}.side")).exists(), "{to}");
        if directory == "newest" {
            let sure: Vec<i32> = acknowledged.lock().unwrap().iter().map(|(row, ..)| *row).take(100).collect();
            assert_eq!(sure.len(), 100, "somebody wrote");
            assert!(sure.iter().all(|row| found.contains(row)), "what was acknowledged before is there");
        }
    }
    assert_eq!(marks(&rows(&client).await), [1, 2, 3, 4, 5], "the live server served all the while");

    // What cannot be reached is refused with the nearest that can.
    let later = last.1 + jiff::SignedDuration::from_hours(1);
    let why = it.ends(&format!("restore p.yaml --to {later} --into-directory later"), 5);
    assert!(why.contains("the log ends before it") && why.contains("the newest state is"), "{why}");
    let why = it.ends("restore p.yaml --to before:never --into-directory later", 5);
    assert!(why.contains("known: `upgrade`"), "{why}");
    let why = it.ends("restore p.yaml --to 2001-01-01T00:00:00Z --into-directory later", 5);
    assert!(why.contains("being taken from"), "{why}");
    assert!(it.ends("restore p.yaml --to latest --into-directory moment", 5).contains("it is not empty"));
    assert!(it.ends("restore p.yaml --to latest --replace", 5).contains("not ours to stop"));
    assert!(it.ends("restore p.yaml --to latest --into other", 5).contains("whole server"));
    assert!(it.ends("restore p.yaml --to latest", 2).contains("--into-directory"));
    assert!(!it.path("later").exists() && !it.path("later.side").exists());

    // The log is told with the points, and a gap in it is found.
    let listed = it.done_points();
    assert!(listed.iter().all(|point| point["log"]["until"].is_string()), "{listed:#?}");
    assert_eq!(receive.end(), Some(0));
    it.damage(&point).await;
}

impl PhysicalProtection {
    /// The points of the repository, whatever the exit code.
    fn done_points(&self) -> Vec<Value> {
        let output = self.command("points p.yaml --json").output().unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        listed[0]["points"].as_array().unwrap().clone()
    }

    /// A segment of the spool that is damaged is found; one that is gone is taken from the repository.
    async fn damage(&self, point: &str) {
        let mut segments: Vec<_> = fs::read_dir(self.log()).unwrap().map(|e| e.unwrap().path()).collect();
        segments.sort();
        let victim = &segments[segments.len() - 2];
        let mut damaged = fs::read(victim).unwrap();
        damaged[60..100].fill(7);
        fs::write(victim, damaged).unwrap();
        let why = self.ends("verify p.yaml", 3);
        assert!(why.contains("the log is damaged at"), "{why}");
        let why = self.ends("restore p.yaml --to latest --into-directory later", 5);
        assert!(why.contains("is damaged") && why.contains("the newest state that can be reached"), "{why}");
        fs::remove_file(victim).unwrap();
        self.ends("verify p.yaml", 0);
        let restored = self.done("restore p.yaml --to latest --into-directory both");
        assert_eq!(restored["plan"]["point"]["id"], point, "{restored:#}");
        assert!(self.rows_of("both").await.contains(&5));
    }
}

/// The processes of `pg_receivewal` of a spool.
fn receivers(spool: &Path) -> Vec<lifeboat::client::process::ProcessIdentity> {
    let hash = blake3::hash(spool.as_os_str().as_encoded_bytes()).to_hex();
    marked(RUN, &format!("receive-{}", &hash[..16]), COMPONENT).into_iter().map(|(identity, _)| identity).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_frozen_cut_off_or_killed_is_told_within_seconds_and_goes_on() {
    let it = PhysicalProtection::start(&[]).await;
    let client = it.database.client().await;
    let receive = it.receive();
    it.done("backup p.yaml --create");
    add(&client, 1).await;

    let spool = it.folder.path().canonicalize().unwrap().join("spool");
    receivers(&spool)[0].signal(Signal::STOP);
    receive.until("warning: the receiver is stalled", 30);
    receivers(&spool)[0].signal(Signal::CONT);
    receive.until("the receiver is streaming", 30);
    drop(client);
    it.database.end();
    receive.until("warning: the receiver is ended|warning: the receiver is server-away", 30);
    it.database.begin().await;
    let client = it.database.client().await;
    add(&client, 2).await;
    received().await;

    // Killed at once, it leaves its tool; the next one ends that, and receives what was written meanwhile.
    let left = receivers(&spool);
    drop(receive);
    assert!(left.iter().any(|process| process.lives()), "it was killed, and its tool was not");
    add(&client, 3).await;
    let next = it.receive();
    assert!(left.iter().all(|process| !process.lives()), "two would write into one folder");
    assert!(it.ends("receive p.yaml --once", 5).contains("another `lifeboat receive`"));
    assert_eq!(next.end(), Some(0));
    add(&client, 4).await;
    assert_eq!(it.command("receive p.yaml --once").status().unwrap().code(), Some(0));
    assert_eq!(receivers(&spool), []);

    // A restore that is killed leaves its copy; the next one removes it and ends well.
    let begun = || {
        let mut restore = it.command("restore p.yaml --to latest --into-directory restored");
        restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for killed_at in ["data/PG_VERSION", "postgres-side.log"] {
        let mut restore = begun();
        let (side, since) = (it.path("restored.side").join(killed_at), Instant::now());
        while !side.exists() && since.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(5));
        }
        restore.kill().unwrap();
        restore.wait().unwrap();
        assert!(side.exists() && !it.path("restored").exists(), "{killed_at}");
    }
    it.done("restore p.yaml --to latest --into-directory restored");
    assert_eq!(it.rows_of("restored").await, [1, 2, 3, 4]);
    assert!(!it.path("restored.side").exists());
    let hash = blake3::hash(it.path("restored").as_os_str().as_encoded_bytes()).to_hex();
    assert_eq!(marked(RUN, &format!("restore-{}", &hash[..16]), COMPONENT), []);

    // A server that is gone with its disk comes back too: nothing of it is asked.
    let receive = it.receive();
    it.database.lose();
    receive.until("warning: the receiver is ended|warning: the receiver is server-away", 30);
    it.done("restore p.yaml --to latest --into-directory after-the-loss");
    assert_eq!(it.rows_of("after-the-loss").await, [1, 2, 3, 4]);

    // Put in the place of the lost one, it writes another timeline: a new log begins by itself.
    fs::rename(it.path("after-the-loss"), it.database.data()).unwrap();
    it.database.begin().await;
    receive.until("a new log begins: take a base backup", 60);
    receive.until("-2`", 60);
    it.done("backup p.yaml");
    let client = it.database.client().await;
    add(&client, 5).await;
    received().await;
    assert_eq!(receive.end(), Some(0));
    it.done("restore p.yaml --to latest --into-directory after-all");
    assert_eq!(it.rows_of("after-all").await, [1, 2, 3, 4, 5]);
}

/// The snapshots of the repository, whatever they are.
fn snapshots(it: &PhysicalProtection) -> std::collections::BTreeSet<PathBuf> {
    fs::read_dir(it.path("near/snapshots")).unwrap().map(|e| e.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_outlives_the_machine_that_received_it() {
    let it = PhysicalProtection::start(&[]).await;
    let client = it.database.client().await;
    let once = |code| it.ends("receive p.yaml --once", code);
    assert!(once(3).contains("near: the log is not stored"), "there is no repository yet");
    add(&client, 1).await;
    assert!(it.ends("backup p.yaml --create", 3).contains("its log was not received from the beginning"));
    once(0);
    let first = it.done_points()[0]["point"].as_str().unwrap().to_owned();
    let before = snapshots(&it);
    let (_, between, _) = add(&client, 2).await;
    client.batch_execute("SELECT pg_switch_wal()").await.unwrap();
    let (xid, ..) = add(&client, 3).await;
    once(0);
    let shipped: Vec<_> = snapshots(&it).difference(&before).cloned().collect();
    assert_eq!(shipped.len(), 1, "one batch for each time");
    client.batch_execute("SELECT pg_switch_wal()").await.unwrap();
    add(&client, 4).await;
    once(0);

    // The spool is gone with its machine: all is in the repository.
    fs::rename(it.path("spool"), it.path("away")).unwrap();
    assert!(it.done_points()[0]["log"]["until"].is_string(), "{:#?}", it.done_points());
    it.done("verify p.yaml");
    fs::create_dir(it.path("moment.received")).unwrap();
    fs::write(it.path("moment.received/left"), "by a restore that was killed").unwrap();
    for (to, directory, expected) in [
        (between.to_string(), "moment", vec![1, 2]),
        (format!("before:{xid}"), "transaction", vec![1, 2]),
        ("latest".into(), "newest", vec![1, 2, 3, 4]),
    ] {
        it.done(&format!("restore p.yaml --to {to} --into-directory {directory}"));
        assert_eq!(it.rows_of(directory).await, expected, "{to}");
        assert!(!it.path(&format!("{directory}.received")).exists());
    }
    // A part of it that is gone is found, and nothing is restored past it.
    let batch = fs::read(&shipped[0]).unwrap();
    fs::remove_file(&shipped[0]).unwrap();
    let why = it.ends("verify p.yaml", 3);
    assert!(why.contains("of its log is missing"), "{why}");
    let why = it.ends("restore p.yaml --to latest --into-directory past", 3);
    assert!(why.contains("not restored"), "{why}");
    assert!(!it.path("past").exists() && !it.path("past.side").exists());
    fs::write(&shipped[0], batch).unwrap();
    fs::rename(it.path("away"), it.path("spool")).unwrap();

    // What every repository holds leaves the spool but for the newest, and is still restored.
    for number in 10..32 {
        add(&client, number).await;
        client.batch_execute("SELECT pg_switch_wal()").await.unwrap();
    }
    once(0);
    let spooled = fs::read_dir(it.log()).unwrap().count();
    assert!(spooled <= 17, "{spooled} segments are in the spool");
    it.done(&format!("restore p.yaml --to before:{xid} --into-directory trimmed"));
    assert_eq!(it.rows_of("trimmed").await, [1, 2]);

    // With its last base backup, the log goes that none needs any more.
    it.ends("backup p.yaml", 3);
    once(0);
    let mut text = fs::read_to_string(it.path("p.yaml")).unwrap();
    text.push_str("keep: { incremental: 1ms, registry: 1y, near: 1ms }\n");
    fs::write(it.path("p.yaml"), text).unwrap();
    let all = snapshots(&it);
    it.done("prune p.yaml --readers 0s");
    let gone: Vec<_> = all.difference(&snapshots(&it)).cloned().collect();
    assert!(gone.contains(&shipped[0]) && gone.len() > 2, "{gone:?}");
    assert!(it.done_points().iter().all(|point| point["point"] != first.as_str()));
    it.done("verify p.yaml");
    fs::remove_dir_all(it.path("spool")).unwrap();
    let text = fs::read_to_string(it.path("p.yaml")).unwrap();
    let far = "  - far: { directory: far, password: { file: password } }\nkeep:";
    fs::write(it.path("p.yaml"), text.replace("keep:", far)).unwrap();
    it.done("copy p.yaml --from near --to far --create");
    assert_eq!(it.done("copy p.yaml --from near --to far").as_array().unwrap().len(), 0);
    it.done("restore p.yaml --to latest --from far --into-directory pruned");
    assert_eq!(it.rows_of("pruned").await.len(), 26);
}
