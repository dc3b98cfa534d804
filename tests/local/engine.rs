//! The built-in engine and the faults of the database, against a real PostgreSQL.

use crate::postgres::Server;
use lifeboat::clock::Clock;
use lifeboat::engine::{ENGINES, Engine, EngineContext, Goal, Session};
use lifeboat::environment::Platform;
use lifeboat::fault::{FAULTS, Fault};
use lifeboat::kind::{Kind, pick};
use lifeboat::model::{Finding, Verdict};
use lifeboat::node::parse;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn chosen<T: ?Sized>(kinds: &'static [Kind<T>], text: &str) -> Arc<T> {
    let mut problems = vec![];
    pick("kind", kinds, &parse(text).unwrap(), &mut problems).unwrap_or_else(|| panic!("{text}")).it
}

fn engine() -> Arc<dyn Engine> {
    chosen(ENGINES, "builtin: { postgres: logical }")
}

fn database_drop() -> Arc<dyn Fault> {
    chosen(FAULTS, "database-drop: { component: postgres }")
}

async fn seed(server: &Server) {
    let rows = "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('abc'); \
        CREATE TABLE runs (id serial PRIMARY KEY, name text NOT NULL); CREATE TABLE empty (x int); \
        CREATE TABLE \"Odd 'name\" (run int REFERENCES runs, value float8); \
        INSERT INTO runs (name) SELECT md5(i::text) FROM generate_series(1, 5000) i; \
        INSERT INTO \"Odd 'name\" SELECT 1 + i % 5000, random() FROM generate_series(1, 20000) i";
    server.client("mlflow").await.unwrap().batch_execute(rows).await.unwrap();
}

/// What clients see: each table's rows and digest, read as the platform's own user.
async fn seen(server: &Server) -> Result<BTreeMap<&'static str, (i64, String)>, String> {
    let client = server.client("mlflow").await.map_err(|e| e.to_string())?;
    let mut seen = BTreeMap::new();
    for table in ["alembic_version", "runs", "empty", "\"Odd 'name\""] {
        let query =
            format!("SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {table} t");
        let row = client.query_one(&query, &[]).await.map_err(|e| e.to_string())?;
        seen.insert(table, (row.get(0), row.get(1)));
    }
    Ok(seen)
}

async fn databases(server: &Server) -> Vec<String> {
    let client = server.client("postgres").await.unwrap();
    let rows = client.query("SELECT datname::text FROM pg_database ORDER BY 1", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn open(server: &Arc<Server>, folder: &Path) -> Box<dyn Session> {
    let (platform, folder, clock) = (Arc::clone(server) as Arc<dyn Platform>, folder.into(), Clock::start());
    engine()
        .open(EngineContext { platform, folder, clock, known: vec![], reader: None, repository: None })
        .await
        .unwrap()
}

async fn restore(session: &dyn Session) -> Finding {
    session.restore(&session.plan(&Goal::Latest(None)).await.unwrap()).await
}

/// The files of a repository that hold what was dumped.
fn packs(folder: &Path) -> Vec<PathBuf> {
    let inside = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    inside(folder.join("repository/data")).flat_map(inside).collect()
}

/// The ids of a repository's points.
fn snapshots(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("repository/snapshots")).map_or(0, Iterator::count)
}

fn figure(finding: &Finding, name: &str) -> String {
    finding.figures.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{finding:?}")).1.clone()
}

const CLEAN: [&str; 4] = ["mlflow", "postgres", "template0", "template1"];

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_database_comes_back_as_it_was() {
    let (server, folder) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    let repository = folder.path();
    seed(&server).await;
    let before = seen(&server).await.unwrap();
    let (began, session) = (lifeboat::clock::wall(), open(&server, repository).await);
    let point = session.backup("1").await.unwrap();
    assert!(point.taken_at >= began && point.bytes.unwrap() > 1000);
    assert_eq!(session.points().await.unwrap(), [point]);

    let fault = database_drop();
    let receipt = fault.intend(&*server).await.unwrap();
    assert_eq!(fault.confirm(&*server, &receipt).await.verdict, Verdict::Missed);
    let connected = server.client("mlflow").await.unwrap();
    fault.inject(&*server, &receipt).await.unwrap();
    assert_eq!(fault.confirm(&*server, &receipt).await, Finding::met());
    assert!(connected.batch_execute("SELECT 1").await.is_err());

    let error = session.backup("2").await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    assert_eq!(snapshots(repository), 1, "a failed backup leaves no point");

    let restored = restore(session.as_ref()).await;
    assert_eq!(restored.verdict, Verdict::Met, "{restored:?}");
    assert_eq!(figure(&restored, "rows"), "25001");
    assert_eq!(seen(&server).await.unwrap(), before);
    assert_eq!(databases(&server).await, CLEAN);
    assert_eq!(fault.confirm(&*server, &receipt).await, Finding::met(), "another database of the same name");
    assert!(fault.inject(&*server, &receipt).await.is_err(), "only what was meant is dropped");
    let owns = "INSERT INTO runs (name) VALUES ('new'); ALTER TABLE runs ADD COLUMN more int";
    server.client("mlflow").await.unwrap().batch_execute(owns).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_dump_is_refused_before_anything_is_touched() {
    let mut refusals = 0;
    let (server, folder) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    let repository = folder.path();
    seed(&server).await;
    let session = open(&server, repository).await;
    session.backup("1").await.unwrap();
    let client = server.client("mlflow").await.unwrap();
    let harms: [fn(&mut Vec<u8>); 2] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
    ];
    for harm in harms {
        for path in packs(repository) {
            let whole = std::fs::read(&path).unwrap();
            let mut damaged = whole.clone();
            harm(&mut damaged);
            std::fs::remove_file(&path).unwrap(); // it is not to be written
            std::fs::write(&path, damaged).unwrap();
            let refused = restore(session.as_ref()).await;
            assert_eq!(refused.verdict, Verdict::Missed, "{}: {refused:?}", path.display());
            refusals += 1;
            std::fs::write(&path, whole).unwrap();
        }
    }
    assert!(refusals >= 2, "{refusals}");
    for entry in std::fs::read_dir(repository.join("repository/snapshots")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let refused = restore(session.as_ref()).await;
    assert!(refused.reason.unwrap().contains("its repository does not have it"));
    client.batch_execute("INSERT INTO runs (name) VALUES ('still connected')").await.unwrap();
    assert_eq!(databases(&server).await, CLEAN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_database_is_swapped_under_its_clients_and_never_seen_half() {
    let (server, folder) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    let repository = folder.path();
    seed(&server).await;
    let before = seen(&server).await.unwrap();
    let session = open(&server, repository).await;
    session.backup("1").await.unwrap();
    let admin = lifeboat::environment::Sql::connect(&*server, "postgres").await.unwrap();
    let leftovers = "CREATE DATABASE mlflow_lifeboat_restore";
    admin.batch_execute(leftovers).await.unwrap();
    admin.batch_execute("CREATE DATABASE mlflow_lifeboat_before").await.unwrap();
    let client = server.client("mlflow").await.unwrap();
    client.batch_execute("DELETE FROM \"Odd 'name\"; DELETE FROM runs WHERE id > 10").await.unwrap();
    let after_harm = seen(&server).await.unwrap();

    let (asked, done) = (Arc::clone(&server), tokio::sync::watch::channel(false));
    let watching = tokio::spawn(async move {
        let mut answers = vec![];
        while !*done.1.borrow() {
            answers.extend(seen(&asked).await.ok());
        }
        answers
    });
    let restored = restore(session.as_ref()).await;
    done.0.send(true).unwrap();
    assert_eq!(restored.verdict, Verdict::Met, "{restored:?}");
    let answers = watching.await.unwrap();
    assert!(!answers.is_empty() && answers.iter().all(|a| *a == after_harm || *a == before), "a half-restored state");
    assert!(client.batch_execute("SELECT 1").await.is_err(), "the old session must be gone");
    assert_eq!(seen(&server).await.unwrap(), before);
    assert_eq!(databases(&server).await, CLEAN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_dropped_at_any_moment_leaves_a_database_that_takes_connections() {
    let (server, folder) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    let repository = folder.path();
    seed(&server).await;
    let before = seen(&server).await.unwrap();
    let session = open(&server, repository).await;
    session.backup("1").await.unwrap();
    let admin = lifeboat::environment::Sql::connect(&*server, "postgres").await.unwrap();
    let (started, mut met) = (std::time::Instant::now(), 0);
    assert_eq!(restore(session.as_ref()).await.verdict, Verdict::Met);
    let whole = started.elapsed();
    // A few that come to their end: then others were dropped in their last part.
    for after in (0..400).map(|n| whole.mul_f64(f64::from(n) / 40.0)) {
        if met == 5 {
            break;
        }
        let clients: Vec<_> = futures::future::join_all((0..8).map(|_| server.client("mlflow"))).await;
        let dropped = tokio::time::timeout(after, restore(session.as_ref())).await;
        met += u32::from(dropped.is_ok_and(|finding| finding.verdict == Verdict::Met));
        drop(clients);
        let allows = "SELECT datallowconn FROM pg_database WHERE datname = 'mlflow'";
        let allowed = admin.query_one(allows, &[]).await.unwrap().get::<_, bool>(0);
        assert!(allowed, "dropped after {after:?}: the live database refuses connections");
        assert_eq!(seen(&server).await.unwrap(), before, "dropped after {after:?}");
    }
    assert_eq!(met, 5, "no restore came to its end, so none was dropped in its last part");
    assert_eq!(restore(session.as_ref()).await.verdict, Verdict::Met);
    assert_eq!(databases(&server).await, CLEAN);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_made_anew_gives_a_valid_point() {
    let (server, folder) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    let session = open(&server, folder.path()).await;
    session.backup("1").await.unwrap();
    let restored = restore(session.as_ref()).await;
    assert_eq!((restored.verdict, figure(&restored, "rows").as_str()), (Verdict::Met, "0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_fails_leaves_no_point() {
    let (server, folder) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    seed(&server).await;
    let client = server.client("mlflow").await.unwrap();
    // A function of a language that is not there: who counts rows never sees it, who dumps must.
    client.batch_execute("CREATE FUNCTION broken() RETURNS int LANGUAGE sql AS 'SELECT 1'").await.unwrap();
    let admin = lifeboat::environment::Sql::connect(&*server, "mlflow").await.unwrap();
    let torn = "UPDATE pg_proc SET prolang = 999999 WHERE proname = 'broken'";
    admin.batch_execute(&format!("SET allow_system_table_mods = on; {torn}")).await.unwrap();
    let error = open(&server, folder.path()).await.backup("1").await.unwrap_err();
    assert!(error.to_string().contains("pg_dump"), "{error}");
    assert_eq!(snapshots(folder.path()), 0);
}

/// The tools that are at work for a server.
fn tools(port: u16) -> Vec<String> {
    let port = format!("PGPORT={port}");
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == port.as_bytes())
    });
    let name = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
    processes.map(name).filter(|name| name.starts_with("pg_")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_given_up_leaves_no_tool_at_work() {
    let (server, folder) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    seed(&server).await;
    let session = open(&server, folder.path()).await;
    // The dump waits for a table that somebody migrates. It has no rows of its own, so that those are counted before.
    let migration = server.client("mlflow").await.unwrap();
    migration.batch_execute("CREATE TABLE parts (x int) PARTITION BY RANGE (x)").await.unwrap();
    migration.batch_execute("BEGIN; LOCK TABLE parts IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let backup = tokio::time::timeout(Duration::from_secs(4), session.backup("given up"));
    let (given_up, ()) = tokio::join!(backup, async {
        for _ in 0..60 {
            if tools(server.port()).iter().any(|tool| tool.starts_with("pg_dump")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no dump began");
    });
    assert!(given_up.is_err(), "{given_up:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(tools(server.port()), Vec::<String>::new());
    drop(migration);
    let points = session.points().await.unwrap();
    assert!(points.is_empty(), "{points:?}");
}
