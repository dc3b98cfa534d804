//! The commands of a protection, as their users type them, against a real PostgreSQL: B1, B5, B6.

use crate::postgres::Server;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A server with a table, and the file of a protection with two repositories beside each other.
pub struct Protected {
    pub server: Server,
    pub folder: TempDir,
}

impl Protected {
    pub async fn start() -> Self {
        Self::of(Server::start().await).await
    }

    pub async fn of(server: Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), "open sesame\n").unwrap();
        let this = Self { server, folder };
        this.write("mlflow");
        this.sql("mlflow", "CREATE TABLE runs (id int PRIMARY KEY); INSERT INTO runs SELECT generate_series(1, 1000)")
            .await;
        this
    }

    fn write(&self, name: &str) -> PathBuf {
        self.write_with(name, "")
    }

    /// With more keys at its end.
    pub fn write_with(&self, name: &str, more: &str) -> PathBuf {
        let password = "password: { file: password }";
        let text = format!(
            "protection: {name}\nplatform: {{ postgres: {{ url: 'postgresql://admin@127.0.0.1:{}/mlflow' }} }}\n\
             engine: {{ builtin: {{ postgres: logical }} }}\nrepositories:\n  - near: {{ directory: near, {password} }}\n  \
             - far: {{ directory: far, {password} }}\n{more}",
            self.server.port()
        );
        let path = self.folder.path().join(format!("{name}.yaml"));
        fs::write(&path, text).unwrap();
        path
    }

    pub async fn sql(&self, database: &str, statements: &str) {
        self.server.client(database).await.unwrap().batch_execute(statements).await.unwrap();
    }

    /// How many rows `runs` has; nothing if the database is not there.
    pub async fn rows(&self, database: &str) -> Option<i64> {
        let client = self.server.client(database).await.ok()?;
        Some(client.query_one("SELECT count(*) FROM runs", &[]).await.unwrap().get(0))
    }

    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args.split_whitespace()).current_dir(self.folder.path());
        command
    }

    pub fn lifeboat(&self, args: &str) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    pub fn done(&self, args: &str) -> Value {
        let output = self.lifeboat(&format!("{args} --json"));
        assert_eq!(output.status.code(), Some(0), "{args}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What is said when this exit code comes.
    #[track_caller]
    pub fn refused(&self, args: &str, code: i32) -> String {
        let output = self.lifeboat(args);
        assert_eq!(output.status.code(), Some(code), "{args}: {}", said(&output));
        said(&output)
    }
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_backed_up_listed_verified_and_restored_by_commands() {
    let it = Protected::start().await;
    let why = it.refused("backup mlflow.yaml", 5);
    assert!(why.contains("there is none") && why.contains("--create"), "{why}");
    assert_eq!(files(&it.folder.path().join("near")), 0, "a wrong path is no new repository");

    let first = it.done("backup mlflow.yaml --create");
    let point = first[0]["point"].as_str().unwrap().to_owned();
    let between = first[1]["taken_at"].as_str().unwrap().to_owned();
    it.sql("mlflow", "INSERT INTO runs SELECT generate_series(1001, 1500)").await;
    it.done("backup mlflow.yaml");
    let listed = it.done("points mlflow.yaml");
    for repository in 0..2 {
        let points = listed[repository]["points"].as_array().unwrap();
        assert_eq!(points.len(), 2, "{listed:#}");
    }
    assert_eq!(listed[0]["points"][0]["point"], point.as_str());
    it.done("verify mlflow.yaml");

    // Beside the live database, which stays as it is.
    let restored = it.done(&format!("restore mlflow.yaml --to {point} --into looked_at"));
    assert_eq!((it.rows("looked_at").await, it.rows("mlflow").await), (Some(1000), Some(1500)), "{restored:#}");
    it.done("restore mlflow.yaml --to latest --from far --into newest");
    assert_eq!(it.rows("newest").await, Some(1500));
    let why = it.refused("restore mlflow.yaml --to latest --into looked_at", 5);
    assert!(why.contains("there is a database of this name"), "{why}");
    assert_eq!(it.rows("looked_at").await, Some(1000));
    it.refused("restore mlflow.yaml --to latest --into mlflow", 5);

    // In its place, at a time, only when it is said.
    let why = it.refused("restore mlflow.yaml --to latest", 2);
    assert!(why.contains("--replace"), "{why}");
    it.refused("restore mlflow.yaml", 2);
    let planned = it.done(&format!("restore mlflow.yaml --to {between} --from near --dry-run"));
    assert_eq!(planned["plan"]["point"]["id"], point.as_str(), "{planned:#}");
    assert_eq!(it.rows("mlflow").await, Some(1500), "a dry run changes nothing");
    it.done(&format!("restore mlflow.yaml --to {between} --from near --replace"));
    assert_eq!(it.rows("mlflow").await, Some(1000));
    let why = it.refused("restore mlflow.yaml --to 2001-01-01T00:00:00Z --replace", 5);
    assert!(why.contains("known:"), "{why}");
    assert!(it.refused("restore mlflow.yaml --to nonsense --replace", 5).contains("known:"));

    // The points of another protection in the same repository are another's.
    it.write("other");
    assert_eq!(it.done("points other.yaml")[0]["points"].as_array().unwrap().len(), 0);
    it.refused("restore other.yaml --to latest --into others", 5);
    assert_eq!(it.rows("others").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_never_restored_and_the_other_repository_has_the_point() {
    let it = Protected::start().await;
    it.done("backup mlflow.yaml --create");
    let packs = walk(&it.folder.path().join("near/data"));
    assert!(!packs.is_empty());
    for pack in &packs {
        let mut bytes = fs::read(pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(pack).unwrap();
        fs::write(pack, bytes).unwrap();
    }
    let why = it.refused("verify mlflow.yaml", 3);
    let name = packs[0].file_name().unwrap().to_str().unwrap();
    assert!(why.contains(name) && why.contains("far: ") && why.contains("nothing is wrong"), "{why}");
    it.sql("mlflow", "INSERT INTO runs VALUES (0)").await;
    let why = it.refused("restore mlflow.yaml --to latest --from near --replace", 3);
    assert!(why.contains("not restored"), "{why}");
    assert_eq!(it.rows("mlflow").await, Some(1001), "the live database stays as it is");
    it.done("restore mlflow.yaml --to latest --from far --replace");
    assert_eq!(it.rows("mlflow").await, Some(1000));

    // A wrong password, and a repository that is gone: said, and the other one serves.
    fs::write(it.folder.path().join("password"), "wrong\n").unwrap();
    assert!(it.refused("points mlflow.yaml", 5).contains("the password is wrong"));
    fs::write(it.folder.path().join("password"), "open sesame\n").unwrap();
    fs::remove_dir_all(it.folder.path().join("near")).unwrap();
    it.done("restore mlflow.yaml --to latest --into again");
    assert_eq!(it.rows("again").await, Some(1000));
    assert!(it.refused("backup mlflow.yaml", 5).contains("near"));
}

/// B7, B11: points go when their time is over, but never the last that can be restored; one that has shrunk is told.
#[tokio::test(flavor = "multi_thread")]
async fn points_are_pruned_and_copied_and_one_that_has_shrunk_is_told() {
    let it = Protected::start().await;
    it.done("backup mlflow.yaml --create");
    let why = it.refused("prune mlflow.yaml", 2);
    assert!(why.contains("does not say for how long"), "{why}");
    it.write_with("mlflow", "keep: { incremental: 1ms, registry: 1y, near: 1ms }\n");
    it.sql("mlflow", "INSERT INTO runs SELECT generate_series(2000, 9000)").await;
    let first = walk(&it.folder.path().join("near/data"));
    it.done("backup mlflow.yaml");
    let kept = |listed: &Value, repository: usize| {
        let points = listed[repository]["points"].as_array().unwrap().clone();
        points.iter().map(|point| point["point"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = kept(&it.done("points mlflow.yaml"), 0);
    let planned = it.done("prune mlflow.yaml --dry-run");
    let stays = planned[0]["points"].as_array().unwrap().iter().map(|point| point["stays_as"].clone());
    assert_eq!(stays.collect::<Vec<_>>(), [Value::Null, "last good point".into()], "{planned:#}");
    assert_eq!(kept(&it.done("points mlflow.yaml"), 0), before, "a dry run removes nothing");

    // The newest cannot be restored: the one before it stays. None can be: nothing goes.
    let damaged = damage_newest(&it.folder.path().join("near/data"), &first);
    let planned = it.done("prune mlflow.yaml --dry-run");
    assert_eq!(planned[0]["points"][0]["stays_as"], "last good point", "{planned:#}");
    let packs: Vec<_> =
        walk(&it.folder.path().join("near/data")).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    packs.iter().for_each(|(bytes, path)| rewrite(path, bytes.iter().map(|byte| byte ^ 1).collect()));
    let why = it.refused("prune mlflow.yaml", 5);
    assert!(why.contains("no point can be restored"), "{why}");
    packs.into_iter().for_each(|(bytes, path)| rewrite(&path, bytes));
    rewrite(&damaged.1, damaged.0);
    assert_eq!(kept(&it.done("points mlflow.yaml"), 0), before, "nothing went");

    // Two prunes: the first marks, the second removes. What stays is whole, and another's points are not touched.
    it.write("other");
    it.done("backup other.yaml");
    let pruned = it.done("prune mlflow.yaml --readers 0s");
    assert!(pruned[0]["removed_bytes"].as_u64().unwrap() > 0, "{pruned:#}");
    let listed = it.done("points mlflow.yaml");
    assert_eq!((kept(&listed, 0).as_slice(), kept(&listed, 1).len()), (&before[1..], 1), "the newest of the month");
    assert_eq!(kept(&it.done("points other.yaml"), 0).len(), 1);
    it.done("verify mlflow.yaml");
    it.done("restore mlflow.yaml --to latest --from near --into pruned");
    assert_eq!(it.rows("pruned").await, Some(8001));

    // A repository that was lost is filled from the other, once.
    fs::remove_dir_all(it.folder.path().join("near")).unwrap();
    assert!(it.refused("copy mlflow.yaml --from far --to near", 5).contains("--create"));
    let why = it.refused("copy mlflow.yaml --from far --to nowhere", 2);
    assert!(why.contains("known: near, far"), "{why}");
    it.refused("copy mlflow.yaml --from far --to far", 2);
    it.refused("restore mlflow.yaml --to latest --from nowhere --into other", 2);
    it.refused("policy mlflow.yaml --repository near --for backup", 2);
    let copied = it.done("copy mlflow.yaml --from far --to near --create");
    assert_eq!(copied.as_array().unwrap().len(), 1, "{copied:#}");
    let point = copied[0]["point"].as_str().unwrap();
    assert_eq!(it.done(&format!("copy mlflow.yaml --from far --to near --point {point}")).as_array().unwrap().len(), 0);
    assert!(it.refused("copy mlflow.yaml --from far --to near --point none", 5).contains("has no point `none`"));
    assert_eq!(it.done("copy mlflow.yaml --from far --to near").as_array().unwrap().len(), 0);
    it.done("verify mlflow.yaml");
    it.done("restore mlflow.yaml --to latest --from near --into copied");
    assert_eq!(it.rows("copied").await, Some(8001));

    it.write_with("mlflow", "every: 1h\n");
    it.done("points mlflow.yaml");
    it.write_with("mlflow", "every: 1s\n");
    tokio::time::sleep(std::time::Duration::from_millis(1600)).await;
    assert!(it.refused("points mlflow.yaml", 3).contains("old, and one is due every 1s"));
    it.write_with("nothing", "every: 1y\n");
    assert!(it.refused("points nothing.yaml", 3).contains("there is no point, and one is due every 1y"));
    it.sql("mlflow", "TRUNCATE runs").await;
    let why = it.refused("backup mlflow.yaml", 3);
    assert!(why.contains("warning: near: the point before this one has"), "{why}");
    it.done("backup mlflow.yaml");
}

/// Damages the largest pack that came after these; answers its bytes and its path.
fn damage_newest(folder: &Path, before: &[PathBuf]) -> (Vec<u8>, PathBuf) {
    let new = walk(folder).into_iter().filter(|path| !before.contains(path));
    let path = new.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let bytes = fs::read(&path).unwrap();
    rewrite(&path, bytes.iter().map(|byte| byte ^ 1).collect());
    (bytes, path)
}

/// Files of a repository are read-only.
fn rewrite(path: &Path, bytes: Vec<u8>) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
