//! A real PostgreSQL for tests, and an environment that has nothing else.

use async_trait::async_trait;
use lifeboat::client::{Error, Running};
use lifeboat::environment::{Endpoints, Platform, Sql};
use std::fs;
use std::os::unix::{fs::chown, process::CommandExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

/// A PostgreSQL server in a temporary folder; it ends and goes with this value.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    bin: PathBuf,
    endpoints: Endpoints,
}

impl Server {
    /// Starts one, with an empty database `mlflow` whose owner is not the administrator.
    pub async fn start() -> Self {
        Self::start_with(&[], |_| {}).await
    }

    /// With more settings, and files that are put into its folder before.
    pub async fn start_with(more: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let bin = newest();
        let folder = tempfile::tempdir().unwrap();
        if let Some((user, group)) = other() {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let data = folder.path().join("data");
        let run = |tool: &str, args: &[&str]| {
            let mut command = Command::new(bin.join(tool));
            command.args(args).current_dir(folder.path()).stdin(Stdio::null());
            if let Some((user, group)) = other() {
                command.uid(user).gid(group); // PostgreSQL refuses to run as root
            }
            command
        };
        let data = data.to_str().unwrap();
        let made = run("initdb", &["-D", data, "-U", "admin", "-A", "trust", "--no-sync"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        prepare(folder.path());
        let port = lifeboat::client::ports::free().unwrap();
        let here = folder.path().to_str().unwrap().to_owned();
        let settings = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-k", &here];
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = run("postgres", &["-D", data, "-p", &port.to_string()])
            .args(settings)
            .args(more)
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child, folder, port, bin, endpoints: Endpoints::default() };
        let admin = server.ready().await;
        admin.batch_execute("CREATE ROLE mlflow LOGIN").await.unwrap();
        admin.batch_execute("CREATE DATABASE mlflow OWNER mlflow").await.unwrap();
        server
    }

    /// Where it listens.
    #[allow(dead_code)] // not every group asks
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connects as a client of the platform does.
    pub async fn client(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        self.connect_as("mlflow", database).await
    }

    /// Connects as another user, in the clear.
    #[allow(dead_code)] // not every group asks
    pub async fn connect_as(&self, user: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
        let settings = format!("host=127.0.0.1 port={} user={user} dbname={database}", self.port);
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn ready(&self) -> Client {
        for _ in 0..200 {
            if let Ok(client) = self.connect_as("admin", "postgres").await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT); // a SIGKILL leaves shared memory
        let _ = self.child.wait();
    }
}

#[async_trait]
impl Platform for Server {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
    fn sql(&self) -> Result<&dyn Sql, Error> {
        Ok(self)
    }
    async fn remove(&self) -> Vec<String> {
        vec![]
    }
}

#[async_trait]
impl Sql for Server {
    fn database(&self) -> &'static str {
        "mlflow"
    }
    async fn connect(&self, database: &str) -> Result<Client, Error> {
        let connected = self.connect_as("admin", database).await;
        connected.map_err(|e| Error::new(format!("connect to `{database}`"), lifeboat::client::chain(&e)))
    }
    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        let mut command = tokio::process::Command::new(self.bin.join(name));
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", "admin");
        command.args(args);
        Running::process(command)
    }
}

/// Where the newest PostgreSQL of this machine has its programs.
pub fn newest() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is needed in /usr/lib/postgresql");
    let mut found: Vec<_> =
        versions.flatten().map(|e| e.path().join("bin")).filter(|p| p.join("initdb").is_file()).collect();
    found.sort();
    found.pop().expect("PostgreSQL is needed in /usr/lib/postgresql")
}

/// The user that PostgreSQL runs as when we are root.
fn other() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let line = users.lines().find(|l| l.starts_with("postgres:")).expect("the user `postgres` is needed");
    let mut ids = line.split(':').skip(2).map(|id| id.parse().unwrap());
    Some((ids.next().unwrap(), ids.next().unwrap()))
}
