//! The power over the volume of a database server that runs in a container or a pod: by a helper, which is another
//! container or pod of the same image with the same volume.
//!
//! Apart from the environments because what is done on the volume is the same in all of them; they make the helper and
//! run commands in it. It is made when it is first needed, and removed with the side folder. The new data directory lies
//! beside the server's own, so that directory must not be the top folder of its volume.

mod sql;

use super::{Journal, Sql, VolumeState, Volumes, tools};
use crate::client::{Error, Running, log};
use crate::model::Receipt;
use async_trait::async_trait;
use serde_json::json;
use sql::{HelperSql, PORT};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What is done to the data directories.
const DIRECTORY: &str = include_str!("directory.sh");
/// Starts the private server.
const START: &str = include_str!("start.sh");
/// Ends it in good order, if it runs.
const STOP: &str = "pg_ctl status -D \"$1/data\" >/dev/null 2>&1 || exit 0; exec pg_ctl stop -D \"$1/data\" -m fast -w";
/// A tool in the side folder.
const TOOL: &str = "export TZ=UTC LC_ALL=C; cd \"$1\" && shift && exec \"$@\"";
/// How many lines of the private server's log are told.
const TOLD: &str = "12";
/// Whom the server runs as, in its image.
pub const SERVER_USER: &str = "postgres";
/// The first process of a helper waits for ever. A shell that waits also takes away the children of others that ended.
pub const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 60 & wait $!; done";
/// The private server's name, of its log.
const SIDE: &str = "postgres-side";

/// Whom a command in a helper runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelperUser {
    /// Who may do all.
    Root,
    /// The server's user.
    Server,
}

/// A container or pod with the volume of a component, in which commands run on it.
#[async_trait]
pub trait Helper: Send + Sync {
    /// The component's name.
    fn component(&self) -> &'static str;
    /// The component's data directory, as its server and the helper know it.
    fn data(&self) -> &str;
    /// Does the component run, or will it by itself?
    async fn runs(&self) -> Result<bool, Error>;
    /// Makes it, and the volume where that was lost; nothing if it is there.
    async fn make(&self) -> Result<(), Error>;
    /// Starts a command in it.
    async fn exec(&self, user: HelperUser, command: &[&str]) -> Result<Running, Error>;
    /// Removes it with all that runs in it; gone already is success.
    async fn remove(&self) -> Result<(), Error>;
}

/// The power, by a helper.
pub struct HelperVolumes {
    helper: Arc<dyn Helper>,
    journal: Arc<dyn Journal>,
    logs: PathBuf,
}

impl HelperVolumes {
    /// By this helper; the private server's log goes into the folder `logs`.
    pub fn new(helper: Arc<dyn Helper>, journal: Arc<dyn Journal>, logs: PathBuf) -> Self {
        Self { helper, journal, logs }
    }

    /// Lets go of a component's volume: the helper that holds it is removed, and what it did there stays.
    pub async fn leave(&self, component: &str) -> Result<(), Error> {
        if component == self.helper.component() { self.helper.remove().await } else { Ok(()) }
    }

    fn side(&self) -> String {
        format!("{}.side", self.helper.data())
    }

    fn known(&self, component: &str) -> Result<(), Error> {
        let known = self.helper.component();
        let error = || Error::new(format!("no volume of `{component}`"), format!("known: {known}"));
        if component == known { Ok(()) } else { Err(error()) }
    }

    async fn stopped(&self, what: &str) -> Result<(), Error> {
        let error = || Error::new(what, format!("`{}` runs", self.helper.component())).hint("stop it first");
        if self.helper.runs().await? { Err(error()) } else { Ok(()) }
    }

    async fn intend(&self, act: &str) -> Result<(), Error> {
        let receipt = json!({ "volume": self.helper.component(), "data": self.helper.data(), "act": act });
        self.journal.acting(Receipt(receipt)).await
    }

    /// Does something to the data directories; answers what was said of it.
    async fn directory(&self, act: &str) -> Result<String, Error> {
        self.helper.make().await?;
        let command = ["sh", "-c", DIRECTORY, "sh", act, self.helper.data(), SERVER_USER];
        let done = self.helper.exec(HelperUser::Root, &command).await?;
        done.text(&format!("cannot {act} at `{}`", self.helper.data())).await
    }

    /// Starts a script on the side folder, with these arguments behind it.
    async fn at_side(&self, script: &str, args: &[&str]) -> Result<Running, Error> {
        self.helper.make().await?;
        let side = self.side();
        let command = [&["sh", "-c", script, "sh", &side], args].concat();
        self.helper.exec(HelperUser::Server, &command).await
    }

    async fn stop(&self) -> Result<(), Error> {
        let stopped = self.at_side(STOP, &[]).await?.text("cannot end the private server").await;
        stopped.map(drop)
    }

    /// Ends the private server and removes the side folder; its log is kept first.
    async fn clear(&self) -> Result<(), Error> {
        if self.stop().await.is_err() {
            self.helper.remove().await?; // which ends it by force
        }
        self.keep_log().await;
        self.directory("clear").await.map(drop)
    }

    /// What cannot be had of it is no further error.
    async fn keep_log(&self) {
        let said = async { self.at_side("cat \"$1/log\" 2>/dev/null || true", &[]).await?.text("its log").await };
        let said = said.await.unwrap_or_default();
        if !said.is_empty() {
            let _ = log::open(&self.logs.join(format!("{SIDE}.log"))).map(|mut file| file.write_all(said.as_bytes()));
        }
    }
}

#[async_trait]
impl Volumes for HelperVolumes {
    async fn volume(&self, component: &str) -> Result<VolumeState, Error> {
        self.known(component)?;
        let said = self.directory("look").await?;
        let of = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::trim);
        let none = |what: &str| Error::new(format!("cannot read {what}"), said.trim());
        let kilobytes: u64 =
            of("free").and_then(|free| free.parse().ok()).ok_or_else(|| none("how much room the volume has"))?;
        Ok(VolumeState {
            major: of("major").and_then(|major| major.parse().ok()),
            programs: tools::major(&said).ok_or_else(|| none("the server's version"))?,
            running: self.helper.runs().await?,
            side: of("side").is_some(),
            swapped: of("swapped").is_some(),
            before: of("before").is_some(),
            free: kilobytes.saturating_mul(1024),
        })
    }

    async fn make_side(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.intend("side").await?;
        self.clear().await?;
        self.directory("make").await.map(drop)
    }

    async fn side_tool(&self, component: &str, name: &str, args: &[&str]) -> Result<Running, Error> {
        self.known(component)?;
        self.at_side(TOOL, &[&[name], args].concat()).await
    }

    async fn start_side(
        &self,
        component: &str,
        settings: &[(&str, String)],
        within: Duration,
    ) -> Result<Box<dyn Sql>, Error> {
        self.known(component)?;
        self.stop().await?;
        let seconds = within.as_secs().max(1).to_string();
        let started = self.at_side(START, &[&options(settings), &seconds]).await?.finish().await?;
        if !started.0.success() {
            return Err(Error::new("cannot start the private server", self.side_log(component).await));
        }
        Ok(Box::new(HelperSql(Arc::clone(&self.helper))))
    }

    async fn side_log(&self, _: &str) -> String {
        let tail = async { self.at_side("tail -n \"$2\" \"$1/log\"", &[TOLD]).await?.text("its log").await };
        tail.await.unwrap_or_else(|error| error.to_string())
    }

    async fn stop_side(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.stop().await
    }

    async fn swap(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.stopped(&format!("cannot swap the data directory of `{component}`")).await?;
        self.stop().await?;
        self.intend("swap").await?;
        self.directory("swap").await?;
        self.helper.remove().await // the server may be started on a machine that cannot mount the volume beside it
    }

    async fn put_back(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.stopped(&format!("cannot put the data directory of `{component}` back")).await?;
        self.intend("put back").await?;
        self.directory("put-back").await?;
        self.clear().await?;
        self.helper.remove().await
    }

    async fn settle(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.intend("settle").await?;
        self.clear().await?;
        self.directory("settle").await?;
        self.helper.remove().await
    }

    async fn remove_side(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.intend("remove the side folder").await?;
        self.clear().await?;
        self.helper.remove().await
    }
}

/// The private server's settings as words of a shell; those that make it private come last and count.
fn options(settings: &[(&str, String)]) -> String {
    let own = [
        ("listen_addresses", "127.0.0.1"),
        ("port", PORT),
        ("unix_socket_directories", ""),
        ("dynamic_shared_memory_type", "mmap"),
        ("ssl", "off"),
        ("autovacuum", "off"),
    ];
    let given = settings.iter().map(|(name, value)| (*name, value.as_str()));
    given.chain(own).fold(String::new(), |mut words, (name, value)| {
        let _ = write!(words, " -c '{name}={}'", value.replace('\'', r"'\''"));
        words
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    fn act(act: &str, data: &Path) -> Result<String, String> {
        let me = rustix::process::geteuid().as_raw().to_string();
        let done = Command::new("sh").args(["-c", DIRECTORY, "sh", act]).arg(data).arg(me).output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if done.status.success() { Ok(said(&done.stdout)) } else { Err(said(&done.stderr)) }
    }

    fn directory(path: &Path, what: &str) {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("PG_VERSION"), what).unwrap();
    }

    fn what(path: &Path) -> Option<String> {
        fs::read_to_string(path.join("PG_VERSION")).ok()
    }

    #[test]
    fn a_swap_is_put_back_wherever_it_was_killed_and_settled_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (live, side, before) = (at("data"), at("data.side"), at("data.before"));
        let whole =
            || what(&live).as_deref() == Some("old") && !before.exists() && !live.join("lifeboat.restored").exists();
        directory(&live, "old");
        assert!(act("swap", &live).unwrap_err().contains("no restored directory"));
        let refill = || {
            act("clear", &live).unwrap();
            act("make", &live).unwrap();
            directory(&side.join("data"), "new");
        };
        // Before it, and marked only.
        refill();
        act("put-back", &live).unwrap();
        assert!(whole());
        fs::write(side.join("data/lifeboat.restored"), "").unwrap();
        act("put-back", &live).unwrap();
        assert!(whole());
        // The old one has left, and the new one has not come.
        fs::rename(&live, &before).unwrap();
        act("put-back", &live).unwrap();
        assert!(whole());
        // All of it; and put back half: the new one has left, and the old one has not come.
        for half in [false, true] {
            refill();
            act("swap", &live).unwrap();
            assert_eq!((what(&live), what(&before)), (Some("new".into()), Some("old".into())));
            assert!(act("swap", &live).unwrap_err().contains("from an earlier one"));
            if half {
                fs::rename(&live, side.join("refused")).unwrap();
            }
            for _ in 0..2 {
                act("put-back", &live).unwrap();
                assert!(whole(), "{half}");
            }
        }
        refill();
        act("swap", &live).unwrap();
        act("clear", &live).unwrap();
        assert!(before.exists(), "only settling removes it");
        for _ in 0..2 {
            act("settle", &live).unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            assert!(what(&live).as_deref() == Some("new") && !live.join("lifeboat.restored").exists());
        }
        // Where nothing was before, there is nothing to go back to.
        fs::remove_dir_all(&live).unwrap();
        refill();
        act("swap", &live).unwrap();
        act("put-back", &live).unwrap();
        assert_eq!(what(&live).as_deref(), Some("new"));
    }

    #[test]
    fn settings_are_words_of_a_shell_and_none_opens_the_private_server() {
        let given = [("restore_command", "cp ../wal/%f '%p' || true".to_owned()), ("listen_addresses", "*".to_owned())];
        let words = Command::new("sh").args(["-c", &format!("printf '%s\\n' {}", options(&given))]).output().unwrap();
        let words = String::from_utf8(words.stdout).unwrap();
        let settings: Vec<_> = words.lines().filter(|word| *word != "-c").collect();
        assert_eq!(settings[0], "restore_command=cp ../wal/%f '%p' || true");
        let listens = settings.iter().rev().find(|setting| setting.starts_with("listen_addresses=")).unwrap();
        assert_eq!(*listens, "listen_addresses=127.0.0.1");
    }
}
