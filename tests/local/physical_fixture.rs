//! A real PostgreSQL with the power over its volume, for the tests of physical backups, and clients that count.

use crate::notes::Notes;
use crate::postgres::newest;
use async_trait::async_trait;
use lifeboat::client::process::{COMPONENT, ProcessIdentity, RUN, TOOL, marked};
use lifeboat::client::{Error, Running, ports};
use lifeboat::clock::Deadline;
use lifeboat::engine::LogTarget;
use lifeboat::engine::builtin::physical::base::{BaseBackup, BaseRecord};
use lifeboat::engine::builtin::physical::receiver::{CommitMode, Receiver, ReceiverSettings, tidy};
use lifeboat::engine::builtin::physical::restore::{PhysicalRestore, RestoredCopy};
use lifeboat::engine::builtin::physical::settings::SETTINGS;
use lifeboat::engine::builtin::physical::sure::SurePoint;
use lifeboat::environment::local::{LocalVolume, LocalVolumes};
use lifeboat::environment::{Endpoints, Platform, Sql, Volumes};
use std::fs;
use std::os::unix::{fs::chown, process::CommandExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

pub const POSTGRES: &str = "postgres";

/// Enough for a machine that has other things to do.
pub fn soon() -> Deadline {
    Deadline::within(Duration::from_mins(2))
}

/// A server in a temporary folder, and what was made of it.
pub struct Database {
    child: Mutex<Option<Child>>,
    pub folder: tempfile::TempDir,
    port: u16,
    bin: PathBuf,
    pub run: String,
    endpoints: Endpoints,
    pub volumes: LocalVolumes,
    pub notes: Arc<Notes>,
}

impl Database {
    pub async fn start() -> Arc<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let run = format!("physical-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
        let named = std::env::var_os("LIFEBOAT_PG_BIN").map(PathBuf::from);
        let (bin, folder) = (named.unwrap_or_else(newest), tempfile::tempdir().unwrap());
        let user = rustix::process::geteuid().is_root().then(|| {
            let ids = Command::new("sh").args(["-c", "id -u postgres; id -g postgres"]).output().unwrap().stdout;
            let ids: Vec<u32> = String::from_utf8_lossy(&ids).lines().map(|id| id.parse().unwrap()).collect();
            (ids[0], ids[1])
        });
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let data = folder.path().join("data");
        let volume = LocalVolume {
            component: POSTGRES,
            bin: bin.clone(),
            data: data.clone(),
            user,
            administrator: "admin".into(),
            run: run.clone(),
        };
        let notes = Arc::<Notes>::default();
        let volumes = LocalVolumes::new(volume, folder.path(), Arc::clone(&notes) as _);
        let (child, endpoints) = (Mutex::default(), Endpoints::default());
        let this = Self { child, folder, port: ports::free().unwrap(), bin, run, endpoints, volumes, notes };
        let mut initdb = this.program("initdb", user);
        initdb.arg("-D").arg(&data).args(["-U", "admin", "-A", "trust", "-N", "-k"]);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        this.begin().await;
        this.client().await.batch_execute("CREATE TABLE t (i int PRIMARY KEY, at timestamptz)").await.unwrap();
        Arc::new(this)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn program(&self, name: &str, user: Option<(u32, u32)>) -> Command {
        let mut command = Command::new(self.bin.join(name));
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn wal(&self) -> PathBuf {
        self.folder.path().join("received")
    }

    /// Starts the server on its data directory.
    pub async fn begin(&self) {
        self.begin_with(&[]).await;
    }

    /// The same, with settings over those that it must have.
    pub async fn begin_with(&self, settings: &[&str]) {
        use std::os::unix::fs::MetadataExt;
        let owner = fs::metadata(self.data()).unwrap();
        let mut command = self.program("postgres", Some((owner.uid(), owner.gid())));
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        command.args(["-c", "listen_addresses=127.0.0.1", "-k", self.folder.path().to_str().unwrap()]);
        for setting in SETTINGS {
            command.arg("-c").arg(format!("{}={}", setting.name, setting.value));
        }
        for setting in settings {
            command.args(["-c", setting]);
        }
        command.env(RUN, &self.run).env(COMPONENT, POSTGRES);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        *self.child.lock().unwrap() = Some(command.stderr(log).spawn().unwrap());
        let begun = Instant::now();
        while self.connect_to("postgres").await.is_err() {
            assert!(begun.elapsed() < Duration::from_mins(1), "{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it in good order.
    pub fn end(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            child.wait().unwrap();
        }
    }

    /// SIGKILL, and its data directory deleted.
    pub fn lose(&self) -> Instant {
        let mut child = self.child.lock().unwrap().take().unwrap();
        child.kill().unwrap();
        let killed = Instant::now();
        child.wait().unwrap();
        while fs::remove_dir_all(self.data()).is_err() && self.data().exists() {}
        killed
    }

    pub fn config(&self) -> tokio_postgres::Config {
        format!("host=127.0.0.1 port={} user=admin dbname=postgres", self.port).parse().unwrap()
    }

    async fn connect_to(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let settings = format!("host=127.0.0.1 port={} user=admin dbname={database}", self.port);
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub async fn client(&self) -> Client {
        self.connect_to("postgres").await.unwrap()
    }

    pub fn receiver_settings(&self, mode: CommitMode) -> ReceiverSettings {
        let (patience, hold) = (Duration::from_secs(3), Duration::from_secs(2));
        ReceiverSettings { slot: "lifeboat".into(), folder: self.wal(), mode, patience, hold }
    }

    pub async fn receive(self: &Arc<Self>, mode: CommitMode) -> Receiver {
        let settings = self.receiver_settings(mode);
        Receiver::start(Arc::clone(self) as _, settings, soon()).await.unwrap()
    }

    /// The process of `pg_receivewal`.
    pub fn receiver_process(&self) -> Option<ProcessIdentity> {
        let tools = marked(RUN, &self.run, COMPONENT).into_iter().filter(|(_, of)| of.as_deref() == Some(TOOL));
        let mut receivers = tools.map(|(identity, _)| identity).filter(|identity| {
            let line = fs::read(format!("/proc/{}/cmdline", identity.pid)).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("pg_receivewal")
        });
        receivers.next()
    }

    pub async fn base(&self) -> (BaseRecord, PathBuf) {
        self.try_base().await.unwrap()
    }

    pub async fn try_base(&self) -> Result<(BaseRecord, PathBuf), Error> {
        let path = self.folder.path().join("base.tar");
        let mut backup = BaseBackup::begin(self, "test", soon()).await?;
        let mut file = tokio::fs::File::create(&path).await.unwrap();
        tokio::io::copy(&mut backup.stream, &mut file).await.unwrap();
        file.sync_all().await.unwrap();
        Ok((backup.finish(self, soon()).await?.0, path))
    }

    /// Restores beside the live directory.
    pub async fn restore(
        &self,
        (base, stream): &(BaseRecord, PathBuf),
        log: &Path,
        sure: Option<SurePoint>,
        target: &LogTarget,
    ) -> Result<RestoredCopy, Error> {
        let file = tokio::fs::File::open(stream).await.unwrap();
        let relations = *target == LogTarget::End; // once is enough
        let restore = PhysicalRestore {
            component: POSTGRES,
            base,
            log,
            sure,
            target,
            relations,
            archives: true,
            deadline: soon(),
        };
        restore.restore(self, Box::pin(file)).await
    }

    /// The rows of the restored copy, asked of a private server of its own.
    pub async fn rows_at_side(&self) -> Vec<i32> {
        let copy = self.volumes.start_side(POSTGRES, &[], Duration::from_mins(1)).await.unwrap();
        let rows = rows(&copy.connect("postgres").await.unwrap()).await;
        self.volumes.stop_side(POSTGRES).await.unwrap();
        rows
    }

    /// Nothing may be left at the server, nor any process.
    pub async fn assert_tidy(&self) {
        tidy(self, "lifeboat", soon()).await.unwrap();
        let client = self.client().await;
        let row = client
            .query_one("SELECT count(*), current_setting('synchronous_standby_names') FROM pg_replication_slots", &[]);
        let row = row.await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, String>(1)), (0, String::new()));
        assert_eq!(self.receiver_process(), None);
    }
}

pub async fn rows(client: &Client) -> Vec<i32> {
    let rows = client.query("SELECT i FROM t ORDER BY i", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

impl Drop for Database {
    fn drop(&mut self) {
        self.end();
        let left = marked(RUN, &self.run, COMPONENT);
        left.iter().for_each(|(identity, _)| identity.signal(rustix::process::Signal::KILL));
    }
}

#[async_trait]
impl Platform for Database {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
    fn run(&self) -> Option<&str> {
        Some(&self.run)
    }
    fn sql(&self) -> Result<&dyn Sql, Error> {
        Ok(self)
    }
    fn volumes(&self) -> Result<&dyn Volumes, Error> {
        Ok(&self.volumes)
    }
    async fn remove(&self) -> Vec<String> {
        vec![]
    }
}

#[async_trait]
impl Sql for Database {
    async fn connect(&self, database: &str) -> Result<Client, Error> {
        self.connect_to(database).await.map_err(|e| Error::caused_by(format!("connect to `{database}`"), e))
    }
    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        let mut command = Command::new(self.bin.join(name));
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", "admin");
        command.env("PGDATABASE", "postgres").env(RUN, &self.run).env(COMPONENT, TOOL).args(args);
        Running::process(command.into())
    }
}

/// Inserts that were acknowledged: each with its number, when that was, and how long it took.
pub type Acknowledged = Arc<Mutex<Vec<(i32, Instant, Duration)>>>;

/// A client that commits 200 times a second until its server is gone.
pub async fn commit_steadily(database: &Database) -> (Acknowledged, tokio::task::JoinHandle<()>) {
    let (client, acknowledged) = (database.client().await, Acknowledged::default());
    let written = Arc::clone(&acknowledged);
    let task = tokio::spawn(async move {
        let insert = client.prepare("INSERT INTO t VALUES ($1, clock_timestamp())").await.unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        for number in 1_000.. {
            ticks.tick().await;
            let begun = Instant::now();
            if client.execute(&insert, &[&number]).await.is_err() {
                return;
            }
            written.lock().unwrap().push((number, Instant::now(), begun.elapsed()));
        }
    });
    (acknowledged, task)
}

pub fn median(acknowledged: &Acknowledged) -> Duration {
    let mut took: Vec<Duration> = acknowledged.lock().unwrap().iter().map(|(_, _, took)| *took).collect();
    took.sort();
    took[took.len() / 2]
}
