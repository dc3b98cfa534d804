//! The platform of containers for real: set up, hurt in every way, removed; and removed when its maker is gone.
//!
//! Without an engine these tests say so and pass; `LIFEBOAT_TEST_CONTAINERS=require` makes them fail instead.

use crate::notes::Notes;
use crate::services;
use lifeboat::client::mlflow::Mlflow;
use lifeboat::client::s3;
use lifeboat::environment::{Environment, Platform, RunContext, containers};
use lifeboat::model::{Receipt, Verdict};
use lifeboat::node;
use lifeboat::workload::seed;
use serde_json::json;
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use testcontainers::bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListImagesOptions, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn environment(yaml: &str) -> Box<dyn Environment> {
    (containers::KIND.parse)(&node::parse(yaml).unwrap(), &mut vec![]).unwrap()
}

struct Fixture {
    docker: Docker,
    environment: Box<dyn Environment>,
    run_context: RunContext,
    notes: Arc<Notes>,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(name: &str) -> Option<Self> {
        let docker = services::engine().await?;
        let folder = tempfile::tempdir().unwrap();
        let run_context = RunContext { run: format!("{name}-{}", std::process::id()), folder: folder.path().into() };
        Some(Self { docker, environment: environment("{ images: built }"), run_context, notes: Arc::default(), folder })
    }

    async fn provision(&self) -> Arc<dyn Platform> {
        let survey = self.environment.survey(&[]).await;
        assert!(survey.problems.is_empty(), "{:?}", survey.problems);
        let journal = Arc::clone(&self.notes);
        let began = Instant::now();
        let environment =
            self.environment.provision(&self.run_context, journal).await.map_err(|e| e.to_string()).unwrap();
        eprintln!("{}: ready after {:.1} s", self.run_context.run, began.elapsed().as_secs_f64());
        environment
    }

    fn receipts(&self) -> Vec<Receipt> {
        self.notes.0.lock().unwrap().clone()
    }

    /// What of the run is on the engine.
    async fn left(&self) -> Vec<String> {
        services::on_engine(&self.docker, &self.run_context.run).await
    }

    async fn assert_nothing_left(&self) {
        assert_eq!(self.left().await, Vec::<String>::new());
        for receipt in self.receipts() {
            assert!(!receipt.0["file"].as_str().is_some_and(|file| Path::new(file).exists()), "{receipt:?}");
        }
    }
}

/// Whatever became of the test.
impl Drop for Fixture {
    fn drop(&mut self) {
        let (environment, run_context, receipts) =
            (environment("{ images: built }"), self.run_context.clone(), self.receipts());
        let clean = async move { environment.remove(&run_context, &receipts).await };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(clean));
    }
}

async fn make_run(mlflow: &Mlflow) -> String {
    let body = json!({ "experiment_id": "0", "start_time": 1, "run_name": "x" });
    let answer = mlflow.post("runs/create", &body).await.unwrap();
    answer["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

/// A busy machine is slow.
fn client(environment: &dyn Platform) -> Mlflow {
    Mlflow::fresh(environment.endpoints().mlflow.as_ref().unwrap(), Duration::from_secs(20)).unwrap()
}

/// For what never answers.
fn hasty(environment: &dyn Platform) -> Mlflow {
    Mlflow::fresh(environment.endpoints().mlflow.as_ref().unwrap(), Duration::from_secs(3)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_survives_what_is_done_to_it_and_leaves_nothing() {
    let Some(fixture) = Fixture::new("test-survives").await else { return };
    let platform = fixture.provision().await;
    let began = Instant::now();
    seed::plant(&*platform, 1.0).await.unwrap();
    eprintln!("seed: {:.1} s", began.elapsed().as_secs_f64());
    let (step_context, mlflow) = (platform.components().unwrap(), client(&*platform));
    let run = make_run(&mlflow).await;
    let path = format!("0/{run}/artifacts/a.txt");
    mlflow.put_artifact(&path, b"bytes".to_vec()).await.unwrap();
    let objects = platform.objects().unwrap();
    let key = format!("{}/{path}", objects.prefix());
    assert_eq!(s3::get(objects.s3(), objects.bucket(), &key).await.unwrap(), b"bytes");

    for component in ["mlflow", "postgres", "s3"] {
        let before = step_context.instance(component).await.unwrap().unwrap();
        let began = Instant::now();
        step_context.kill(component).await.unwrap();
        step_context.kill(component).await.unwrap();
        assert_eq!(step_context.alive(component).await.verdict, Verdict::Missed);
        assert_eq!(step_context.instance(component).await.unwrap(), None, "what was killed stays down");
        step_context.start(component).await.unwrap();
        eprintln!("{component}: killed, started and serving within {:.1} s", began.elapsed().as_secs_f64());
        step_context.start(component).await.unwrap();
        assert_eq!(step_context.alive(component).await.verdict, Verdict::Met);
        assert_ne!(step_context.instance(component).await.unwrap().unwrap(), before);
    }
    mlflow.get("runs/get", &[("run_id", &run)]).await.unwrap();
    assert_eq!(mlflow.artifact(&path).await.unwrap(), b"bytes");

    for component in ["postgres", "mlflow"] {
        step_context.pause(component).await.unwrap();
        step_context.pause(component).await.unwrap();
        assert_eq!(step_context.alive(component).await.verdict, Verdict::Missed);
        assert!(hasty(&*platform).get("runs/get", &[("run_id", &run)]).await.is_err());
        assert_eq!(step_context.start(component).await.unwrap_err().hint.unwrap(), "resume it");
        step_context.resume(component).await.unwrap();
        step_context.resume(component).await.unwrap();
        mlflow.get("runs/get", &[("run_id", &run)]).await.unwrap();
    }
    for component in ["mlflow", "postgres"] {
        let began = Instant::now();
        step_context.stop(component).await.unwrap();
        step_context.stop(component).await.unwrap();
        eprintln!("{component}: stopped within {:.1} s", began.elapsed().as_secs_f64());
    }
    step_context.start("postgres").await.unwrap();
    step_context.start("mlflow").await.unwrap();
    mlflow.get("runs/get", &[("run_id", &run)]).await.unwrap();

    what_is_inside_can_be_controlled(&fixture, &*platform).await;

    step_context.pause("postgres").await.unwrap(); // and removed while frozen
    let began = Instant::now();
    assert_eq!(platform.remove().await, Vec::<String>::new());
    eprintln!("removed within {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(platform.remove().await, Vec::<String>::new());
    fixture.assert_nothing_left().await;
    let log = std::fs::read_to_string(fixture.folder.path().join("logs/postgres.log")).unwrap();
    assert!(log.contains("ready to accept connections"), "{log}");
    assert!(fixture.folder.path().join("logs/mlflow.log").metadata().unwrap().len() > 0);
}

/// Commands, networks and memory; and what dies by itself comes back.
async fn what_is_inside_can_be_controlled(fixture: &Fixture, platform: &dyn Platform) {
    commands(platform).await;
    cables(platform).await;
    memory(platform).await;
    let shown = Command::new("docker").args(["inspect", &format!("{}-postgres", fixture.run_context.run)]).output();
    if let Ok(shown) = shown {
        let passfile = std::fs::read_to_string(platform.endpoints().passfile.as_ref().unwrap()).unwrap();
        let password = passfile.trim().rsplit(':').next().unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("POSTGRES_PASSWORD_FILE") && !shown.contains(password), "a password is for all to see");
    }
    let mine = platform.components().unwrap().instance("mlflow").await.unwrap().unwrap();
    // a process that dies by itself comes back
    platform.exec().unwrap().exec("mlflow", &["bash", "-c", "kill -TERM 1"]).await.unwrap().finish().await.unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while platform.components().unwrap().instance("mlflow").await.unwrap().is_none_or(|now| now == mine) {
        assert!(Instant::now() < deadline, "it did not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn commands(platform: &dyn Platform) {
    let exec = platform.exec().unwrap();
    let mut running = exec.exec("postgres", &["sh", "-c", "cat; echo bad >&2; exit 7"]).await.unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut input, copy, mut back) = (running.input, bytes.clone(), vec![]);
    let fed = tokio::spawn(async move {
        input.write_all(&copy).await.unwrap();
    });
    let (read, ended) = tokio::join!(running.output.read_to_end(&mut back), running.ended);
    fed.await.unwrap();
    let ended = ended.unwrap();
    assert_eq!((read.unwrap(), ended.code, ended.said.as_str()), (bytes.len(), Some(7), "bad\n"));
    assert!(back == bytes, "what goes in comes out");
    let (ended, _) = exec.exec("s3", &["no-such-program"]).await.unwrap().finish().await.unwrap();
    assert!(!ended.success(), "{ended:?}");
    let whoami = exec.exec("mlflow", &["id", "-u"]).await.unwrap().text("who").await.unwrap();
    assert_eq!(whoami, "0\n");

    let sql = platform.sql().unwrap();
    sql.connect(sql.database()).await.unwrap().query_one("select 1", &[]).await.unwrap();
    let (ended, dump) = sql.tool("pg_dump", &["-Fc", "mlflow"]).await.unwrap().finish().await.unwrap();
    assert!(ended.success() && dump.starts_with(b"PGDMP"), "{ended}");
    let mut restore = sql.tool("pg_restore", &["-l"]).await.unwrap();
    let _ = restore.input.write_all(&dump).await; // it closes the pipe when it has read the table of contents
    let list = restore.text("list").await.unwrap();
    assert!(list.contains("alembic_version"), "{list}");
}

async fn cables(platform: &dyn Platform) {
    let (network, mlflow) = (platform.network().unwrap(), client(platform));
    let mut rows = hasty(platform);
    assert_eq!(network.reaches("mlflow", "postgres").await.verdict, Verdict::Met);
    assert_eq!(network.reaches("mlflow", "s3").await.verdict, Verdict::Met);
    assert_eq!(network.reaches("postgres", "s3").await.verdict, Verdict::Missed, "they never talk");
    for _ in 0..2 {
        network.cut("postgres", "mlflow").await.unwrap();
    }
    let began = Instant::now();
    let finding = network.reaches("mlflow", "postgres").await;
    assert!(finding.verdict == Verdict::Missed && began.elapsed() < Duration::from_secs(5), "{finding:?}");
    assert_eq!(network.reaches("postgres", "mlflow").await.verdict, Verdict::Missed);
    assert_eq!(network.reaches("mlflow", "s3").await.verdict, Verdict::Met);
    mlflow.health().await.unwrap();
    let sql = platform.sql().unwrap();
    sql.connect(sql.database()).await.unwrap().query_one("select 1", &[]).await.unwrap();
    assert!(rows.get("experiments/get", &[("experiment_id", "0")]).await.is_err());
    for _ in 0..2 {
        network.mend("mlflow", "postgres").await.unwrap();
    }
    assert_eq!(network.reaches("mlflow", "postgres").await.verdict, Verdict::Met);
    let deadline = Instant::now() + Duration::from_mins(1);
    while let Err(error) = rows.get("experiments/get", &[("experiment_id", "0")]).await {
        assert!(Instant::now() < deadline, "{error}");
        rows = client(platform);
    }
    eprintln!("mended: MLflow answers {:.1} s later", began.elapsed().as_secs_f64());
    assert!(network.cut("postgres", "s3").await.unwrap_err().why.contains("never talk"));
    assert!(network.cut("postgres", "minio").await.unwrap_err().why.contains("known: postgres"));
}

async fn memory(platform: &dyn Platform) {
    let memory = platform.memory().unwrap();
    let before = memory.memory("s3").await.unwrap();
    assert!(before.limit.is_none() && !before.killed && before.used > 1 << 20, "{before:?}");
    for bytes in [256 << 20, 128 << 20, 512 << 20] {
        memory.limit("s3", Some(bytes)).await.unwrap();
        assert_eq!(memory.memory("s3").await.unwrap().limit, Some(bytes));
    }
    for _ in 0..2 {
        memory.limit("s3", None).await.unwrap();
        assert_eq!(memory.memory("s3").await.unwrap().limit, None);
    }
    memory.limit("s3", Some(128 << 20)).await.unwrap();
    let exec = platform.exec().unwrap();
    let hog = ["bash", "-c", "head -c 400000000 /dev/zero | tail"];
    exec.exec("s3", &hog).await.unwrap().finish().await.unwrap();
    let step_context = platform.components().unwrap();
    assert!(memory.memory("s3").await.unwrap().killed, "a child that was killed counts");
    memory.limit("s3", None).await.unwrap();
    step_context.stop("s3").await.unwrap();
    step_context.start("s3").await.unwrap();
    let after = memory.memory("s3").await.unwrap();
    assert!(after.killed && after.limit.is_none(), "one before this instance counts: {after:?}");
    assert!(!memory.memory("postgres").await.unwrap().killed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_runs_platform_is_removed_by_its_receipts_alone_and_no_other() {
    let Some(fixture) = Fixture::new("test-dead").await else { return };
    let other = format!("{}-other", fixture.run_context.run);
    let labels = HashMap::from([("dev.lifeboat.run".to_owned(), other.clone())]);
    let volume = VolumeCreateRequest { name: Some(other.clone()), labels: Some(labels), ..Default::default() };
    fixture.docker.create_volume(volume).await.unwrap();
    let platform = fixture.provision().await;
    platform.components().unwrap().pause("mlflow").await.unwrap();
    std::mem::forget(platform);
    let receipts = fixture.receipts();
    assert_eq!(fixture.environment.remove(&fixture.run_context, &receipts).await, Vec::<String>::new());
    fixture.assert_nothing_left().await;
    assert!(fixture.folder.path().join("logs/mlflow.log").metadata().unwrap().len() > 0);
    assert_eq!(fixture.environment.remove(&fixture.run_context, &receipts).await, Vec::<String>::new());
    assert_eq!(services::on_engine(&fixture.docker, &other).await, [other.as_str()], "another run's things stay");
    fixture.docker.remove_volume(&other, None::<RemoveVolumeOptions>).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_told_and_its_owner_keeps_it() {
    let Some(fixture) = Fixture::new("test-name").await else { return };
    let taken = format!("{}-s3", fixture.run_context.run);
    let images = fixture.docker.list_images(None::<ListImagesOptions>).await.unwrap();
    let body = ContainerCreateBody { image: Some(images[0].id.clone()), ..Default::default() };
    let named = CreateContainerOptionsBuilder::new().name(&taken).build();
    fixture.docker.create_container(Some(named), body).await.unwrap();
    let journal = Arc::clone(&fixture.notes);
    let Err(error) = fixture.environment.provision(&fixture.run_context, journal).await else {
        panic!("the name was taken")
    };
    let left = fixture.environment.remove(&fixture.run_context, &fixture.receipts()).await;
    let there = fixture.docker.inspect_container(&taken, None).await;
    let forced = RemoveContainerOptionsBuilder::new().force(true).build();
    fixture.docker.remove_container(&taken, Some(forced)).await.unwrap();
    assert!(error.to_string().contains(&taken), "{error}");
    assert!(there.is_ok(), "somebody else's container is gone");
    println!("told: {error}; left: {left:?}");
    fixture.assert_nothing_left().await;
}

#[tokio::test]
async fn a_socket_that_one_may_not_use_is_told() {
    let (Some(docker), Some(nobody)) = (services::engine().await, nobody()) else { return };
    drop(docker);
    let Some(socket) = std::env::var("DOCKER_HOST").unwrap_or_default().strip_prefix("unix://").map(PathBuf::from)
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.path().join("lifeboat");
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_lifeboat")).arg(&program).status().unwrap().success());
    for part in ["drills/mlflow-crash.yaml", "scenarios/mlflow-crash.yaml"] {
        let to = folder.path().join(part);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(part), to).unwrap();
    }
    let mut lifeboat = Command::new(program);
    lifeboat.args(["plan", "drills/mlflow-crash.yaml", "--environment", "containers: { images: built }"]);
    lifeboat.env("DOCKER_HOST", format!("unix://{}", socket.display())).env("HOME", folder.path());
    let output = lifeboat.current_dir(folder.path()).uid(nobody).gid(nobody).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" "); // a plan is wrapped
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("Permission denied") && said.contains("join the group that owns it"), "{said}");
}

/// The id of the user `nobody`, when we are root.
fn nobody() -> Option<u32> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok().filter(|_| rustix::process::geteuid().is_root())?;
    passwd.lines().find(|line| line.starts_with("nobody:"))?.split(':').nth(2)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_with_the_ways_out_of_it() {
    if services::engine().await.is_none() {
        return;
    }
    let images = "{ images: { postgres: 'nowhere.invalid/postgres:1', mlflow: 'nowhere.invalid/mlflow:2' } }";
    let survey = environment(images).survey(&[]).await;
    for wanted in ["nowhere.invalid/postgres:1", "nowhere.invalid/mlflow:2"] {
        let problem = survey.problems.iter().find(|problem| problem.contains(wanted)).unwrap();
        assert!(problem.contains(&format!("docker pull {wanted}")), "{problem}");
        assert!(problem.contains("make images") && problem.contains("images: built"), "{problem}");
    }
    assert!(survey.facts.contains_key("engine"), "{:?}", survey.facts);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_gone_is_never_taken_for_a_clean_one() {
    let folder = tempfile::tempdir().unwrap();
    let run_context = RunContext { run: "test-gone".into(), folder: folder.path().into() };
    let receipts = [Receipt(json!({ "container": "test-gone-s3", "engine": "unix:///nowhere/docker.sock" }))];
    let left = environment("{}").remove(&run_context, &receipts).await;
    assert!(left.len() == 1 && left[0].contains("test-gone-s3"), "{left:?}");
    assert_eq!(environment("{}").remove(&run_context, &[]).await, Vec::<String>::new());

    let mut lifeboat = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    lifeboat.args(["plan", "drills/mlflow-crash.yaml", "--environment", "containers: { images: built }"]);
    let output = lifeboat.env("DOCKER_HOST", "unix:///nowhere/docker.sock").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("no container engine answers at"), "{said}");
    assert!(said.contains("DOCKER_HOST"), "{said}");
}
