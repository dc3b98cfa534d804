//! PostgreSQL's client tools on this machine, for a server that can be reached from here.
//!
//! Of the server's own major version, or not at all: an older `pg_dump` refuses to work, and a newer `pg_restore` sets
//! what an older server does not know (`transaction_timeout`, from 17 on).

use super::Sql;
use super::stack::DATABASE;
use crate::client::{Error, Running, postgres, process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::sync::OnceCell;

/// The client tools in one folder, told which server they are for.
pub struct Tools {
    /// Their folder.
    pub bin: PathBuf,
    /// The server's host.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The file with the superuser's password.
    pub passfile: PathBuf,
    /// The run that the tools work for.
    pub run: String,
}

impl Tools {
    /// The command of a tool, which is told where the server is by its environment.
    pub fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join(name));
        scrub(&mut command);
        command.env("PGHOST", &self.host).env("PGPORT", self.port.to_string()).env("PGPASSFILE", &self.passfile);
        command.env("PGUSER", DATABASE).env("PGDATABASE", DATABASE).env("PGCONNECT_TIMEOUT", "10").args(args);
        command.env(process::RUN, &self.run).env(process::COMPONENT, process::TOOL);
        command
    }

    /// Starts a tool.
    pub fn start(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        Running::process(self.command(name, args).into())
    }
}

/// Which folder has the tools for one server, once that was found out.
#[derive(Default)]
pub struct ToolFolder(OnceCell<Option<PathBuf>>);

impl ToolFolder {
    /// The folder; nothing if this machine has none, or the server cannot be asked now.
    pub async fn folder(&self, sql: &dyn Sql) -> Option<PathBuf> {
        let look = || async {
            let row = postgres::one(&sql.connect("postgres").await?, "SHOW server_version_num").await?;
            let number: u32 =
                row.get::<_, String>(0).parse().map_err(|e| Error::caused_by("the server's version", e))?;
            Ok::<_, Error>(of(number / 10_000).await)
        };
        self.0.get_or_try_init(look).await.ok()?.clone()
    }
}

/// What `LIFEBOAT_PG_BIN` says.
pub enum ToolChoice {
    /// A folder of PostgreSQL's programs.
    Folder(PathBuf),
    /// None of the machine's.
    Wheel,
    /// It is not set.
    Nothing,
}

/// Reads `LIFEBOAT_PG_BIN`.
pub fn choice() -> ToolChoice {
    match std::env::var_os("LIFEBOAT_PG_BIN").filter(|value| !value.is_empty()) {
        None => ToolChoice::Nothing,
        Some(value) if value == "wheel" => ToolChoice::Wheel,
        Some(value) => ToolChoice::Folder(value.into()),
    }
}

/// The folders where this machine may have PostgreSQL's programs, the newest first.
pub async fn folders() -> Vec<PathBuf> {
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .collect();
    debian.sort();
    let asked = tokio::process::Command::new("pg_config").arg("--bindir").output().await.ok();
    let asked = asked.filter(|o| o.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).trim().into());
    let brew = ["/opt/homebrew", "/usr/local"].into_iter().flat_map(|prefix| {
        (13..=20).rev().map(move |major| PathBuf::from(format!("{prefix}/opt/postgresql@{major}/bin")))
    });
    debian.into_iter().rev().map(|(_, bin)| bin).chain(asked).chain(brew).collect()
}

/// The folder of this machine's client tools for a server of this major version, if there is one.
async fn of(major: u32) -> Option<PathBuf> {
    with_program("pg_restore", major).await
}

/// The folder of this machine's programs of a server of this major version, if there is one.
pub async fn server_programs(major: u32) -> Option<PathBuf> {
    with_program("postgres", major).await
}

/// The same, where they are needed for what is about to be done with a point of that version.
pub async fn programs_of(major: u32, what: &str) -> Result<PathBuf, Error> {
    server_programs(major).await.ok_or_else(|| {
        let why = format!("this machine has no PostgreSQL {major}, the version of the point");
        let hint = "install the server's package of that version (Debian: postgresql-N), or set LIFEBOAT_PG_BIN";
        Error::new(what, why).hint(hint)
    })
}

/// The folder that has this program, of this major version.
async fn with_program(program: &str, major: u32) -> Option<PathBuf> {
    let candidates = match choice() {
        ToolChoice::Folder(bin) => vec![bin],
        ToolChoice::Wheel => vec![],
        ToolChoice::Nothing => folders().await,
    };
    for bin in candidates.into_iter().filter(|bin| bin.join(program).is_file()) {
        if version(&bin).await == Some(major) {
            return Some(bin);
        }
    }
    None
}

/// The major version of the programs in a folder.
pub async fn version(bin: &Path) -> Option<u32> {
    let said = tokio::process::Command::new(bin.join("pg_dump")).arg("--version").output().await.ok()?;
    major(&String::from_utf8_lossy(&said.stdout))
}

/// The major version in `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
pub(super) fn major(said: &str) -> Option<u32> {
    let version = said.split_once("(PostgreSQL) ")?.1;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Takes out of the environment what would turn a program of the platform to somewhere else.
pub fn scrub(command: &mut Command) {
    const FOREIGN: [&str; 8] = ["AWS_", "PG", "MLFLOW_", "_MLFLOW_", "VGW_", "ROOT_", "PYTHON", "UVICORN_"];
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| FOREIGN.iter().any(|foreign| name.starts_with(foreign))) {
            command.env_remove(name);
        }
    }
    command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_a_tool_says_of_itself() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("pg_dump (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major("pg_dump: command not found"), None);
    }
}
