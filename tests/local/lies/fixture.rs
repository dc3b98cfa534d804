//! A seeded local platform that is harmed and put back as it was, again and again, without being made anew.

use crate::notes::Notes;
use lifeboat::check::{CHECKS, Check};
use lifeboat::client::{Running, s3};
use lifeboat::clock::Clock;
use lifeboat::engine::{ENGINES, EngineContext, Session, SnapshotReader};
use lifeboat::environment::{Environment, Objects, Platform, RunContext, Sql, local};
use lifeboat::kind::pick;
use lifeboat::model::{Finding, Planted};
use lifeboat::node::parse;
use lifeboat::workload::seed;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The run whose name the drill's own experiments carry.
pub const RUN: &str = "01RUN";

/// The platform, what was planted on it, and what it held then.
pub struct Fixture {
    pub platform: Arc<dyn Platform>,
    pub folder: tempfile::TempDir,
    check: Arc<dyn Check>,
    planted: Planted,
    objects: BTreeMap<String, Vec<u8>>,
    began: Instant,
}

/// Opens the built-in engine on a platform, with this folder for its points.
pub async fn open_engine(
    platform: Arc<dyn Platform>,
    folder: &Path,
    reader: Option<Arc<dyn SnapshotReader>>,
) -> Box<dyn Session> {
    open_engine_of("postgres: logical", platform, folder, reader).await
}

/// The same with these settings.
pub async fn open_engine_of(
    settings: &str,
    platform: Arc<dyn Platform>,
    folder: &Path,
    reader: Option<Arc<dyn SnapshotReader>>,
) -> Box<dyn Session> {
    let engine = parse(&format!("builtin: {{ {settings} }}")).unwrap();
    let engine = pick("engine", ENGINES, &engine, &mut vec![]).unwrap();
    let context = EngineContext {
        platform,
        folder: folder.to_owned(),
        clock: Clock::start(),
        known: vec![],
        reader,
        repository: None,
    };
    engine.open(context).await.unwrap()
}

impl Fixture {
    /// Makes a platform, fills it, and lets the check `contents` plant. MLflow is stopped: nobody else writes.
    pub async fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment: Box<dyn Environment> = (local::KIND.parse)(&parse("{}").unwrap(), &mut vec![]).unwrap();
        let run_context = RunContext { run: format!("{name}-{}", std::process::id()), folder: folder.path().into() };
        let provisioned = environment.provision(&run_context, Arc::new(Notes::default())).await;
        let platform = provisioned.map_err(|e| e.to_string()).unwrap();
        seed::plant(&*platform, 0.1).await.map_err(|e| e.to_string()).unwrap();
        platform.components().unwrap().stop("mlflow").await.unwrap();
        let check = pick("check", CHECKS, &parse("contents").unwrap(), &mut vec![]).unwrap().it;
        let planted = check.plant(&*platform, RUN).await.map_err(|e| e.to_string()).unwrap();
        let bytes = serde_json::to_vec(&planted).unwrap().len();
        println!("planted: {bytes} bytes");
        let mut this = Self { platform, folder, check, planted, objects: BTreeMap::new(), began: Instant::now() };
        this.objects = this.read_objects().await;
        // Roles are the server's and not the database's: what harms give something to.
        this.server("CREATE ROLE stranger").await;
        this.server("CREATE DATABASE saved TEMPLATE mlflow").await;
        this
    }

    pub fn sql(&self) -> &dyn Sql {
        self.platform.sql().unwrap()
    }

    pub fn bucket(&self) -> &dyn Objects {
        self.platform.objects().unwrap()
    }

    /// Runs statements in the platform's database.
    pub async fn database(&self, statements: &str) {
        let client = self.sql().connect(self.sql().database()).await.unwrap();
        client.batch_execute(statements).await.unwrap_or_else(|e| panic!("{statements}: {e:?}"));
    }

    /// Runs one statement beside it.
    pub async fn server(&self, statement: &str) {
        let client = self.sql().connect("postgres").await.unwrap();
        client.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }

    /// Runs a client tool, gives it an input, and answers its output.
    pub async fn tool(&self, name: &str, args: &[&str], given: Vec<u8>) -> Vec<u8> {
        let Running { mut input, mut output, ended } = self.sql().tool(name, args).await.unwrap();
        let give = async move {
            let given = input.write_all(&given).await; // who reads a tar need not read what fills its last block
            if given.is_ok() {
                input.shutdown().await.unwrap();
            }
        };
        let mut bytes = vec![];
        let ((), read, ended) = tokio::join!(give, output.read_to_end(&mut bytes), ended);
        read.unwrap();
        let ended = ended.unwrap();
        assert!(ended.success(), "{name}: {}", ended.said);
        bytes
    }

    pub fn check(&self) -> Arc<dyn Check> {
        Arc::clone(&self.check)
    }

    /// Lets the check plant once more, and answers that.
    pub async fn plant(&self) -> Planted {
        self.check.plant(&*self.platform, RUN).await.unwrap()
    }

    pub async fn verify(&self) -> Finding {
        self.check.verify(&*self.platform, &self.planted, None).await
    }

    /// Puts an object.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) {
        s3::put(self.bucket().s3(), self.bucket().bucket(), key, bytes).await.unwrap();
    }

    /// Deletes an object as users do.
    pub async fn delete(&self, key: &str) {
        let request = self.bucket().s3().delete_object().bucket(self.bucket().bucket()).key(key);
        request.send().await.unwrap();
    }

    /// The keys of the files of that name: one for each version of a model.
    pub fn keys(&self, file: &str) -> Vec<String> {
        self.objects.keys().filter(|key| key.ends_with(file)).cloned().collect()
    }

    /// What an object held when the check planted.
    pub fn bytes(&self, key: &str) -> Vec<u8> {
        self.objects[key].clone()
    }

    async fn read_objects(&self) -> BTreeMap<String, Vec<u8>> {
        let (mut read, bucket) = (BTreeMap::new(), self.bucket());
        for (key, _) in s3::list(bucket.s3(), bucket.bucket(), bucket.prefix()).await.unwrap() {
            let bytes = s3::get(bucket.s3(), bucket.bucket(), &key).await.unwrap();
            read.insert(key, bytes);
        }
        read
    }

    /// Puts the database back as it was.
    pub async fn undo_database(&self) {
        self.server("DROP DATABASE IF EXISTS mlflow WITH (FORCE)").await;
        self.server("CREATE DATABASE mlflow TEMPLATE saved").await;
    }

    /// Puts the objects back as they were.
    pub async fn undo_objects(&self) {
        let bucket = self.bucket();
        let now = s3::list(bucket.s3(), bucket.bucket(), bucket.prefix()).await.unwrap();
        for (key, _) in now.iter().filter(|(key, _)| !self.objects.contains_key(key)) {
            self.delete(key).await;
        }
        for (key, bytes) in &self.objects {
            let there = now.iter().any(|(other, _)| other == key);
            if !there || s3::get(bucket.s3(), bucket.bucket(), key).await.unwrap() != *bytes {
                self.put(key, bytes.clone()).await;
            }
        }
    }

    /// Says one line of the catalogue.
    pub fn say(&self, name: &str, finding: &Finding) {
        let reason: String = finding.reason.as_deref().unwrap_or_default().chars().take(200).collect();
        println!("{:5.1} s  {name}: {} {reason}", self.began.elapsed().as_secs_f64(), finding.verdict);
    }

    pub async fn end(self) {
        assert_eq!(self.platform.remove().await, Vec::<String>::new());
    }
}
