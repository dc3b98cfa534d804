//! A PostgreSQL server of this machine that is made to look at one recovery point, and thrown away.
//!
//! Apart from the platforms because no client is served from it: it listens on a socket in its own folder, which only its
//! user may enter, and never archives. The folder is there before anything else, and is locked as long as the process
//! lives: what a killed one leaves is found by that, and removed by the next one or by `lifeboat cleanup`.

use super::directory::{NoJournal, mark};
use super::local::{ComponentProcess, LocalVolume, SideServer, SideSettings, SideSql, database_user, make_folder};
use super::{Endpoints, Platform, Sql, stack, tools};
use crate::client::process::{self, COMPONENT, ProcessIdentity, RUN, TOOL};
use crate::client::{Error, Running};
use crate::{clock, store};
use async_trait::async_trait;
use parking_lot::Mutex;
use postgres_protocol::escape::escape_identifier;
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Client;

/// How the names of their folders begin, and the file in each that says what it is and whether it is in use.
const PREFIX: &str = "verify-";
const LOCK: &str = ".lifeboat-verify";
/// The administrator of a server that is made anew.
const ADMINISTRATOR: &str = "lifeboat_verify";
/// How long a start may take.
const START: Duration = Duration::from_mins(10);

/// A server that is made for one recovery point.
pub struct ThrowawayServer {
    folder: PathBuf,
    run: String,
    user: Option<(u32, u32)>,
    database: String,
    server: Mutex<Option<Arc<ComponentProcess>>>,
    /// Held until it is removed.
    _lock: File,
}

/// The servers that killed processes left behind.
#[derive(Debug, Default)]
pub struct DeadServers {
    /// The folders of those that were removed.
    pub removed: Vec<PathBuf>,
    /// Those that could not be removed, and why.
    pub left: Vec<String>,
}

impl ThrowawayServer {
    /// Makes its folder; `database` is what will be looked at.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn make(database: &str) -> Result<Self, Error> {
        let what = "cannot make a throw-away server";
        let cannot = |e: io::Error| Error::caused_by(what, e);
        let hint = "set HOME, or LIFEBOAT_STATE and LIFEBOAT_CACHE";
        store::check_homeless().map_err(|e| Error::caused_by(what, e).hint(hint))?;
        let (user, number) = (database_user()?, rand::random::<u16>());
        let run = format!("{PREFIX}{}-{number:04x}", clock::wall().strftime("%Y%m%dT%H%M%S"));
        let folder = store::state().join(&run);
        make_folder(&store::state()).map_err(cannot)?;
        let make = || {
            DirBuilder::new().mode(0o700).create(&folder)?;
            let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(LOCK))?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            user.map_or(Ok(()), |(uid, gid)| chown(&folder, Some(uid), Some(gid)))?;
            Ok(lock)
        };
        let lock = make().map_err(cannot)?;
        Ok(Self { folder, run, user, database: database.to_owned(), server: Mutex::default(), _lock: lock })
    }

    /// Its data directory, which is not there before it is made or restored.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Makes an empty server of this major version and starts it. `roles`: who else it knows, and who of them may do
    /// everything.
    ///
    /// # Errors
    /// When this machine has no server's programs of that version, or it does not start.
    pub async fn create(&self, major: u32, roles: &BTreeMap<String, bool>) -> Result<ThrowawayPlatform, Error> {
        let what = "cannot make a throw-away server";
        let volume = self.volume(major, ADMINISTRATOR).await?;
        let mut initdb = Command::new(volume.bin.join("initdb"));
        initdb.arg("-D").arg(self.data()).args(["-U", ADMINISTRATOR, "-A", "trust", "-E", "UTF8", "--locale=C"]);
        initdb.args(["-N", "-k"]).current_dir(&self.folder);
        tools::scrub(&mut initdb);
        volume.disguise(&mut initdb);
        initdb.env(RUN, &self.run).env(COMPONENT, TOOL);
        Running::process(initdb.into())?.text(what).await?;
        let platform = self.start_on(volume).await?;
        let others = roles.iter().filter(|(name, _)| *name != ADMINISTRATOR);
        let role = |(name, all): (&String, &bool)| {
            format!("CREATE ROLE {}{}", escape_identifier(name), if *all { " SUPERUSER" } else { "" })
        };
        let statements = others.map(role).collect::<Vec<_>>().join("; ");
        let made = platform.connect("postgres").await?.batch_execute(&statements).await;
        made.map(|()| platform).map_err(|e| Error::caused_by(what, e))
    }

    /// Starts a server on the data directory that was restored, as its administrator.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(&self, major: u32, administrator: &str) -> Result<ThrowawayPlatform, Error> {
        self.start_on(self.volume(major, administrator).await?).await
    }

    async fn volume(&self, major: u32, administrator: &str) -> Result<LocalVolume, Error> {
        Ok(LocalVolume {
            component: stack::COMPONENTS[0],
            bin: tools::programs_of(major, "cannot make a throw-away server").await?,
            data: self.data(),
            user: self.user,
            administrator: administrator.to_owned(),
            run: self.run.clone(),
        })
    }

    async fn start_on(&self, volume: LocalVolume) -> Result<ThrowawayPlatform, Error> {
        let given = ["archive_mode=off", "archive_command=", "synchronous_standby_names=", "fsync=off"];
        let settings = SideSettings { given: given.map(ToOwned::to_owned).to_vec(), within: START };
        let folder = self.folder.clone();
        let program =
            SideServer { volume: volume.clone(), folder: folder.clone(), settings: Arc::new(Mutex::new(settings)) };
        let server = Arc::new(ComponentProcess::new(Box::new(program), &self.run, &folder, Arc::new(NoJournal)));
        *self.server.lock() = Some(Arc::clone(&server));
        server.start().await?;
        let sql = SideSql { volume, folder, port: server.port() };
        let (run, database) = (self.run.clone(), self.database.clone());
        Ok(ThrowawayPlatform { sql, database, run, endpoints: Endpoints::default() })
    }

    /// Ends it and removes its folder.
    ///
    /// # Errors
    /// When something of it stays.
    pub async fn remove(self) -> Result<(), Error> {
        let server = self.server.lock().take();
        if let Some(server) = server {
            let _ = server.stop().await; // what still runs is found by its mark
        }
        remove(&self.folder, &self.run).await
    }
}

impl DeadServers {
    /// Removes them all.
    pub async fn remove() -> Self {
        let mut found = Self::default();
        for folder in fs::read_dir(store::state()).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = folder.file_name().and_then(|name| name.to_str()).filter(|name| name.starts_with(PREFIX));
            let (Some(name), Ok(lock)) = (name, File::open(folder.join(LOCK))) else { continue };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue; // its process lives
            }
            match remove(&folder, name).await {
                Ok(()) => found.removed.push(folder),
                Err(error) => found.left.push(error.to_string()),
            }
        }
        found
    }
}

/// Ends all that runs in a folder, and removes it; the lock goes last, so that a second attempt finds the folder again.
async fn remove(folder: &Path, run: &str) -> Result<(), Error> {
    let what = format!("cannot remove the throw-away server in `{}`", folder.display());
    let marks = [run.to_owned(), mark(&folder.join("data"))];
    let running: Vec<ProcessIdentity> =
        marks.iter().flat_map(|run| process::marked(RUN, run, COMPONENT)).map(|(identity, _)| identity).collect();
    if let Some(identity) = process::end(&running).await.first() {
        return Err(Error::new(what, format!("process {} does not die", identity.pid)));
    }
    let removed = || {
        for path in fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?.iter().map(fs::DirEntry::path) {
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else if !path.ends_with(LOCK) {
                fs::remove_file(path)?;
            }
        }
        fs::remove_dir_all(folder)
    };
    removed().map_err(|e| Error::caused_by(what, e))
}

/// The server at work.
pub struct ThrowawayPlatform {
    sql: SideSql,
    database: String,
    run: String,
    endpoints: Endpoints,
}

#[async_trait]
impl Platform for ThrowawayPlatform {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
    fn run(&self) -> Option<&str> {
        Some(&self.run)
    }
    fn sql(&self) -> Result<&dyn Sql, Error> {
        Ok(self)
    }
    async fn remove(&self) -> Vec<String> {
        vec![] // the server is removed by who made it
    }
}

#[async_trait]
impl Sql for ThrowawayPlatform {
    fn database(&self) -> &str {
        &self.database
    }
    async fn connect(&self, database: &str) -> Result<Client, Error> {
        self.sql.connect(database).await
    }
    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        self.sql.tool(name, args).await
    }
}
