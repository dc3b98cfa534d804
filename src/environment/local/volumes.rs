//! The power over the volume of the local PostgreSQL: folders beside its data directory, and renames.
//!
//! Beside `DATA` lie `DATA.side` with the parts `data` and `wal`, and after a swap `DATA.before`. The two directories
//! are exchanged by one system call; a mark in the new one, written before, tells them apart after a kill. The private
//! server listens on a socket in the side folder, which only its user may enter. All of it lies in the run's folder, so
//! that `cleanup` removes it with the rest.

use super::component::ComponentProcess;
use super::side::{LocalVolume, SideServer, SideSettings, SideSql};
use crate::client::process::{self, COMPONENT, ProcessIdentity, RUN, TOOL};
use crate::client::{Error, Running};
use crate::environment::tools::{scrub, version};
use crate::environment::{Journal, SidePart, Sql, VolumeState, Volumes};
use crate::model::Receipt;
use async_trait::async_trait;
use parking_lot::Mutex;
use rustix::fs::{RenameFlags, renameat_with};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The mark in a data directory that was made by a restore and not settled yet.
const MARK: &str = "lifeboat.restored";

/// The power over it.
pub struct LocalVolumes {
    volume: LocalVolume,
    journal: Arc<dyn Journal>,
    settings: Arc<Mutex<SideSettings>>,
    server: ComponentProcess,
}

impl LocalVolumes {
    /// Over this volume; the private server logs into the folder `logs`.
    pub fn new(volume: LocalVolume, logs: &Path, journal: Arc<dyn Journal>) -> Self {
        let settings = Arc::<Mutex<SideSettings>>::default();
        let program = SideServer { volume: volume.clone(), folder: beside(&volume.data, "side"), settings };
        let settings = Arc::clone(&program.settings);
        let server = ComponentProcess::new(Box::new(program), &volume.run, logs, Arc::clone(&journal));
        Self { volume, journal, settings, server }
    }

    fn live(&self) -> &Path {
        &self.volume.data
    }
    fn side(&self) -> PathBuf {
        beside(&self.volume.data, "side")
    }
    fn fresh(&self) -> PathBuf {
        self.side().join(SidePart::Data.to_string())
    }
    fn before(&self) -> PathBuf {
        beside(&self.volume.data, "before")
    }

    fn known(&self, component: &str) -> Result<(), Error> {
        let known = component == self.volume.component;
        let error = || Error::new(format!("no volume of `{component}`"), format!("known: {}", self.volume.component));
        if known { Ok(()) } else { Err(error()) }
    }

    /// Does a server run on the component's own directory? The lock file tells, and so does the mark of our own.
    fn runs(&self) -> bool {
        let lock = fs::read_to_string(self.live().join("postmaster.pid")).unwrap_or_default();
        let pid = lock.lines().next().and_then(|pid| pid.trim().parse().ok());
        let marked = || process::marked(RUN, &self.volume.run, COMPONENT);
        pid.is_some_and(|pid| ProcessIdentity::of(pid).is_some())
            || marked().iter().any(|(_, of)| of.as_deref() == Some(self.volume.component))
    }

    fn stopped(&self, what: &str) -> Result<(), Error> {
        let error = || Error::new(what, format!("`{}` runs", self.volume.component)).hint("stop it first");
        if self.runs() { Err(error()) } else { Ok(()) }
    }

    async fn intend(&self, act: &str) -> Result<(), Error> {
        self.journal.acting(Receipt(json!({ "volume": self.volume.component, "data": self.live(), "act": act }))).await
    }

    fn marked(path: &Path) -> bool {
        path.join(MARK).exists()
    }

    /// The swap's file operations, in an order in which each prefix can be told from the others.
    fn exchange(&self) -> io::Result<()> {
        gone(fs::remove_file(self.live().join(MARK)))?; // of a swap in whose place nothing had been
        File::create(self.fresh().join(MARK))?.sync_all()?;
        sync(&self.fresh())?;
        if self.live().exists() {
            if swap_names(self.live(), &self.fresh()).is_ok() {
                fs::rename(self.fresh(), self.before())?;
            } else {
                fs::rename(self.live(), self.before())?; // a file system that cannot exchange
                fs::rename(self.fresh(), self.live())?;
            }
        } else {
            fs::rename(self.fresh(), self.live())?;
        }
        sync(self.live().parent().unwrap_or(self.live()))
    }

    fn restore_before(&self) -> io::Result<()> {
        let (live, before) = (self.live(), self.before());
        self.keep_before()?;
        if !before.exists() {
            return Ok(());
        }
        if Self::marked(live) {
            swap_names(live, &before).or_else(|_| {
                fs::rename(live, self.side().join("refused"))?;
                fs::rename(&before, live)
            })?;
            gone(fs::remove_dir_all(&before))?;
        } else if !live.exists() {
            fs::rename(&before, live)?;
        }
        sync(live.parent().unwrap_or(live))
    }

    /// A swap that was killed between its two acts has left the old directory in the side folder: it gets its name.
    fn keep_before(&self) -> io::Result<()> {
        let fresh = self.fresh();
        let old = Self::marked(self.live()) && fresh.exists() && !Self::marked(&fresh) && !self.before().exists();
        if old { fs::rename(fresh, self.before()) } else { Ok(()) }
    }

    async fn clear_side(&self) -> Result<(), Error> {
        self.server.stop().await?;
        let removed = self.keep_before().and_then(|()| gone(fs::remove_dir_all(self.side())));
        removed.map_err(|e| self.failed("remove the side folder", e))
    }

    fn failed(&self, verb: &str, error: io::Error) -> Error {
        Error::caused_by(format!("cannot {verb} of `{}`", self.live().display()), error)
    }

    fn make(&self) -> io::Result<()> {
        for folder in [self.side(), self.fresh(), self.side().join(SidePart::Wal.to_string())] {
            fs::create_dir(&folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
            if let Some((user, group)) = self.volume.user {
                chown(&folder, Some(user), Some(group))?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Volumes for LocalVolumes {
    async fn volume(&self, component: &str) -> Result<VolumeState, Error> {
        self.known(component)?;
        let major = fs::read_to_string(self.live().join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
        let programs = version(&self.volume.bin).await;
        let none = || Error::new("cannot read the server's version", self.volume.bin.display());
        let beside = rustix::fs::statvfs(self.live().parent().unwrap_or(self.live()));
        Ok(VolumeState {
            major,
            programs: programs.ok_or_else(none)?,
            running: self.runs(),
            side: self.side().exists(),
            swapped: Self::marked(self.live()),
            before: self.before().exists(),
            free: beside.map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize)),
        })
    }

    async fn make_side(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.intend("side").await?;
        self.clear_side().await?;
        self.make().map_err(|e| self.failed("make a folder at the side", e))
    }

    async fn side_tool(&self, component: &str, name: &str, args: &[&str]) -> Result<Running, Error> {
        self.known(component)?;
        let ours = self.volume.bin.join(name);
        let mut command = Command::new(if ours.is_file() { ours } else { name.into() });
        scrub(&mut command);
        command.args(args).current_dir(self.side()).env("TZ", "UTC").env("LC_ALL", "C");
        command.env(RUN, &self.volume.run).env(COMPONENT, TOOL);
        self.volume.disguise(&mut command);
        Running::process(command.into())
    }

    async fn start_side(
        &self,
        component: &str,
        settings: &[(&str, String)],
        within: Duration,
    ) -> Result<Box<dyn Sql>, Error> {
        self.known(component)?;
        self.server.stop().await?;
        let given = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        *self.settings.lock() = SideSettings { given, within };
        self.server.start().await?;
        Ok(Box::new(SideSql { volume: self.volume.clone(), folder: self.side(), port: self.server.port() }))
    }

    async fn side_log(&self, _: &str) -> String {
        self.server.said()
    }

    async fn stop_side(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.server.stop().await
    }

    async fn swap(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        let what = format!("cannot swap the data directory of `{component}`");
        self.stopped(&what)?;
        self.server.stop().await?;
        if self.before().exists() {
            return Err(Error::new(what, format!("`{}` is there from an earlier one", self.before().display())));
        }
        if !self.fresh().join("PG_VERSION").exists() {
            return Err(Error::new(what, "there is no restored directory at the side"));
        }
        self.intend("swap").await?;
        self.exchange().map_err(|e| Error::caused_by(what, e))
    }

    async fn put_back(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.stopped(&format!("cannot put the data directory of `{component}` back"))?;
        self.intend("put back").await?;
        self.server.stop().await?;
        self.restore_before().map_err(|e| self.failed("put back what was in the place", e))?;
        self.clear_side().await
    }

    async fn settle(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.intend("settle").await?;
        self.clear_side().await?;
        let marked = Self::marked(self.live());
        let settle = || {
            // Only once the new one is in its place; the mark goes last, so that a second attempt knows it again.
            if marked {
                gone(fs::remove_dir_all(self.before()))?;
            }
            gone(fs::remove_file(self.live().join(MARK)))
        };
        settle().map_err(|e| self.failed("remove what was in the place", e))
    }

    async fn remove_side(&self, component: &str) -> Result<(), Error> {
        self.known(component)?;
        self.intend("remove the side folder").await?;
        self.clear_side().await
    }
}

fn beside(data: &Path, suffix: &str) -> PathBuf {
    let mut path = data.as_os_str().to_owned();
    path.push(format!(".{suffix}"));
    path.into()
}

fn swap_names(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, RenameFlags::EXCHANGE)?)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Gone already is success.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
}
