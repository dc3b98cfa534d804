//! Repositories in a bucket of a real S3 server, locked and not, and what restic reads of them and of a directory.
//!
//! The server is started here alone: a platform has a database and MLflow beside it, and no bucket with Object Lock.

use crate::skips::lacking;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use futures::{StreamExt, stream};
use lifeboat::client::{Error, ErrorKind, s3};
use lifeboat::clock::wall;
use lifeboat::node::parse;
use lifeboat::repository::{KeyUse, NewFile, NewPoint, OpenRepository, Patience, RepositorySettings, Stored, Turn};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;

const ACCESS: &str = "lifeboatroot";
const SECRET: &str = "lifeboat-secret-1";
const PASSWORD: &str = "open sesame";
const PATIENCE: Patience = Patience {
    request: Duration::from_secs(10),
    beat: Duration::from_millis(300),
    dead: Duration::from_secs(6),
    turn: Duration::from_secs(1),
};

/// VersityGW with buckets that may be locked.
pub struct ObjectLockServer {
    folder: tempfile::TempDir,
    program: PathBuf,
    port: u16,
    child: Child,
}

impl Drop for ObjectLockServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ObjectLockServer {
    /// The server, if its program is on this machine.
    pub async fn start() -> Option<Self> {
        let on_path =
            std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
        let mut places =
            on_path.map(|folder| folder.join("versitygw")).chain([lifeboat::store::cache().join("bin/versitygw")]);
        let Some(program) = places.find(|place| place.is_file()) else {
            lacking("the tests of repositories in buckets: there is no versitygw; a first drill on `local` makes it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        for part in ["data", "versions", "iam"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        for (name, text) in [("access", ACCESS), ("secret", SECRET), ("password", PASSWORD)] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(&program, folder.path(), port);
        let server = Self { folder, program, port, child };
        server.ready().await;
        Some(server)
    }

    async fn ready(&self) {
        for _ in 0..300 {
            if self.client().list_buckets().send().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the server does not serve");
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn client(&self) -> Client {
        s3::client(&self.endpoint(), ACCESS, SECRET)
    }

    pub async fn make_bucket(&self, name: &str, with_lock: bool) {
        let request = self.client().create_bucket().bucket(name).object_lock_enabled_for_bucket(with_lock);
        request.send().await.unwrap();
    }

    pub async fn keep_versions(&self, bucket: &str) {
        let enabled = aws_sdk_s3::types::VersioningConfiguration::builder()
            .status(aws_sdk_s3::types::BucketVersioningStatus::Enabled)
            .build();
        let request = self.client().put_bucket_versioning().bucket(bucket).versioning_configuration(enabled);
        request.send().await.unwrap();
    }

    /// Gives a user of the server exactly what a policy says, by the bucket's own policy.
    async fn allow(&self, bucket: &str, user: &str, mut policy: Value) {
        let account = json!({ "access": user, "secret": SECRET, "role": "user", "userID": 0, "groupID": 0 });
        let users = json!({ "accessAccounts": { user: account } });
        fs::write(self.folder.path().join("iam/users.json"), users.to_string()).unwrap();
        for statement in policy["Statement"].as_array_mut().unwrap() {
            statement["Principal"] = json!({ "AWS": [user] });
        }
        self.client().put_bucket_policy().bucket(bucket).policy(policy.to_string()).send().await.unwrap();
        fs::write(self.folder.path().join("access"), user).unwrap();
    }

    /// A bucket, or what is under a prefix of one, as a file writes it.
    pub fn bucket(&self, bucket: &str, prefix: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            "{{ bucket: {bucket}, prefix: {prefix}, endpoint: '{}', credentials: {{ \
             access: {{ file: {folder}/access }}, secret: {{ file: {folder}/secret }} }} }}",
            self.endpoint()
        )
    }

    /// A repository in a bucket, as a file writes it.
    pub fn repository(&self, bucket: &str, lock: &str) -> String {
        let (folder, at) = (self.folder.path().display(), self.bucket(bucket, "near/mlflow"));
        format!("{{ s3: {at}, password: {{ file: {folder}/password }}{lock} }}")
    }

    /// Changes a byte of an object on the server's disk, which the server does not know.
    pub fn damage(&self, object: &str) {
        let path = self.folder.path().join("data").join(object);
        let mut file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact(&mut byte).unwrap();
        file.rewind().unwrap();
        file.write_all(&[byte[0] ^ 1]).unwrap();
    }

    fn settings(&self, bucket: &str, lock: &str) -> RepositorySettings {
        let text = self.repository(bucket, lock);
        RepositorySettings::read("far", &parse(&text).unwrap(), &mut vec![]).unwrap()
    }

    /// Each version of the repository's own files, by key, with what deleting it for good answers.
    async fn delete_for_good(&self, bucket: &str) -> BTreeMap<String, Result<(), String>> {
        let client = self.client();
        let versions = lifeboat::client::versions::list(&client, bucket, "").await.unwrap();
        let mut answers = BTreeMap::new();
        for version in versions.into_iter().filter(|it| !it.marker && !it.key.contains("/lifeboat/")) {
            let request = client.delete_object().bucket(bucket).key(&version.key).version_id(&version.id);
            let request = request.bypass_governance_retention(false);
            answers.insert(version.key, request.send().await.map(|_| ()).map_err(|e| format!("{e:?}")));
        }
        answers
    }
}

fn spawn(program: &Path, folder: &Path, port: u16) -> Child {
    let mut command = Command::new(program);
    command.env("ROOT_ACCESS_KEY_ID", ACCESS).env("ROOT_SECRET_ACCESS_KEY", SECRET);
    command.arg("--port").arg(format!("127.0.0.1:{port}"));
    command.args(["--keep-alive", "--quiet", "--health", "/health", "--iam-cache-disable", "--iam-dir"]);
    command.arg(folder.join("iam")).args(["posix", "--versioning-dir"]);
    command.arg(folder.join("versions")).arg(folder.join("data"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn files() -> Vec<NewFile> {
    let mut files = vec![NewFile::bytes("database/mlflow.dump", b"a dump ".repeat(300_000))];
    files.extend((0..60).map(|n| {
        let file = NewFile::bytes(format!("objects/{n:03}/a%b"), format!("object {n}"));
        NewFile { turn: Turn::Ahead, identity: Some(format!("etag {n}")), ..file }
    }));
    files.push(NewFile::bytes("objects/a/b", "beside"));
    files.push(NewFile::bytes("objects/a b", "behind"));
    files.push(NewFile::bytes("objects/a", "a key that is a folder"));
    files.push(NewFile { turn: Turn::Last, ..NewFile::bytes("point.json", "{}") });
    files.sort_by(|a, b| lifeboat::repository::order(&a.name, &b.name));
    files
}

async fn put(repository: &OpenRepository) -> Stored {
    let point = NewPoint { label: "mlflow".into(), tags: vec!["full".into()], time: wall() };
    repository.put(point, stream::iter(files().into_iter().map(Ok))).await.map_err(|e| e.to_string()).unwrap()
}

async fn read(repository: &OpenRepository, id: &str, name: &str) -> Vec<u8> {
    let contents = repository.point(id).await.unwrap();
    let file = contents.find(name).await.unwrap();
    let mut bytes = vec![];
    contents.read(&file).read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_in_a_bucket_does_all_that_one_in_a_directory_does() {
    let Some(mut server) = ObjectLockServer::start().await else { return };
    let settings = server.settings("backups", "");
    let error = OpenRepository::create(&settings, PATIENCE).await.map(|_| ()).unwrap_err();
    assert!(error.kind == ErrorKind::NotFound && error.to_string().contains("make the bucket first"), "{error}");
    server.make_bucket("backups", false).await;
    let error = OpenRepository::open(&settings, PATIENCE).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("there is none"), "{error}");

    let repository = OpenRepository::create(&settings, PATIENCE).await.map_err(|e| e.to_string()).unwrap();
    let first = put(&repository).await;
    let second = put(&repository).await;
    assert_eq!((first.unchanged, second.unchanged, second.files), (0, 60, 65));
    assert_eq!(repository.verify(|_, _| {}).await.unwrap().flaws, []);
    let contents = repository.point(&second.id).await.unwrap();
    assert_eq!(contents.list("").count().await, 65);
    assert_eq!(read(&repository, &second.id, "objects/a").await, b"a key that is a folder");
    repository.remove(std::slice::from_ref(&first.id)).await.map_err(|e| e.to_string()).unwrap();
    repository.prune(Duration::ZERO).await.map_err(|e| e.to_string()).unwrap();
    assert_eq!(repository.verify(|_, _| {}).await.unwrap().flaws, []);
    assert_eq!(read(&repository, &second.id, "database/mlflow.dump").await, b"a dump ".repeat(300_000));

    fs::write(server.folder.path().join("password"), "another").unwrap();
    let error = OpenRepository::open(&settings, PATIENCE).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("the password is wrong"), "{error}");

    // The server is away for less than the patience, and then for longer.
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let back = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        spawn(&server.program, server.folder.path(), server.port)
    };
    let (points, child) = tokio::join!(repository.points(), back);
    server.child = child;
    assert_eq!(points.map_err(|e| e.to_string()).unwrap().points.len(), 1);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let short = Patience { request: Duration::from_secs(2), ..PATIENCE };
    let error = OpenRepository::open(&settings, short).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("cannot list") && error.to_string().contains("times in 2 s"), "{error}");
}

/// B8: each key can do what it is for, and no more; the policies are those that `lifeboat policy` prints.
#[tokio::test(flavor = "multi_thread")]
async fn each_key_can_do_what_it_is_for_and_no_more() {
    let Some(server) = ObjectLockServer::start().await else { return };
    for lock in ["", ", lock: { mode: governance, for: 1h }"] {
        let bucket = if lock.is_empty() { "open" } else { "locked" };
        server.make_bucket(bucket, !lock.is_empty()).await;
        let settings = server.settings(bucket, lock);
        let policy = |key_use| settings.kind.policy(key_use, settings.lock.is_some()).unwrap();
        let refused = |it: Result<(), Error>| it.unwrap_err().to_string();

        server.allow(bucket, "backup", policy(KeyUse::Backup)).await;
        let repository = OpenRepository::create(&settings, PATIENCE).await.map_err(|e| e.to_string()).unwrap();
        let (first, second) = (put(&repository).await, put(&repository).await);
        if lock.is_empty() {
            let why = refused(repository.remove(std::slice::from_ref(&first.id)).await);
            assert!(why.contains("AccessDenied"), "{why}");
        }
        assert_eq!(repository.points().await.unwrap().points.len(), 2);

        server.allow(bucket, "restore", policy(KeyUse::Restore)).await;
        let repository = OpenRepository::open(&settings, PATIENCE).await.map_err(|e| e.to_string()).unwrap();
        assert_eq!(read(&repository, &second.id, "objects/a").await, b"a key that is a folder");
        assert_eq!(repository.verify(|_, _| {}).await.unwrap().flaws, []);
        let point = NewPoint { label: "mlflow".into(), tags: vec![], time: wall() };
        let why = refused(repository.put(point, stream::iter(files().into_iter().map(Ok))).await.map(|_| ()));
        assert!(why.contains("AccessDenied"), "{why}");

        server.allow(bucket, "prune", policy(KeyUse::Prune)).await;
        let repository = OpenRepository::open(&settings, PATIENCE).await.map_err(|e| e.to_string()).unwrap();
        let removed = repository.remove(std::slice::from_ref(&first.id)).await.map_err(|e| e.to_string());
        if lock.is_empty() {
            removed.unwrap();
        } else {
            assert!(removed.unwrap_err().contains("is locked until"));
        }
        repository.prune(Duration::ZERO).await.map_err(|e| e.to_string()).unwrap();
        assert_eq!(repository.verify(|_, _| {}).await.unwrap().flaws, []);
        fs::write(server.folder.path().join("access"), ACCESS).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_locked_point_needs_can_be_deleted() {
    let Some(server) = ObjectLockServer::start().await else { return };
    for mode in ["governance", "compliance"] {
        server.make_bucket(mode, true).await;
        let settings = server.settings(mode, &format!(", lock: {{ mode: {mode}, for: 30d }}"));
        let repository = OpenRepository::create(&settings, PATIENCE).await.map_err(|e| e.to_string()).unwrap();
        let stored = put(&repository).await;
        let error = repository.remove(std::slice::from_ref(&stored.id)).await.unwrap_err();
        assert!(error.to_string().contains("is locked until"), "{error}");
        let answers = server.delete_for_good(mode).await;
        for kind in ["config", "keys/", "index/", "snapshots/", "data/"] {
            assert!(answers.keys().any(|key| key.contains(&format!("/{kind}"))), "{answers:?}");
        }
        let deleted: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_ok()).collect();
        assert!(deleted.is_empty(), "{mode}: {deleted:?}");
        assert_eq!(repository.verify(|_, _| {}).await.unwrap().flaws, []);
        assert_eq!(read(&repository, &stored.id, "point.json").await, b"{}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_point_still_needs_is_locked_for_as_long_as_it() {
    let Some(server) = ObjectLockServer::start().await else { return };
    server.make_bucket("extended", true).await;
    let client = server.client();
    let until = async || {
        let mut until = BTreeMap::new();
        for (key, _) in s3::list(&client, "extended", "").await.unwrap() {
            let head = client.head_object().bucket("extended").key(&key).send().await.unwrap();
            until.insert(key, head.object_lock_retain_until_date().map(DateTime::secs));
        }
        until
    };
    let short = server.settings("extended", ", lock: { mode: governance, for: 1d }");
    let repository = OpenRepository::create(&short, PATIENCE).await.map_err(|e| e.to_string()).unwrap();
    put(&repository).await;
    let before = until().await;
    let long = server.settings("extended", ", lock: { mode: governance, for: 9d }");
    let repository = OpenRepository::open(&long, PATIENCE).await.map_err(|e| e.to_string()).unwrap();
    let second = put(&repository).await;
    let after = until().await;
    let needed: Vec<_> =
        before.keys().filter(|key| !key.contains("/snapshots/") && !key.contains("/lifeboat/")).collect();
    assert!(needed.len() >= 5, "{before:?}");
    let snapshot = after.iter().find(|(key, _)| key.contains(&second.id)).and_then(|(_, until)| *until).unwrap();
    for key in needed {
        assert!(after[key].unwrap() >= snapshot - 60, "{key}: {:?} of {snapshot}", after[key]);
    }
    // A shorter lock later shortens none.
    let repository = OpenRepository::open(&short, PATIENCE).await.map_err(|e| e.to_string()).unwrap();
    put(&repository).await;
    let shortened: Vec<_> =
        until().await.into_iter().filter(|(key, until)| after.get(key).is_some_and(|it| it > until)).collect();
    assert!(shortened.iter().all(|(key, _)| key.contains("/lifeboat/")), "{shortened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_reads_and_checks_what_is_put() {
    let restic = Command::new("restic").arg("version").output();
    if restic.is_err() {
        return lacking("the tests with restic: there is none; apt-get install restic");
    }
    let Some(server) = ObjectLockServer::start().await else { return };
    server.make_bucket("restic", false).await;
    let folder = server.folder.path().display();
    let near = format!("{{ directory: {folder}/near, password: {{ file: {folder}/password }} }}");
    let near = RepositorySettings::read("near", &parse(&near).unwrap(), &mut vec![]).unwrap();
    let far = format!("s3:{}/restic/near/mlflow", server.endpoint());
    for (settings, place) in [(near, format!("{folder}/near")), (server.settings("restic", ""), far)] {
        let repository = OpenRepository::create(&settings, PATIENCE).await.map_err(|e| e.to_string()).unwrap();
        put(&repository).await;
        let stored = put(&repository).await;
        let cache = server.folder.path().join("cache");
        let ask = |arguments: &[&str]| {
            let mut command = Command::new("restic");
            command
                .args(["-r", &place, "--password-file", &format!("{folder}/password"), "--no-cache"])
                .args(arguments);
            command.env("AWS_ACCESS_KEY_ID", ACCESS).env("AWS_SECRET_ACCESS_KEY", SECRET).env("XDG_CACHE_HOME", &cache);
            let output = command.env("HOME", &cache).stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success(),
                "{place} {arguments:?}: {said}{}",
                String::from_utf8_lossy(&output.stdout)
            );
            output.stdout
        };
        let snapshots: serde_json::Value = serde_json::from_slice(&ask(&["snapshots", "--json"])).unwrap();
        assert_eq!(snapshots.as_array().unwrap().len(), 2);
        assert!(snapshots.as_array().unwrap().iter().any(|it| it["id"] == stored.id && it["tags"][0] == "full"));
        ask(&["check", "--read-data"]);
        assert_eq!(ask(&["dump", &stored.id, "/objects/a%"]), b"a key that is a folder");
        assert_eq!(ask(&["dump", &stored.id, "/objects/007/a%25b"]), b"object 7");
        assert_eq!(ask(&["dump", &stored.id, "/database/mlflow.dump"]), b"a dump ".repeat(300_000));
        put(&repository).await; // what restic leaves behind is in nobody's way
        assert_eq!(repository.verify(|_, _| {}).await.unwrap().flaws, []);
    }
}
