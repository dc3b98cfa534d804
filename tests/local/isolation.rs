//! A real local platform isolated after an attack, its credentials replaced, and the isolation ended: D5. Each step is
//! missed where what it did has no effect.

use crate::policy::{BUCKET, Fixture, reason};
use async_trait::async_trait;
use aws_sdk_s3::Client as S3Client;
use lifeboat::client::access::{self, S3Act};
use lifeboat::client::{Error, Running};
use lifeboat::environment::{
    BucketPolicies, Credentials, Endpoints, MlflowKey, Objects, OldCredentials, Platform, Sql,
};
use lifeboat::model::{Finding, Verdict};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::sync::Arc;
use tokio_postgres::Client;

#[tokio::test(flavor = "multi_thread")]
async fn after_an_attack_nobody_gets_in_until_that_ends_and_then_only_with_new_credentials() {
    let fixture = Fixture::new("isolation").await;
    an_isolated_platform_lets_nobody_in(&fixture).await;
    a_session_that_does_not_end_is_no_isolation(&fixture).await;
    old_credentials_are_refused_and_new_ones_work(&fixture).await;
    a_step_without_effect_is_missed(&fixture).await;
    assert_eq!(fixture.left().await, Vec::<String>::new());
    assert_eq!(fixture.platform.remove().await, Vec::<String>::new());
}

async fn session(fixture: &Fixture) -> Client {
    fixture.platform.sql().unwrap().connect("mlflow").await.unwrap()
}

async fn an_isolated_platform_lets_nobody_in(fixture: &Fixture) {
    let before = session(fixture).await;
    for _ in 0..2 {
        assert_eq!(fixture.carry_out("isolate: {}").await, Finding::met());
        assert!(fixture.recorded("isolate", BUCKET));
    }
    before.simple_query("SELECT 1").await.unwrap_err();
    let refused = fixture.platform.sql().unwrap().connect("mlflow").await.unwrap_err();
    assert!(refused.why.contains("not currently accepting connections"), "{refused}");
    for act in [S3Act::Read, S3Act::Write, S3Act::List, S3Act::Delete] {
        assert!(fixture.denied(act).await, "{act}");
    }
    assert_ne!((fixture.download().await, fixture.upload().await), (200, 200));
    for _ in 0..2 {
        assert_eq!(fixture.carry_out("end-isolation: {}").await, Finding::met());
        assert!(fixture.recorded("end-isolation", BUCKET));
    }
    session(fixture).await.simple_query("SELECT 1").await.unwrap();
    assert_eq!((fixture.download().await, fixture.policy().await), (200, None));
}

async fn a_session_that_does_not_end_is_no_isolation(fixture: &Fixture) {
    let before = session(fixture).await;
    let row = before.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
    let backend = Pid::from_raw(row.get(0)).unwrap();
    kill_process(backend, Signal::STOP).unwrap();
    let finding = fixture.carry_out("isolate: {}").await;
    kill_process(backend, Signal::CONT).unwrap();
    assert_eq!(finding.verdict, Verdict::Missed);
    assert!(reason(&finding).contains("1 have not ended"), "{finding:?}");
    assert_eq!(fixture.carry_out("end-isolation: {}").await, Finding::met());
}

async fn old_credentials_are_refused_and_new_ones_work(fixture: &Fixture) {
    let passfile = fixture.platform.endpoints().passfile.clone().unwrap();
    let read = || fs::read_to_string(&passfile).unwrap();
    let (stolen, password) = (fixture.platform.policies().unwrap().s3(), read());
    let before = session(fixture).await;
    assert_eq!(fixture.carry_out("isolate: {}").await, Finding::met());
    let finding = fixture.carry_out("rotate-credentials: {}").await;
    assert_eq!(finding.verdict, Verdict::Met, "also while nobody gets in: {finding:?}");
    assert!(fixture.recorded("rotate-credentials", fixture.key()));
    assert_eq!(fixture.carry_out("end-isolation: {}").await, Finding::met());
    before.simple_query("SELECT 1").await.unwrap_err();
    assert!(access::denied(&stolen, BUCKET, "", S3Act::List).await.unwrap());
    assert_ne!(password, read());
    session(fixture).await.simple_query("SELECT 1").await.unwrap();
    assert_ne!((fixture.download().await, fixture.upload().await), (200, 200), "MLflow has the old ones");
    let components = fixture.platform.components().unwrap();
    components.stop("mlflow").await.unwrap();
    components.start("mlflow").await.map_err(|e| e.to_string()).unwrap();
    assert_eq!((fixture.download().await, fixture.upload().await), (200, 200));
    let dump = fixture.platform.sql().unwrap().tool("pg_dump", &["--schema-only", "mlflow"]).await.unwrap();
    assert!(dump.text("pg_dump").await.unwrap().contains("CREATE TABLE"), "the tools have the new password");
    let recorded = format!("{:?}", fixture.notes.0.lock().unwrap());
    let secret = read().trim().rsplit(':').next().unwrap().to_owned();
    assert!(!recorded.contains(&secret), "no secret is recorded");
}

/// What goes on to take what it must refuse.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Connections,
    Key,
    OldPassword,
    OldSecret,
}

/// A platform on which one thing has no effect.
struct Careless(Arc<dyn Platform>, Takes);

#[async_trait]
impl Platform for Careless {
    fn endpoints(&self) -> &Endpoints {
        self.0.endpoints()
    }
    fn sql(&self) -> Result<&dyn Sql, Error> {
        if self.1 == Takes::Connections { Ok(self) } else { self.0.sql() }
    }
    fn objects(&self) -> Result<&dyn Objects, Error> {
        self.0.objects()
    }
    fn policies(&self) -> Result<&dyn BucketPolicies, Error> {
        Ok(self)
    }
    fn credentials(&self) -> Result<&dyn Credentials, Error> {
        Ok(self)
    }
    async fn remove(&self) -> Vec<String> {
        vec![]
    }
}

#[async_trait]
impl Sql for Careless {
    async fn connect(&self, _: &str) -> Result<Client, Error> {
        self.0.sql()?.connect("postgres").await
    }
    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        self.0.sql()?.tool(name, args).await
    }
}

impl MlflowKey for Careless {
    fn id(&self) -> &'static str {
        "key"
    }
    fn s3(&self) -> S3Client {
        let administrator = self.0.objects().unwrap().s3().clone();
        if self.1 == Takes::Key { administrator } else { self.0.policies().unwrap().s3() }
    }
}

impl BucketPolicies for Careless {
    fn intended(&self) -> Result<Option<&str>, Error> {
        Ok(None)
    }
}

#[async_trait]
impl Credentials for Careless {
    async fn rotate(&self) -> Result<OldCredentials, Error> {
        let endpoints = self.0.endpoints();
        let mut database: tokio_postgres::Config = endpoints.postgres.as_ref().unwrap().parse().unwrap();
        let passfile = fs::read_to_string(endpoints.passfile.as_ref().unwrap()).unwrap();
        let password = passfile.trim().rsplit(':').next().unwrap();
        database.password(if self.1 == Takes::OldPassword { password } else { "wrong" });
        Ok(OldCredentials { database, s3: self.0.policies()?.s3() })
    }
}

async fn a_step_without_effect_is_missed(fixture: &Fixture) {
    for (takes, step, said) in [
        (Takes::Connections, "isolate: {}", "the database `mlflow` still takes connections"),
        (Takes::Key, "isolate: {}", "MLflow's key may still read in the bucket `mlflow`"),
        (Takes::OldPassword, "rotate-credentials: {}", "the database server still takes the old password"),
        (Takes::OldSecret, "rotate-credentials: {}", "the S3 server still takes the old secret of MLflow's key"),
    ] {
        let careless = Careless(Arc::clone(&fixture.platform), takes);
        let finding = fixture.carry_out_on(&careless, step).await;
        assert_eq!((finding.verdict, reason(&finding)), (Verdict::Missed, said));
        assert_eq!(fixture.carry_out("end-isolation: {}").await, Finding::met());
    }
}
