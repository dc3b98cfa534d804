//! The private server on a data directory at the side, and the connection to it.
//!
//! Apart from the volume because it is a program like the platform's others. Its own file of who may connect lets the
//! holder of its socket in without a password: the roles in the directory are those of the backup, whose passwords
//! may be others by now.

use super::component::Program;
use crate::client::{Error, Running, postgres};
use crate::environment::Sql;
use crate::environment::stack;
use crate::environment::tools::{Tools, scrub};
use async_trait::async_trait;
use parking_lot::Mutex;
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::{Client, Config};

/// What the private server is in the environment of its processes.
pub const SIDE: &str = "postgres-side";

/// Where a database server's volume is, and who may touch it.
#[derive(Debug, Clone)]
pub struct LocalVolume {
    /// The component's name.
    pub component: &'static str,
    /// The folder with the server's programs.
    pub bin: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
    /// Whom the server runs as, if not as this user.
    pub user: Option<(u32, u32)>,
    /// The server's administrator.
    pub administrator: String,
    /// The run that the server was made for.
    pub run: String,
}

impl LocalVolume {
    /// Makes a command run as the server's user.
    pub(in crate::environment) fn disguise(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
    }
}

/// With what the server is started.
#[derive(Debug, Clone, Default)]
pub struct SideSettings {
    /// Settings as `name=value`.
    pub given: Vec<String>,
    /// How long a start may take.
    pub within: Duration,
}

/// The program.
pub struct SideServer {
    /// Whose directory is restored.
    pub volume: LocalVolume,
    /// The side folder.
    pub folder: PathBuf,
    /// With what it is started.
    pub settings: Arc<Mutex<SideSettings>>,
}

#[async_trait]
impl Program for SideServer {
    fn name(&self) -> &'static str {
        SIDE
    }

    fn command(&self, port: u16) -> Command {
        let mut command = Command::new(self.volume.bin.join("postgres"));
        let hba = self.folder.join("hba.conf");
        let _ = fs::write(&hba, "local all all trust\n"); // a server that cannot read it says so and ends
        command.arg("-D").arg(self.folder.join("data")).arg("-p").arg(port.to_string());
        let own = [
            "listen_addresses=".to_owned(),
            format!("unix_socket_directories={}", self.folder.display()),
            format!("hba_file={}", hba.display()),
            "dynamic_shared_memory_type=mmap".to_owned(),
            "ssl=off".to_owned(),
            "autovacuum=off".to_owned(),
        ];
        // Some systems keep a server's settings elsewhere, and a backup has none then.
        let config = self.folder.join("data/postgresql.conf");
        if !config.exists() {
            let none = self.folder.join("none.conf");
            let _ = fs::write(&none, ""); // as above
            command.arg("-c").arg(format!("config_file={}", none.display()));
        }
        for setting in own.iter().chain(&self.settings.lock().given) {
            command.args(["-c", setting]);
        }
        scrub(&mut command);
        self.volume.disguise(&mut command);
        command
    }

    async fn ready(&self, port: u16) -> Result<(), Error> {
        stack::postgres_serves(&config(&self.volume, &self.folder, port, "postgres")).await
    }

    fn start_limit(&self) -> Duration {
        self.settings.lock().within
    }

    fn stop_signal(&self) -> (Signal, bool) {
        (Signal::INT, false)
    }
}

/// An administrator's connection to the private server.
pub struct SideSql {
    /// Whose directory is restored.
    pub volume: LocalVolume,
    /// The side folder, where the socket is.
    pub folder: PathBuf,
    /// The port in the socket's name.
    pub port: u16,
}

#[async_trait]
impl Sql for SideSql {
    async fn connect(&self, database: &str) -> Result<Client, Error> {
        postgres::connect(&config(&self.volume, &self.folder, self.port, database)).await
    }

    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        let (bin, host) = (self.volume.bin.clone(), self.folder.display().to_string());
        let tools = Tools { bin, host, port: self.port, passfile: PathBuf::new(), run: self.volume.run.clone() };
        let mut command = tools.command(name, args);
        command.env_remove("PGPASSFILE").env("PGUSER", &self.volume.administrator);
        Running::process(command.into())
    }
}

fn config(volume: &LocalVolume, folder: &Path, port: u16, database: &str) -> Config {
    let mut config = Config::new();
    config.host_path(folder).port(port).user(&volume.administrator).dbname(database);
    config.connect_timeout(postgres::CONNECT);
    config
}
