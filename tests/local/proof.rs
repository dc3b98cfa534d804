//! `lifeboat verify --restore` on real servers: B10. What is whole is proved without its source, each flaw is named, and
//! nothing is left behind.

use crate::protection::{Protected, said};
use crate::protection_physical_fixture::{PhysicalProtection, received};
use crate::repository::ObjectLockServer;
use lifeboat::client::s3;
use lifeboat::repository::{NewFile, NewPoint, OpenPoint, OpenRepository, Patience};
use lifeboat::spec::load_protection;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

/// Where the throw-away servers of one test lie.
struct State(tempfile::TempDir);

impl State {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap(); // PostgreSQL is another user
        Self(folder)
    }

    fn command(&self, mut command: Command) -> Command {
        command.env("LIFEBOAT_STATE", self.0.path());
        command
    }

    /// What the command answers, which ends with this code; nothing is left of it.
    #[track_caller]
    fn ends(&self, command: Command, code: i32) -> String {
        let output = self.command(command).output().unwrap();
        println!("{}", said(&output));
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert_eq!(self.servers(), Vec::<PathBuf>::new());
        said(&output)
    }

    fn servers(&self) -> Vec<PathBuf> {
        fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Starts a command, and waits until its server is being filled.
    fn filling(&self, command: Command) -> (Child, PathBuf) {
        let mut command = self.command(command);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        loop {
            let socket = |folder: &PathBuf| {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(".s.PGSQL"))
            };
            if let Some(folder) = self.servers().into_iter().find(socket) {
                return (child, folder);
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended before its server was there");
            assert!(began.elapsed() < Duration::from_mins(1));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The processes that name a folder in their command line.
fn processes_in(folder: &Path) -> usize {
    let name = folder.display().to_string();
    let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(|it| fs::read(it.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&name)).count()
}

const PROVE: &str = "verify mlflow.yaml --restore latest --repository near";

#[tokio::test(flavor = "multi_thread")]
async fn a_point_is_proved_where_only_its_repository_is_left() {
    let (it, state) = (Protected::start().await, State::new());
    let schema = "CREATE ROLE reader; CREATE ROLE owner; ALTER DATABASE mlflow SET work_mem = '8MB'; \
        COMMENT ON DATABASE mlflow IS 'ours'";
    it.server.connect_as("admin", "mlflow").await.unwrap().batch_execute(schema).await.unwrap();
    it.sql("mlflow", "GRANT SELECT ON runs TO reader; CREATE SEQUENCE s; SELECT nextval('s')").await;
    it.done("backup mlflow.yaml --create");
    it.sql("mlflow", "DELETE FROM runs").await;
    let Protected { server, folder } = it;
    drop(server);

    let command = |args: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args.split_whitespace()).current_dir(folder.path());
        command
    };
    let found: Value = serde_json::from_str(&state.ends(command("verify mlflow.yaml --json --restore"), 0)).unwrap();
    for repository in [&found[0], &found[1]] {
        let restored = &repository["restored"];
        assert_eq!(restored["finding"]["verdict"], "met", "{found:#}");
        assert!(restored["seconds"].as_f64().unwrap() > 0.0);
        let figures = restored["finding"]["figures"].as_array().unwrap();
        assert!(figures.contains(&json!(["rows restored", "1000"])), "{found:#}");
        assert!(figures.contains(&json!(["rows compared", "1000"])), "{found:#}");
    }
    let told = state.ends(command(PROVE), 0);
    assert!(told.contains("restored and asked in") && !told.contains("far:"), "{told}");

    // What is not there, and what this machine lacks, is no flaw, and no proof either.
    assert!(state.ends(command("verify mlflow.yaml --restore nonsense --repository near"), 5).contains("known:"));
    let why = state.ends(command("verify mlflow.yaml --restore latest --repository nowhere"), 2);
    assert!(why.contains("known: near, far"), "{why}");
    let mut elsewhere = command(PROVE);
    elsewhere.env("LIFEBOAT_PG_BIN", folder.path());
    let why = state.ends(elsewhere, 5);
    assert!(why.contains("this machine has no PostgreSQL") && why.contains("LIFEBOAT_PG_BIN"), "{why}");
}

/// A repository of a protection, in which points are made of parts of others.
pub struct Forge {
    repository: OpenRepository,
}

impl Forge {
    pub async fn of(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("mlflow.yaml")).unwrap();
        let whole = |name: &str| folder.join(name).display().to_string();
        let text = text.replace("directory: near", &format!("directory: {}", whole("near")));
        let text = text.replace("file: password", &format!("file: {}", whole("password")));
        fs::write(folder.join("whole.yaml"), text).unwrap();
        let protection = load_protection(&folder.join("whole.yaml")).unwrap();
        let opened = OpenRepository::open(&protection.repositories[0], Patience::default()).await;
        Self { repository: opened.unwrap() }
    }

    pub async fn newest(&self) -> OpenPoint {
        let point = self.repository.points().await.unwrap().points.pop().unwrap();
        self.repository.point(&point.id).await.unwrap()
    }

    /// Puts a point that is the newest.
    async fn put(&self, name: &str, files: Vec<(&'static str, Vec<u8>)>) {
        let time = jiff::Timestamp::now();
        let point = NewPoint { label: "mlflow".into(), tags: vec![name.to_owned()], time };
        let files: Vec<_> = files.into_iter().map(|(name, bytes)| Ok(NewFile::bytes(name, bytes))).collect();
        self.repository.put(point, futures::stream::iter(files)).await.unwrap();
    }
}

pub async fn bytes(point: &OpenPoint, name: &str) -> Vec<u8> {
    let (file, mut bytes) = (point.find(name).await.unwrap(), vec![]);
    point.read(&file).read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// The manifest of a point, which tells of this dump.
async fn manifest_with(point: &OpenPoint, dump: &[u8]) -> Vec<u8> {
    let mut manifest: Value = serde_json::from_slice(&bytes(point, "point.json").await).unwrap();
    manifest["dump"] = json!({ "bytes": dump.len(), "digest": blake3::hash(dump).to_hex().to_string() });
    serde_json::to_vec(&manifest).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_the_point_says_is_named() {
    let (it, state) = (Protected::start().await, State::new());
    it.done("backup mlflow.yaml --create");
    let forge = Forge::of(it.folder.path()).await;
    let whole = forge.newest().await;
    let (dump, readings) = ("database/dump", "database/readings.json");
    let forged = async |name: &str, of: &OpenPoint, dumped: Vec<u8>, read: Vec<u8>| {
        let manifest = manifest_with(of, &dumped).await;
        forge.put(name, vec![(dump, dumped), (readings, read), ("point.json", manifest)]).await;
    };
    let read = bytes(&whole, readings).await;

    it.sql("mlflow", "UPDATE runs SET id = 7000 WHERE id = 1").await;
    it.done("backup mlflow.yaml");
    forged("changed", &whole, bytes(&forge.newest().await, dump).await, read.clone()).await;
    let why = state.ends(it.command(PROVE), 3);
    assert!(why.contains("contents: rows of `public.runs` are gone: `1`") && why.contains("it is flawed"), "{why}");

    it.sql("mlflow", "DELETE FROM runs WHERE id = 7000").await;
    it.done("backup mlflow.yaml");
    forged("fewer", &whole, bytes(&forge.newest().await, dump).await, read.clone()).await;
    let why = state.ends(it.command(PROVE), 3);
    assert!(why.contains("table `public.runs` was restored with 999 rows instead of 1000"), "{why}");

    let mut cut = bytes(&whole, dump).await;
    cut.truncate(cut.len() / 2);
    forged("cut", &whole, cut, read.clone()).await;
    let why = state.ends(it.command(PROVE), 3);
    assert!(why.contains("`pg_restore` failed"), "{why}");

    // Rows that were only counted are no proof.
    let counted = bytes(&whole, dump).await;
    forged("counted", &whole, counted, b"{}".to_vec()).await;
    let why = state.ends(it.command(PROVE), 4);
    assert!(why.contains("the point has no digests of its rows"), "{why}");
    let why = state.ends(it.command("verify mlflow.yaml --restore changed --repository near"), 3);
    assert!(why.contains("changed"), "{why}");
}

/// As much of MLflow's schema as is asked.
const MLFLOW: &str = "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('abc'); \
    CREATE TABLE experiments (experiment_id int PRIMARY KEY, name text, artifact_location text); \
    DROP TABLE runs; CREATE TABLE runs (run_uuid text PRIMARY KEY, experiment_id int, artifact_uri text); \
    CREATE TABLE model_versions (name text, version int, run_id text, source text, storage_location text, status text, \
        PRIMARY KEY (name, version)); \
    CREATE TABLE model_version_tags (name text, version int, key text); \
    INSERT INTO experiments VALUES (1, 'e', 'mlflow-artifacts:/1'); \
    INSERT INTO runs VALUES ('r', 1, 'mlflow-artifacts:/1/r/artifacts'); \
    INSERT INTO model_versions VALUES ('m', 1, 'r', 'mlflow-artifacts:/1/m', NULL, 'READY')";

#[tokio::test(flavor = "multi_thread")]
async fn the_artifacts_of_every_version_are_in_the_point_and_read_to_their_end() {
    let Some(store) = ObjectLockServer::start().await else { return };
    let (it, client, state) = (Protected::start().await, store.client(), State::new());
    store.make_bucket("mlflow", false).await;
    let put = async |key: &str| s3::put(&client, "mlflow", key, key.repeat(9000).into_bytes()).await.unwrap();
    put("artifacts/1/m/MLmodel").await;
    put("artifacts/1/r/artifacts/a").await;
    it.sql("mlflow", MLFLOW).await;
    let file = it.folder.path().join("mlflow.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let bucket = store.bucket("mlflow", "artifacts");
    let text = text.replace(" } }\nengine", &format!(" }}, artifacts: {{ s3: {bucket} }} }}\nengine"));
    fs::write(&file, text.replace("postgres: logical", "postgres: logical, artifacts: objects")).unwrap();
    it.done("backup mlflow.yaml --create");
    let told = state.ends(it.command(PROVE), 0);
    for part in ["revision of MLflow's schema: abc", "artifacts read: 2", "model versions with artifacts: 1"] {
        assert!(told.contains(part), "{part}: {told}");
    }

    // A version whose objects were lost before the backup: every file of the point is whole, and the model is not there.
    client.delete_object().bucket("mlflow").key("artifacts/1/m/MLmodel").send().await.unwrap();
    it.done("backup mlflow.yaml");
    let why = state.ends(it.command(PROVE), 3);
    assert!(why.contains("registry-artifacts: m version 1: nothing is at `mlflow-artifacts:/1/m`"), "{why}");
    put("artifacts/1/m/MLmodel").await;

    // A row that a restore must not bring.
    it.sql("mlflow", "INSERT INTO runs VALUES ('s', 2, 'mlflow-artifacts:/2/s/artifacts')").await;
    it.done("backup mlflow.yaml");
    assert!(state.ends(it.command(PROVE), 3).contains("sql-integrity: 1 runs without their experiment"));
    it.sql("mlflow", "DELETE FROM runs WHERE run_uuid = 's'").await;

    // An object that the point lists and does not hold, and a version that is in no protected bucket.
    it.done("backup mlflow.yaml");
    let forge = Forge::of(it.folder.path()).await;
    let whole = forge.newest().await;
    let names = ["database/dump", "database/readings.json", "objects/1/m/MLmodel", "point.json"];
    let mut files = vec![];
    for name in names {
        files.push((name, bytes(&whole, name).await));
    }
    forge.put("lost", files).await;
    let why = state.ends(it.command(PROVE), 3);
    assert!(why.contains("the point has 1 artifacts") && why.contains("of 2"), "{why}");
    it.sql("mlflow", "UPDATE model_versions SET source = 's3://elsewhere/m'").await;
    it.done("backup mlflow.yaml");
    let why = state.ends(it.command(PROVE), 4);
    assert!(why.contains("not in the protected bucket: m version 1 at `s3://elsewhere/m`"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_one_that_is_interrupted_and_of_one_that_is_killed() {
    let (it, state) = (Protected::start().await, State::new());
    it.sql("mlflow", "INSERT INTO runs SELECT generate_series(2000, 300000)").await;
    it.done("backup mlflow.yaml --create");

    let (mut child, folder) = state.filling(it.command(PROVE));
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!((state.servers(), processes_in(&folder)), (vec![], 0));

    for next in [PROVE, "cleanup --reports ."] {
        let (mut child, folder) = state.filling(it.command(PROVE));
        // One that is still at work is left alone.
        state.command(it.command("cleanup --reports .")).output().unwrap();
        assert!(folder.exists() && child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(folder.exists() && processes_in(&folder) > 0, "a killed one leaves its server");
        state.ends(it.command(next), 0);
        assert_eq!(processes_in(&folder), 0, "after `{next}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_server_is_proved_by_its_point_and_its_log() {
    let (it, state) = (PhysicalProtection::start(&[]).await, State::new());
    let receive = it.receive();
    it.done("backup p.yaml --create");
    let client = it.database.client().await;
    client.batch_execute("INSERT INTO t SELECT generate_series(1, 5000)").await.unwrap();
    received().await;
    assert_eq!(receive.end(), Some(0));
    it.database.end();
    let told = state.ends(it.command("verify p.yaml --restore"), 0);
    assert!(told.contains("nothing is wrong") && told.contains("the database is none of MLflow's"), "{told}");
    assert!(!told.contains("to start it"), "{told}");

    // A page that was damaged before the backup, on a server that keeps no checksums.
    let owner = fs::metadata(it.database.data()).unwrap();
    let mut disable = it.database.program("pg_checksums", Some((owner.uid(), owner.gid())));
    assert!(disable.arg("--disable").arg("-D").arg(it.database.data()).output().unwrap().status.success());
    it.database.begin().await;
    let client = it.database.client().await;
    let file: String = client.query_one("SELECT pg_relation_filepath('t')", &[]).await.unwrap().get(0);
    it.database.end();
    let path = it.database.data().join(file);
    let mut page = fs::read(&path).unwrap();
    page[8000..8150].fill(0xa5);
    fs::write(&path, page).unwrap();
    it.database.begin().await;
    let receive = it.receive();
    let point = it.done("backup p.yaml")[0]["point"].as_str().unwrap().to_owned();
    received().await;
    assert_eq!(receive.end(), Some(0));
    let why = state.ends(it.command(&format!("verify p.yaml --restore {point}")), 3);
    assert!(why.contains("found damage in database `postgres`"), "{why}");
}
