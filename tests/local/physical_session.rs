//! The engine `builtin: { postgres: physical }` on the real local platform: a database that is dropped, a log that is gone,
//! a server that is gone with its disk.

use crate::disks::lost_for_good;
use crate::notes::Notes;
use crate::strike::strike;
use lifeboat::client::process::{COMPONENT, RUN, TOOL, marked};
use lifeboat::clock::Clock;
use lifeboat::engine::LogTarget;
use lifeboat::engine::{ENGINES, EngineContext, Goal, RestorePlan, Session};
use lifeboat::environment::{Environment, Platform, RunContext, local};
use lifeboat::kind::pick;
use lifeboat::model::{Finding, Verdict};
use lifeboat::node::parse;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// The platform, with a session of the engine.
struct Protected {
    platform: Arc<dyn Platform>,
    session: Box<dyn Session>,
    clock: Clock,
    folder: tempfile::TempDir,
}

impl Protected {
    async fn new(name: &str, commits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment: Box<dyn Environment> = (local::KIND.parse)(&parse("{}").unwrap(), &mut vec![]).unwrap();
        let run_context = RunContext { run: format!("{name}-{}", std::process::id()), folder: folder.path().into() };
        let provisioned = environment.provision(&run_context, Arc::new(Notes::default())).await;
        let platform = provisioned.map_err(|e| e.to_string()).unwrap();
        let engine = format!("builtin: {{ postgres: physical{commits} }}");
        let engine = pick("engine", ENGINES, &parse(&engine).unwrap(), &mut vec![]).unwrap();
        let clock = Clock::start();
        let context = EngineContext {
            platform: Arc::clone(&platform),
            folder: folder.path().join("points"),
            clock,
            known: vec![],
            reader: None,
            repository: None,
        };
        let session = engine.open(context).await.unwrap();
        Self { platform, session, clock, folder }
    }

    async fn client(&self, database: &str) -> Client {
        self.platform.sql().unwrap().connect(database).await.unwrap()
    }

    async fn server(&self, statement: &str) {
        self.client("postgres").await.batch_execute(statement).await.unwrap();
    }

    /// Adds rows, each in a transaction of its own.
    async fn add(&self, numbers: std::ops::RangeInclusive<i32>) {
        let client = self.client("mlflow").await;
        client.batch_execute("CREATE TABLE IF NOT EXISTS t (i int PRIMARY KEY)").await.unwrap();
        for number in numbers {
            client.execute("INSERT INTO t VALUES ($1)", &[&number]).await.unwrap();
        }
    }

    async fn rows(&self) -> Vec<i32> {
        let rows = self.client("mlflow").await.query("SELECT i FROM t ORDER BY i", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn slots(&self) -> i64 {
        let client = self.client("postgres").await;
        client.query_one("SELECT count(*) FROM pg_replication_slots", &[]).await.unwrap().get(0)
    }

    /// Does the harm; answers the plan for the state of before.
    async fn after(&self, harm: &str) -> RestorePlan {
        // What is committed within the error of the clock's reading before a disaster is not replayed.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = self.clock.now();
        strike(&*self.platform, harm).await;
        self.session.plan(&Goal::Latest(Some(before))).await.unwrap()
    }

    async fn restored(&self, plan: &RestorePlan) -> Finding {
        let begun = Instant::now();
        let finding = self.session.restore(plan).await;
        println!("{:.1} s: {finding:?}", begun.elapsed().as_secs_f64());
        finding
    }

    fn receivers(&self) -> usize {
        let tools = marked(RUN, self.platform.run().unwrap(), COMPONENT);
        tools.iter().filter(|(_, of)| of.as_deref() == Some(TOOL)).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_and_then_its_whole_server_come_back_to_the_last_transaction_before() {
    let it = Protected::new("test-physical", "").await;
    it.server("ALTER SYSTEM SET full_page_writes = off").await;
    it.server("SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = it.session.backup("0000").await.unwrap_err();
    assert!(error.why.contains("`full_page_writes` is off, and is to be on"), "{error}");
    it.server("ALTER SYSTEM RESET full_page_writes").await;
    it.server("SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    it.add(1..=10).await;
    let first = it.session.backup("0001").await.unwrap();
    assert!(first.bytes.unwrap() > 1_000_000 && it.slots().await == 1, "{first:?}");
    it.add(11..=20).await;
    let plan = it.after("database-drop: { component: postgres }").await;
    assert_eq!(plan.point, first);
    assert!(matches!(plan.target, Some(LogTarget::Newest { inclusive: false, .. })), "{plan:?}");
    assert_eq!(serde_json::from_str::<RestorePlan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);

    // Without the log nothing is restored, and what is there stays.
    let log = it.folder.path().join("points/log-0001");
    fs::rename(&log, it.folder.path().join("away")).unwrap();
    let (disks, components) = (it.platform.disks().unwrap(), it.platform.components().unwrap());
    let seen = async || (disks.disks("postgres").await.unwrap(), components.instance("postgres").await.unwrap());
    let before = seen().await;
    let refused = it.restored(&plan).await;
    assert_eq!(refused.verdict, Verdict::Missed);
    let why = refused.reason.unwrap();
    assert!(why.contains("cannot use the log in") && why.contains("log-0001"), "{why}");
    assert_eq!(seen().await, before, "the server and its directory are as they were");
    assert!(!it.platform.volumes().unwrap().volume("postgres").await.unwrap().side);
    assert_eq!((it.slots().await, it.receivers()), (0, 0));
    // Nor is a log taken for whole that ends before what had been received.
    fs::create_dir(&log).unwrap();
    let refused = it.restored(&plan).await;
    assert!(refused.reason.as_ref().is_some_and(|why| why.contains("had been received up to")), "{refused:?}");
    assert_eq!(seen().await, before);
    fs::remove_dir(&log).unwrap();
    fs::rename(it.folder.path().join("away"), &log).unwrap();

    let restored = it.restored(&plan).await;
    assert_eq!(restored.verdict, Verdict::Met, "{restored:?}");
    assert_eq!(it.rows().await, (1..=20).collect::<Vec<_>>());
    assert!(restored.get("not replayed").is_some() && restored.get("timeline") == Some("2"), "{restored:?}");

    // The next backup begins a new log on the new timeline; then the server goes with all that it has.
    let second = it.session.backup("0002").await.unwrap();
    assert!(it.folder.path().join("points/log-0002").is_dir());
    it.add(21..=30).await;
    tokio::time::sleep(Duration::from_millis(500)).await; // received
    let plan = it.after("disk-lost: { component: postgres }").await;
    assert_eq!(plan.point, second);
    it.session.backup("0003").await.unwrap_err();
    let restored = it.restored(&plan).await;
    assert_eq!(restored.verdict, Verdict::Met, "{restored:?}");
    assert_eq!(it.rows().await, (1..=30).collect::<Vec<_>>());
    let state = it.platform.volumes().unwrap().volume("postgres").await.unwrap();
    assert!(!state.side && !state.before && !state.swapped && state.running, "{state:?}");
    assert_eq!((it.slots().await, it.receivers()), (0, 0));
    it.add(31..=31).await;

    // An older point is that point and nothing else.
    let plan = it.session.plan(&Goal::Point("0001".into())).await.unwrap();
    assert_eq!(it.restored(&plan).await.verdict, Verdict::Met);
    assert_eq!(it.rows().await, (1..=10).collect::<Vec<_>>());

    // A disk that is lost and not restored is an empty one.
    let disk = disks.disks("postgres").await.unwrap();
    strike(&*it.platform, "disk-lost: { component: postgres }").await;
    components.start("postgres").await.unwrap();
    lost_for_good(&*it.platform, &disk).await;
    assert_eq!(it.platform.remove().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_commits_wait_loses_nothing_and_leaves_no_commit_waiting() {
    let it = Protected::new("test-synchronous", ", commits: synchronous").await;
    it.session.backup("0001").await.unwrap();
    it.add(1..=50).await;
    let plan = it.after("disk-lost: { component: postgres }").await;
    assert_eq!(it.restored(&plan).await.verdict, Verdict::Met);
    assert_eq!(it.rows().await, (1..=50).collect::<Vec<_>>());
    it.add(51..=51).await; // nothing is received yet, and nobody waits

    // Dropped without a word, it leaves a slot and commits that wait: the engine takes both away.
    it.session.backup("0002").await.unwrap();
    let Protected { platform, session, folder, .. } = it;
    drop(session);
    let engine = pick("engine", ENGINES, &parse("builtin: { postgres: physical }").unwrap(), &mut vec![]).unwrap();
    assert_eq!(engine.tidy(&*platform).await, Vec::<String>::new());
    let client = platform.sql().unwrap().connect("mlflow").await.unwrap();
    let insert = client.execute("INSERT INTO t VALUES (52)", &[]);
    tokio::time::timeout(Duration::from_secs(10), insert).await.expect("a commit waits").unwrap();
    let slots = client.query_one("SELECT count(*) FROM pg_replication_slots", &[]).await.unwrap();
    assert_eq!(slots.get::<_, i64>(0), 0);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(marked(RUN, platform.run().unwrap(), COMPONENT).iter().all(|(_, of)| of.as_deref() != Some(TOOL)));
    assert_eq!(platform.remove().await, Vec::<String>::new());
    drop(folder);
}
