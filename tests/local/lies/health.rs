//! The check `database-health`, red by each sort of damage for its own reason, and the disasters of the database that
//! strike through SQL: each takes effect, is seen by the check that is for it, and hits nothing but what was bound.

use super::fixture::Fixture;
use crate::strike::{fault, onset, strike};
use async_trait::async_trait;
use lifeboat::check::{CHECKS, Check};
use lifeboat::client::{Error, Running};
use lifeboat::environment::{Endpoints, Platform, Sql};
use lifeboat::kind::pick;
use lifeboat::model::{Finding, Planted, Verdict};
use lifeboat::node::parse;
use std::sync::Arc;

/// A harm by statements, and what the reason must say.
const BROKEN_RULES: &[(&str, &str)] = &[
    (
        "CREATE TABLE pointing (run_uuid varchar(32)); INSERT INTO pointing VALUES ('nowhere'), ('nowhere'), (NULL); \
         ALTER TABLE pointing ADD CONSTRAINT loose FOREIGN KEY (run_uuid) REFERENCES runs NOT VALID",
        "the constraint `loose` of `public.pointing` is not validated; \
         2 rows of `public.pointing` point at nothing in `public.runs`, by the key `loose`",
    ),
    (
        "SET session_replication_role = replica; DELETE FROM registered_models WHERE name = 'seed-model-03'",
        "5 rows of `public.model_versions` point at nothing in `public.registered_models`, by the key `",
    ),
    ("ALTER TABLE params DISABLE TRIGGER ALL", "of `public.params` is not enforced: its triggers are off"),
    (
        "SELECT setval('experiments_experiment_id_seq', 1, false)",
        "the sequence `public.experiments_experiment_id_seq` gives 1 next, and `public.experiments.experiment_id` has ",
    ),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'index_params_run_uuid'::regclass",
        "the index `public.index_params_run_uuid` of `public.params` is invalid",
    ),
    (
        "UPDATE pg_index SET indisready = false WHERE indexrelid = 'index_params_run_uuid'::regclass",
        "the index `public.index_params_run_uuid` of `public.params` is invalid",
    ),
];

/// An index that rows do not enter for a while is short of them for ever.
const PASSED_BY: [&str; 3] = [
    "UPDATE pg_index SET indisready = false WHERE indexrelid = 'index_params_run_uuid'::regclass",
    "INSERT INTO params SELECT 'passed by', 'x', run_uuid FROM runs",
    "UPDATE pg_index SET indisready = true WHERE indexrelid = 'index_params_run_uuid'::regclass",
];

fn chosen(name: &str) -> Arc<dyn Check> {
    pick("check", CHECKS, &parse(name).unwrap(), &mut vec![]).unwrap().it
}

async fn health(platform: &dyn Platform) -> Finding {
    chosen("database-health").verify(platform, &Planted(serde_json::Value::Null), None).await
}

fn says(finding: &Finding, verdict: Verdict, what: &str) {
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    assert!(finding.reason.as_deref().unwrap_or_default().contains(what), "not `{what}`: {finding:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_told_by_what_is_damaged_and_each_disaster_by_its_check() {
    let fixture = Fixture::new("test-health").await;
    let sound = health(&*fixture.platform).await;
    fixture.say("sound", &sound);
    assert_eq!((sound.verdict, sound.get("data checksums"), sound.get("remark")), (Verdict::Met, Some("on"), None));
    assert!(sound.get("indexes").unwrap().parse::<u32>().unwrap() > 200, "the server's own are among them: {sound:?}");
    nothing_stays(&fixture).await;
    for (harm, reason) in BROKEN_RULES {
        fixture.database(harm).await;
        let finding = health(&*fixture.platform).await;
        fixture.say(harm, &finding);
        says(&finding, Verdict::Missed, reason);
        fixture.undo_database().await;
    }
    for statement in PASSED_BY {
        fixture.database(statement).await;
    }
    let finding = health(&*fixture.platform).await;
    fixture.say("rows that an index lacks", &finding);
    says(&finding, Verdict::Missed, "the index `public.index_params_run_uuid` is damaged: heap tuple (");
    fixture.undo_database().await;
    damaged_pages(&fixture).await;
    disasters(&fixture).await;
    what_was_not_bound_is_not_hit(&fixture).await;
    assert_eq!(health(&*fixture.platform).await.verdict, Verdict::Met);
    let unprivileged = health(&Unprivileged(Arc::clone(&fixture.platform))).await;
    says(&unprivileged, Verdict::Unknown, "cannot look at the pages of tables and indexes: ");
    fixture.end().await;
}

async fn nothing_stays(fixture: &Fixture) {
    let client = fixture.sql().connect(fixture.sql().database()).await.unwrap();
    let left = "SELECT (SELECT count(*) FROM pg_extension WHERE extname = 'amcheck') \
        + (SELECT count(*) FROM pg_namespace WHERE nspname ~ 'lifeboat')";
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}

async fn damaged_pages(fixture: &Fixture) {
    strike(&*fixture.platform, "page-damaged: { table: params, page: 1 }").await;
    let finding = health(&*fixture.platform).await;
    fixture.say("a damaged page of a table", &finding);
    says(&finding, Verdict::Missed, "the table `public.params` is damaged: invalid page in block 1 of relation");
    assert_ne!(finding.get("checksum failures"), Some("0"));
    fixture.undo_database().await;

    let client = fixture.sql().connect(fixture.sql().database()).await.unwrap();
    let path = client.query_one("SELECT pg_relation_filepath('index_params_run_uuid')", &[]).await.unwrap();
    let (path, offset): (String, u32) = (path.get(0), 8192 + 4096);
    client.batch_execute("CHECKPOINT").await.unwrap();
    let harm = format!("COPY (SELECT 'damage') TO PROGRAM 'dd of={path} bs=1 seek={offset} conv=notrunc'");
    client.batch_execute(&harm).await.unwrap();
    let components = fixture.platform.components().unwrap();
    components.kill("postgres").await.unwrap();
    components.start("postgres").await.unwrap();
    let finding = health(&*fixture.platform).await;
    fixture.say("a damaged page of an index", &finding);
    let damaged = "the index `public.index_params_run_uuid` is damaged: invalid page in block 1 of relation";
    says(&finding, Verdict::Missed, damaged);
    assert!(!finding.reason.unwrap().contains("the table `public.params`"), "the rows are whole");
    fixture.undo_database().await;
}

async fn disasters(fixture: &Fixture) {
    // Somebody holds the tables, as a backup does.
    let holder = fixture.sql().connect(fixture.sql().database()).await.unwrap();
    holder.batch_execute("BEGIN; SELECT FROM metrics, experiments LIMIT 1").await.unwrap();
    let integrity = chosen("sql-integrity");
    let planted = integrity.plant(&*fixture.platform, "01RUN").await.unwrap();
    for (written, check, reason) in [
        ("table-lost: {}", "contents", "the table `public.latest_metrics` is gone; the table `public.metrics` is gone"),
        ("table-lost: { tables: [webhooks] }", "sql-integrity", "the table `public.webhooks` is gone"),
        ("rows-changed: { percent: 30 }", "contents", "rows of `public.params` are others now: `param-"),
        ("rows-changed: { table: latest_metrics }", "contents", "`public.latest_metrics`: others than before are"),
        ("rows-changed: { table: metrics, percent: 10, to: '-1' }", "contents", "`public.metrics`: others than before"),
        ("references-broken: {}", "sql-integrity", " runs without their experiment"),
        ("references-broken: { percent: 50, seed: 3 }", "sql-integrity", " runs without their experiment"),
    ] {
        let (struck, receipt) = onset(&*fixture.platform, written).await;
        for _ in 0..2 {
            struck.lift(&*fixture.platform, &receipt).await.unwrap();
        }
        assert_eq!(struck.confirm(&*fixture.platform, &receipt).await.verdict, Verdict::Met, "a loss is not lifted");
        let finding = match check {
            "contents" => fixture.verify().await,
            _ => integrity.verify(&*fixture.platform, &planted, None).await,
        };
        fixture.say(written, &finding);
        says(&finding, Verdict::Missed, reason);
        assert!(holder.is_closed(), "who held the tables is disconnected");
        fixture.undo_database().await;
        let restored = struck.confirm(&*fixture.platform, &receipt).await;
        says(&restored, Verdict::Unknown, "another stands there");
    }
}

async fn what_was_not_bound_is_not_hit(fixture: &Fixture) {
    let platform = &*fixture.platform;
    for (written, absent) in [
        ("table-lost: { tables: [nowhere] }", "cannot find the table `nowhere`: it is not there"),
        ("rows-changed: { column: nothing }", "there is no such column"),
        ("rows-changed: { table: runs, column: artifact_uri, to: x, percent: 1 }", ""),
        ("references-broken: { tables: [webhook_events] }", "no foreign key points at them"),
        ("page-damaged: { page: 100000 }", "it has "),
    ] {
        let intended = fault(written).intend(platform).await;
        let said = intended.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(absent) && said.is_empty() == absent.is_empty(), "{written}: {said}");
    }
    for written in ["table-lost: { tables: [tags] }", "rows-changed: { table: tags }", "page-damaged: { table: tags }"]
    {
        let (fault, again) = (
            fault(written),
            "ALTER TABLE tags RENAME TO other; CREATE TABLE tags (LIKE other \
            INCLUDING ALL); INSERT INTO tags SELECT * FROM other",
        );
        let bound = fault.intend(platform).await.unwrap();
        fixture.database("INSERT INTO tags SELECT 'late', 'x', run_uuid FROM runs").await;
        let now = fault.intend(platform).await.unwrap();
        fault.still(&bound, now).unwrap();
        fixture.database(again).await;
        let now = fault.intend(platform).await.unwrap();
        assert!(fault.still(&bound, now).is_err(), "{written}: another table has that name now");
        let why = fault.inject(platform, &bound).await.unwrap_err().to_string();
        assert!(why.contains("it is not the one that was meant"), "{written}: {why}");
        fixture.undo_database().await;
        let why = fault.inject(platform, &bound).await.unwrap_err().to_string();
        assert!(why.starts_with("the database `mlflow`: it is not the one that was meant"), "{written}: {why}");
    }
    assert_eq!(fixture.verify().await.verdict, Verdict::Met);
}

/// The platform of the fixture for somebody who may read all data and make no extension.
struct Unprivileged(Arc<dyn Platform>);

#[async_trait]
impl Platform for Unprivileged {
    fn endpoints(&self) -> &Endpoints {
        self.0.endpoints()
    }
    fn sql(&self) -> Result<&dyn Sql, Error> {
        Ok(self)
    }
    async fn remove(&self) -> Vec<String> {
        vec![]
    }
}

#[async_trait]
impl Sql for Unprivileged {
    async fn connect(&self, database: &str) -> Result<tokio_postgres::Client, Error> {
        let client = self.0.sql()?.connect(database).await?;
        client.batch_execute("GRANT pg_read_all_data TO stranger; SET ROLE stranger").await.unwrap();
        Ok(client)
    }
    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        self.0.sql()?.tool(name, args).await
    }
}
