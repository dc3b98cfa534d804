//! The checks that ask SQL, each seen to go red, against a real PostgreSQL.
use crate::postgres::Server;
use lifeboat::check::{CHECKS, Check};
use lifeboat::environment::{Platform, Sql};
use lifeboat::kind::pick;
use lifeboat::model::{Finding, Verdict};
use lifeboat::node::parse;
use std::sync::Arc;

/// The columns that the check reads, without the foreign keys that a restore may lose.
const TABLES: &str = "
    CREATE TABLE experiments (experiment_id int PRIMARY KEY);
    CREATE TABLE runs (run_uuid text PRIMARY KEY, experiment_id int, artifact_uri text, start_time bigint);
    CREATE TABLE model_versions (name text, version int, run_id text);
    CREATE TABLE \"Nobody asks\" (x int);
    CREATE TABLE empty (x int);
    INSERT INTO \"Nobody asks\" VALUES (1);
    INSERT INTO experiments VALUES (1);
    INSERT INTO runs VALUES ('a', 1, 'mlflow-artifacts:/1/a/artifacts', (extract(epoch FROM now()) * 1000)::bigint);
    INSERT INTO model_versions VALUES ('m', 1, 'a'), ('m', 2, NULL), ('m', 3, '')";

fn integrity() -> Arc<dyn Check> {
    let mut problems = vec![];
    pick("check", CHECKS, &parse("sql-integrity").unwrap(), &mut problems).unwrap().it
}

/// What the check says after `harm` was done to a database that it had found in order.
async fn after(server: &Server, harm: &str) -> Finding {
    let client = server.client("mlflow").await.unwrap();
    client.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
    client.batch_execute(TABLES).await.unwrap();
    let (check, platform) = (integrity(), server as &dyn Platform);
    let planted = check.plant(platform, "run").await.unwrap();
    client.batch_execute(harm).await.unwrap();
    check.verify(platform, &planted, None).await
}

#[tokio::test]
async fn each_broken_promise_of_the_database_is_named() {
    let server = Server::start().await;
    let good = after(&server, "").await;
    assert_eq!((good.verdict, good.reason), (Verdict::Met, None));
    for (harm, named) in [
        ("DELETE FROM experiments", "1 runs without their experiment"),
        ("UPDATE runs SET artifact_uri = NULL", "1 runs without an artifact URI"),
        ("UPDATE model_versions SET run_id = 'gone' WHERE version = 1", "1 model versions without their run"),
        ("UPDATE runs SET start_time = 0", "there are no recent runs, but before the fault there were some"),
        ("DROP TABLE runs", "the table `public.runs` is gone"),
        ("DROP TABLE \"Nobody asks\"", "the table `public.\"Nobody asks\"` is gone"),
        ("DELETE FROM \"Nobody asks\"", "the table `public.\"Nobody asks\"` is empty"),
    ] {
        let finding = after(&server, harm).await;
        assert_eq!(finding.verdict, Verdict::Missed, "{harm}");
        assert!(finding.reason.as_ref().is_some_and(|why| why.contains(named)), "{harm}: {finding:?}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_asked_is_unknown_and_never_met() {
    let server = Server::start().await;
    after(&server, "").await;
    let (check, platform) = (integrity(), &server as &dyn Platform);
    let planted = check.plant(platform, "run").await.unwrap();
    let administrator = server.connect("postgres").await.unwrap(); // the check's own session may not have ended yet
    administrator.batch_execute("DROP DATABASE mlflow WITH (FORCE)").await.unwrap();
    assert_eq!(check.verify(platform, &planted, None).await.verdict, Verdict::Unknown);
}
