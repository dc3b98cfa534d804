//! Physical backups of a real PostgreSQL: its loss under load, every target from both sides, what cannot be reached, a
//! receiver that is killed or frozen, and a swap that is put back.

use crate::physical_fixture::{Database, POSTGRES, commit_steadily, median, rows, soon};
use lifeboat::client::ErrorKind;
use lifeboat::engine::LogTarget;
use lifeboat::engine::Lsn;
use lifeboat::engine::builtin::physical::receiver::{CommitMode, ReceiverState};
use lifeboat::engine::builtin::physical::{settings, soundness};
use lifeboat::environment::{Volumes, stack};
use std::fs;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// What a loss under 200 commits a second takes: the acknowledged ones that are missing, and over which time.
async fn lose_under_load(mode: CommitMode) -> (usize, Duration) {
    let database = Database::start().await;
    assert_eq!(settings::unmet(&*database).await.unwrap(), Vec::<String>::new());
    let receiver = database.receive(mode).await;
    let base = database.base().await;
    let (acknowledged, writing) = commit_steadily(&database).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let killed = database.lose();
    writing.await.unwrap();
    let seen = receiver.health();
    drop(receiver);
    let restored = database.restore(&base, &database.wal(), seen.sure, &LogTarget::End).await.unwrap();
    assert!(restored.timeline == 2 && restored.next.is_none(), "{restored:?}");
    assert!(database.volumes.volume(POSTGRES).await.unwrap().side);
    database.volumes.swap(POSTGRES).await.unwrap();
    database.begin().await;
    let client = database.client().await;
    let there = rows(&client).await;
    client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    database.volumes.settle(POSTGRES).await.unwrap();
    let state = database.volumes.volume(POSTGRES).await.unwrap();
    assert!(!state.side && !state.before && !state.swapped && state.running, "{state:?}");

    let acknowledged_all = acknowledged.lock().unwrap().clone();
    let lost: Vec<_> = acknowledged_all.iter().filter(|(i, ..)| there.binary_search(i).is_err()).collect();
    let window = lost.first().map_or(Duration::ZERO, |(_, at, _)| killed.saturating_duration_since(*at));
    let p50 = median(&acknowledged);
    println!(
        "{mode:?}: {} acknowledged, {} lost within {window:?}, commit p50 {p50:?}; restored in {:?}",
        acknowledged_all.len(),
        lost.len(),
        restored.laps
    );
    assert!(acknowledged_all.len() > 100, "{}", acknowledged_all.len());
    database.assert_tidy().await;
    (lost.len(), window)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_receiver_loses_less_than_a_second() {
    let (_, window) = lose_under_load(CommitMode::Asynchronous).await;
    assert!(window < Duration::from_secs(1), "{window:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_receiver_loses_nothing_that_was_acknowledged() {
    assert_eq!(lose_under_load(CommitMode::Synchronous).await.0, 0);
}

/// Adds a row; answers its transaction, and the server's clock and position afterwards.
pub async fn add(client: &Client, number: i32) -> (u32, jiff::Timestamp, Lsn) {
    let insert = "INSERT INTO t VALUES ($1, clock_timestamp()) RETURNING xmin::text::bigint";
    let xid = client.query_one(insert, &[&number]).await.unwrap().get::<_, i64>(0);
    let row = client
        .query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_current_wal_lsn()::text", &[]);
    let row = row.await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let at = jiff::Timestamp::from_microsecond(row.get(0)).unwrap();
    (u32::try_from(xid).unwrap(), at, row.get::<_, String>(1).parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_is_reached_and_proved_from_both_sides() {
    let database = Database::start().await;
    let client = database.client().await;
    let receiver = database.receive(CommitMode::Asynchronous).await;
    add(&client, 1).await;
    let base = database.base().await;
    let mut added = vec![];
    for number in 2..=5 {
        added.push(add(&client, number).await);
    }
    client.batch_execute("SELECT pg_create_restore_point('before the upgrade')").await.unwrap();
    client.batch_execute("SELECT pg_switch_wal()").await.unwrap();
    let parts = "BEGIN; SAVEPOINT a; INSERT INTO t VALUES (6); RELEASE a; COMMIT";
    client.batch_execute(parts).await.unwrap();
    let part: i64 = client.query_one("SELECT xmin::text::bigint FROM t WHERE i = 6", &[]).await.unwrap().get(0);
    let last = add(&client, 7).await;
    receiver.received(last.2, soon()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await; // the receiver's sure point passes it
    let sure = receiver.health().sure;

    let (xid, at, lsn) = added[1]; // row 3
    let after = LogTarget::Time { at: last.1, inclusive: true };
    let part = u32::try_from(part).unwrap();
    let targets = [
        (LogTarget::Time { at, inclusive: true }, vec![1, 2, 3]),
        (LogTarget::Transaction { xid, inclusive: false }, vec![1, 2]),
        (LogTarget::Transaction { xid, inclusive: true }, vec![1, 2, 3]),
        (LogTarget::Transaction { xid: part, inclusive: false }, vec![1, 2, 3, 4, 5]),
        (LogTarget::Lsn(lsn), vec![1, 2, 3]),
        (LogTarget::Name("before the upgrade".into()), vec![1, 2, 3, 4, 5]),
        (LogTarget::Base, vec![1]),
        (after.clone(), vec![1, 2, 3, 4, 5, 6, 7]),
    ];
    for (target, expected) in targets {
        let begun = Instant::now();
        let restored = database.restore(&base, &database.wal(), sure, &target).await;
        let restored = restored.unwrap_or_else(|e| panic!("{target}: {e}"));
        assert_eq!(database.rows_at_side().await, expected, "{target}");
        assert_eq!(restored.next.is_none(), expected.len() == 7, "{target}: {restored:?}");
        println!("{target}: {:.1} s", begun.elapsed().as_secs_f64());
    }
    assert_eq!(rows(&client).await, [1, 2, 3, 4, 5, 6, 7], "the live server served all the while");
    let error = database.restore(&base, &database.wal(), None, &after).await.unwrap_err();
    assert!(error.why.contains("the log ends before it"), "nobody is sure that nothing is missing: {error}");
    receiver.stop(&*database, true, soon()).await.unwrap();
    database.volumes.remove_side(POSTGRES).await.unwrap();
    database.assert_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_refused_with_the_nearest_that_can() {
    let database = Database::start().await;
    let client = database.client().await;
    let receiver = database.receive(CommitMode::Asynchronous).await;
    let early = add(&client, 1).await;
    let base = database.base().await;
    for number in 2..=5 {
        add(&client, number).await;
        client.batch_execute("SELECT pg_switch_wal()").await.unwrap();
    }
    let last = add(&client, 6).await;
    receiver.received(last.2, soon()).await.unwrap();
    receiver.stop(&*database, true, soon()).await.unwrap();
    let time = |at| LogTarget::Time { at, inclusive: true };
    let refused = async |target: LogTarget| {
        let error = database.restore(&base, &database.wal(), None, &target).await.unwrap_err();
        println!("{error}");
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        assert!(!database.volumes.volume(POSTGRES).await.unwrap().side, "nothing is left: {error}");
        error.to_string()
    };
    let hour = jiff::SignedDuration::from_hours(1);
    let said = refused(time(early.1 - hour)).await;
    assert!(said.contains("the earliest state is"), "{said}");
    let said = refused(LogTarget::Transaction { xid: early.0, inclusive: false }).await;
    assert!(said.contains("cannot restore the state before transaction"), "{said}");
    let said = refused(time(last.1 + hour)).await;
    assert!(said.contains("the log ends before it") && said.contains(&format!("transaction {}", last.0)), "{said}");
    let said = refused(LogTarget::Transaction { xid: last.0 + 1000, inclusive: false }).await;
    assert!(said.contains(&format!("nearest: {}", last.0)), "{said}");
    let said = refused(LogTarget::Name("never".into())).await;
    assert!(said.contains("the log has no named point"), "{said}");

    // A damaged segment, and then one that is gone, are not taken for the end of the log.
    let mut segments: Vec<_> = fs::read_dir(database.wal()).unwrap().map(|e| e.unwrap().path()).collect();
    segments.sort();
    let victim = &segments[segments.len() - 3];
    let whole = fs::read(victim).unwrap();
    for (bytes, expected) in [(60..100, "the log is damaged at"), (8..40, "is missing or damaged")] {
        let mut damaged = whole.clone();
        damaged[bytes].fill(7);
        fs::write(victim, &damaged).unwrap();
        let said = refused(LogTarget::End).await;
        assert!(said.contains(expected), "{said}");
    }
    fs::remove_file(victim).unwrap();
    let said = refused(LogTarget::End).await;
    assert!(said.contains("of the log is missing") && said.contains("the newest state that can be reached"), "{said}");
    fs::write(victim, &whole).unwrap();
    database.restore(&base, &database.wal(), None, &LogTarget::End).await.unwrap();
    database.volumes.remove_side(POSTGRES).await.unwrap();
    database.assert_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_killed_or_frozen_is_noticed_and_holds_no_commit_for_ever() {
    let database = Database::start().await;
    let receiver = database.receive(CommitMode::Synchronous).await;
    let client = database.client().await;
    add(&client, 1).await;
    let until = async |what: &str, within: u64, done: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(within), "{what}: {:?}", receiver.health());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("{what}: {:.1} s", begun.elapsed().as_secs_f64());
    };
    let killed = database.receiver_process().unwrap();
    killed.signal(rustix::process::Signal::KILL);
    until("the kill was noticed", 10, &|| {
        receiver.health().restarts > 0 || receiver.health().state != ReceiverState::Streaming
    })
    .await;
    receiver.streaming(soon()).await.unwrap();
    assert_ne!(database.receiver_process(), Some(killed));
    add(&client, 2).await;

    let frozen = database.receiver_process().unwrap();
    frozen.signal(rustix::process::Signal::STOP);
    let begun = Instant::now();
    add(&client, 3).await; // waits until commits are let go
    println!("a commit waited {:.1} s for a frozen receiver", begun.elapsed().as_secs_f64());
    assert!(begun.elapsed() < Duration::from_secs(30));
    until("the stall is told", 10, &|| receiver.health().state != ReceiverState::Streaming).await;
    assert!(!receiver.health().synchronous);
    until("it is started anew", 60, &|| database.receiver_process().is_some_and(|now| now != frozen)).await;
    receiver.streaming(soon()).await.unwrap();
    let last = add(&client, 4).await;
    receiver.received(last.2, soon()).await.unwrap();
    assert!(receiver.health().synchronous, "commits wait for it again");
    receiver.stop(&*database, true, soon()).await.unwrap();
    add(&client, 5).await;
    database.assert_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_restore_leaves_the_old_directory_and_a_swap_is_put_back() {
    let database = Database::start().await;
    let client = database.client().await;
    let receiver = database.receive(CommitMode::Asynchronous).await;
    add(&client, 1).await;
    let base = database.base().await;
    let last = add(&client, 2).await;
    receiver.received(last.2, soon()).await.unwrap();

    let whole = fs::read(&base.1).unwrap();
    let half = (base.0.clone(), database.folder.path().join("half.tar"));
    fs::write(&half.1, &whole[..whole.len() / 2]).unwrap();
    database.restore(&half, &database.wal(), None, &LogTarget::End).await.unwrap_err();
    let mut flipped = whole.clone();
    let at = flipped.windows(9).position(|bytes| bytes == b"base/1/12").unwrap() + 2000;
    flipped[at] ^= 1;
    fs::write(&half.1, &flipped).unwrap();
    let error = database.restore(&half, &database.wal(), None, &LogTarget::End).await.unwrap_err();
    assert!(error.what.contains("the base backup is damaged"), "{error}");
    let mut other = (base.0.clone(), base.1.clone());
    other.0.version = 140_000;
    let error = database.restore(&other, &database.wal(), None, &LogTarget::End).await.unwrap_err();
    assert!(error.why.contains("the backup is of version 14"), "{error}");
    assert!(!database.volumes.volume(POSTGRES).await.unwrap().side);
    assert_eq!(rows(&client).await, [1, 2]);

    database.restore(&base, &database.wal(), None, &LogTarget::Base).await.unwrap();
    let error = database.volumes.swap(POSTGRES).await.unwrap_err();
    assert!(error.why.contains("runs"), "{error}");
    receiver.stop(&*database, true, soon()).await.unwrap();
    drop(client);
    database.end();
    database.volumes.swap(POSTGRES).await.unwrap();
    database.begin().await;
    assert_eq!(rows(&database.client().await).await, [1], "the restored one is in its place");
    database.end();
    let again = database.restore(&base, &database.wal(), None, &LogTarget::End).await.unwrap_err();
    assert!(again.why.contains("neither settled nor put back"), "{again}");
    for _ in 0..2 {
        database.volumes.put_back(POSTGRES).await.unwrap();
        let state = database.volumes.volume(POSTGRES).await.unwrap();
        assert!(!state.side && !state.before && !state.swapped, "{state:?}");
    }
    database.begin().await;
    assert_eq!(rows(&database.client().await).await, [1, 2]);
    let notes = database.notes.0.lock().unwrap().clone();
    assert!(notes.iter().any(|receipt| receipt.0["act"] == "swap" && receipt.0["volume"] == POSTGRES), "{notes:?}");
    database.assert_tidy().await;
}

/// A swap that is killed between its acts leaves states that a plain rename makes too.
#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_was_killed_half_way_is_put_back() {
    let database = Database::start().await;
    database.end();
    let (data, folder) = (database.data(), database.folder.path());
    let (side, before) = (folder.join("data.side"), folder.join("data.before"));
    let fresh = |path: &std::path::Path, mark: bool| {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("PG_VERSION"), "15").unwrap();
        if mark {
            fs::write(path.join("lifeboat.restored"), "").unwrap();
        }
    };
    let old = || data.join("base").exists() && !side.exists() && !before.exists();
    // The new one is marked, and not exchanged yet.
    fresh(&side.join("data"), true);
    database.volumes.put_back(POSTGRES).await.unwrap();
    assert!(old());
    // Exchanged, and the old one has not got its name yet: not even removing the side folder loses it.
    for removed_first in [false, true] {
        fs::create_dir(&side).unwrap();
        fs::rename(&data, side.join("data")).unwrap();
        fresh(&data, true);
        if removed_first {
            database.volumes.remove_side(POSTGRES).await.unwrap();
            assert!(before.join("base").exists());
        }
        database.volumes.put_back(POSTGRES).await.unwrap();
        assert!(old(), "{removed_first}");
    }
    // A file system that cannot exchange: the old one has left, the new one has not come.
    fresh(&side.join("data"), true);
    fs::rename(&data, &before).unwrap();
    database.volumes.put_back(POSTGRES).await.unwrap();
    assert!(old());
    database.begin().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_that_may_not_replicate_is_let_in_once() {
    let database = Database::start().await;
    let hba = database.data().join("pg_hba.conf");
    let lines = || fs::read_to_string(&hba).unwrap().lines().filter(|line| line.contains("replication")).count();
    let before = lines();
    let config = database.config();
    for _ in 0..2 {
        stack::allow_replication(&config).await.unwrap();
        assert_eq!(lines(), before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_not_as_they_must_be_are_named() {
    let database = Database::start().await;
    database.end();
    database.begin_with(&["wal_level=minimal", "max_wal_senders=0", "max_slot_wal_keep_size=-1"]).await;
    let unmet = settings::unmet(&*database).await.unwrap();
    for name in ["wal_level", "max_wal_senders", "max_slot_wal_keep_size"] {
        assert!(unmet.iter().any(|said| said.starts_with(&format!("`{name}` is "))), "{unmet:?}");
    }
    assert_eq!(unmet.len(), 3, "{unmet:?}");
}

/// The file of the table, in a data directory.
async fn file_of_table(database: &Database) -> String {
    let client = database.client().await;
    client.batch_execute("INSERT INTO t SELECT generate_series(1, 2000); CHECKPOINT").await.unwrap();
    client.query_one("SELECT pg_relation_filepath('t')", &[]).await.unwrap().get(0)
}

/// Flips a byte in the middle of its first page.
fn damage(path: &std::path::Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[5000] ^= 0x55;
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[5000..5001], 5000).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_fails_the_backup_and_is_found_in_a_copy() {
    let database = Database::start().await;
    let file = file_of_table(&database).await;
    let base = database.base().await;
    database.restore(&base, &database.data().join("pg_wal"), None, &LogTarget::Base).await.unwrap();
    damage(&database.folder.path().join("data.side/data").join(&file));
    let copy = database.volumes.start_side(POSTGRES, &[], Duration::from_mins(1)).await.unwrap();
    let error = soundness::relations(&*copy, soon()).await.unwrap_err();
    assert!(error.what.contains("`pg_amcheck` found damage in database `postgres`"), "{error}");
    database.volumes.stop_side(POSTGRES).await.unwrap();
    let error = soundness::checksums(&database.volumes, POSTGRES, &base.0, soon()).await.unwrap_err();
    assert!(error.what.contains("`pg_checksums` found damage"), "{error}");
    database.volumes.remove_side(POSTGRES).await.unwrap();

    database.end();
    damage(&database.data().join(&file));
    database.begin().await;
    let error = database.try_base().await.unwrap_err();
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("a page of the live database is damaged")), "{error}");
}
