//! Receives the log as it is written: `pg_receivewal` with a slot, watched, and started again when it ends.
//!
//! It writes into a folder outside the blast radius and fsyncs what it has received before it says so (`--synchronous`),
//! in both modes; whether commits wait for that is another matter, the name in `synchronous_standby_names`. The server
//! keeps what is not received yet, up to `max_slot_wal_keep_size`. Dropping the receiver ends `pg_receivewal` but leaves
//! the slot, and commits waiting: [`tidy`] takes both away, after a kill too.

mod watch;

use super::segments::remove_short;
use super::sure::SurePoint;
use super::synchronous::{self, Waiting};
use super::{bounded, connect};
use crate::client::{Error, Running, postgres, until};
use crate::clock::Deadline;
use crate::engine::Lsn;
use crate::environment::{Platform, Sql};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::{Receiver as Watched, Sender, channel};
use tokio::task::JoinHandle;
use watch::ReceiverWatch;

/// How often the server is asked how far the receiver is.
const EVERY: Duration = Duration::from_millis(250);
/// The pauses before `pg_receivewal` is started again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Do commits wait until the log is received?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CommitMode {
    /// No: what was acknowledged in the last moment before a loss may be lost.
    Asynchronous,
    /// Yes: nothing acknowledged is lost. Commits wait while the receiver is away, for as long as is allowed.
    Synchronous,
}

/// How the log is received.
#[derive(Debug, Clone)]
pub struct ReceiverSettings {
    /// The name of the slot and of the receiver, of small letters, digits and `_`.
    pub slot: String,
    /// Where the segments go: one folder for each timeline, outside the blast radius.
    pub folder: PathBuf,
    /// Whether commits wait.
    pub mode: CommitMode,
    /// After how long without a sign of life it counts as stalled.
    pub patience: Duration,
    /// How long commits may wait for a receiver that is away before they are let go.
    pub hold: Duration,
}

/// What the receiver is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum ReceiverState {
    /// It has not streamed yet.
    Starting,
    /// It streams.
    Streaming,
    /// It is connected and gives no sign of life.
    Stalled,
    /// It ended, and is started again after a pause.
    Ended,
    /// The server cannot be asked.
    ServerAway,
    /// Another server answers, or the log between was thrown away: it is not started again.
    Broken,
}

/// How the receiver is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverHealth {
    /// What it is doing.
    pub state: ReceiverState,
    /// Up to here the log is on its disk.
    pub received: Option<Lsn>,
    /// Bytes of log that the server has written and it has not received, when last asked.
    pub behind: u64,
    /// How far it is known to be complete.
    pub sure: Option<SurePoint>,
    /// Do commits wait for it by now, as the server says?
    pub synchronous: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it is not streaming, or what happened last.
    pub said: Option<String>,
}

/// A receiver at work.
pub struct Receiver {
    settings: ReceiverSettings,
    health: Watched<ReceiverHealth>,
    stop: Sender<bool>,
    task: JoinHandle<()>,
    /// Bytes of a segment.
    pub segment_size: u64,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts it; returns when it streams, and in synchronous mode when commits wait for it.
    pub async fn start(
        platform: Arc<dyn Platform>,
        settings: ReceiverSettings,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let what = "cannot receive the log";
        let known = settings.slot.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !known || settings.slot.is_empty() {
            return Err(Error::new(what, format!("`{}` is no name of a slot", settings.slot)));
        }
        std::fs::create_dir_all(&settings.folder).map_err(|e| Error::caused_by(what, e))?;
        let server = bounded(deadline, what, Server::ask(platform.sql()?, &settings)).await?;
        let segment_size = server.segment_size;
        let starting = ReceiverHealth {
            state: ReceiverState::Starting,
            received: None,
            behind: 0,
            sure: None,
            synchronous: false,
            restarts: 0,
            said: None,
        };
        let ((told, health), (stop, stopped)) = (channel(starting), channel(false));
        let task = tokio::spawn(supervise(Arc::clone(&platform), settings.clone(), server, told, stopped));
        let receiver = Self { settings, health, stop, task, segment_size };
        match receiver.ready(deadline).await {
            Ok(()) => Ok(receiver),
            Err(error) => {
                receiver.task.abort();
                receiver.release(&*platform).await;
                Err(error)
            }
        }
    }

    async fn ready(&self, deadline: Deadline) -> Result<(), Error> {
        self.streaming(deadline).await?;
        self.writes(deadline).await
    }

    /// No commit may wait for one that was never at work. Whoever cannot be asked serves no commits.
    async fn release(&self, platform: &dyn Platform) {
        let release =
            async { synchronous::clear(&connect(platform.sql()?, "postgres").await?, &self.settings.slot).await };
        let _ = bounded(Deadline::within(PAUSES.1), "let commits go", release).await;
    }

    /// The first segment must appear in the folder: a tool that ran beside the server would write into the blast radius.
    async fn writes(&self, deadline: Deadline) -> Result<(), Error> {
        let folder = &self.settings.folder;
        let look = async || {
            let files = std::fs::read_dir(folder).map_err(|e| e.to_string())?;
            if files.count() > 0 { Ok(()) } else { Err(format!("nothing is written into `{}`", folder.display())) }
        };
        let hint = "the server's client tools must be on this machine, of its major version";
        let seen = until(deadline.left().min(PAUSES.1), EVERY / 5, look).await;
        seen.map_err(|late| Error::new("cannot receive the log", late).hint(hint))
    }

    /// How it is.
    pub fn health(&self) -> ReceiverHealth {
        self.health.borrow().clone()
    }

    /// Waits until it streams, and until commits wait for it where they are to.
    pub async fn streaming(&self, deadline: Deadline) -> Result<(), Error> {
        let synchronous = self.settings.mode == CommitMode::Synchronous;
        self.wait(deadline, "cannot receive the log", |health| {
            health.state == ReceiverState::Streaming && (health.synchronous || !synchronous)
        })
        .await
    }

    /// Waits until the log is received up to here.
    pub async fn received(&self, lsn: Lsn, deadline: Deadline) -> Result<(), Error> {
        let what = format!("the log up to {lsn} was not received");
        self.wait(deadline, &what, |health| health.received.is_some_and(|received| received >= lsn)).await
    }

    async fn wait(&self, deadline: Deadline, what: &str, done: impl Fn(&ReceiverHealth) -> bool) -> Result<(), Error> {
        let ask = async || {
            let health = self.health();
            match health.state {
                _ if done(&health) => Ok(Ok(())),
                ReceiverState::Broken => Ok(Err(health)),
                _ => Err(health),
            }
        };
        let error = |health: ReceiverHealth| {
            let said = health.said.map(|said| format!(": {said}")).unwrap_or_default();
            Error::new(what, format!("the receiver is {}{said}", health.state))
        };
        match until(deadline.left(), EVERY / 5, ask).await {
            Ok(answer) => answer.map_err(error),
            Err(late) => Err(late.reason.map_or_else(|| Error::new(what, "no answer"), error)),
        }
    }

    /// Lets commits go, ends `pg_receivewal`, and drops the slot if the log is not to be received any more. What could
    /// not be taken back at the server is the error.
    pub async fn stop(mut self, sql: &dyn Sql, drop_slot: bool, deadline: Deadline) -> Result<(), Error> {
        let name = self.settings.slot.clone();
        let cleared = bounded(deadline, "let commits go", async {
            synchronous::clear(&connect(sql, "postgres").await?, &name).await
        });
        let cleared = cleared.await;
        let _ = self.stop.send(true);
        if tokio::time::timeout_at(deadline.instant(), &mut self.task).await.is_err() {
            self.task.abort();
        }
        cleared?;
        if drop_slot { tidy(sql, &name, deadline).await } else { Ok(()) }
    }
}

/// Lets commits go and drops the slot, whoever left them; idempotent.
pub async fn tidy(sql: &dyn Sql, slot: &str, deadline: Deadline) -> Result<(), Error> {
    bounded(deadline, &format!("take away the slot `{slot}`"), async {
        let client = connect(sql, "postgres").await?;
        synchronous::clear(&client, slot).await?;
        let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1";
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1";
        loop {
            let failed = |e| Error::caused_by(format!("cannot drop the slot `{slot}`"), e);
            client.query(end, &[&slot]).await.map_err(failed)?;
            match client.query(drop, &[&slot]).await {
                Ok(_) => return Ok(()),
                // It is in use until its sender has ended.
                Err(e) if e.code() == Some(&tokio_postgres::error::SqlState::OBJECT_IN_USE) => {
                    tokio::time::sleep(EVERY / 5).await;
                }
                Err(e) => return Err(failed(e)),
            }
        }
    })
    .await
}

/// Which server it is, and the slot in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    system: String,
    timeline: i32,
    segment_size: u64,
}

const WHICH: &str = "SELECT (SELECT system_identifier::text FROM pg_control_system()), \
     (SELECT timeline_id FROM pg_control_checkpoint()), \
     (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')";

/// The server's own identifier, its timeline by now, and up to where it has written its log.
pub async fn identity(sql: &dyn Sql) -> Result<(String, u32, Lsn), Error> {
    let client = connect(sql, "postgres").await?;
    let row = postgres::one(&client, &format!("{WHICH}, pg_current_wal_flush_lsn()::text")).await?;
    Ok((row.get(0), u32::try_from(row.get::<_, i32>(1)).unwrap_or(0), row.get::<_, String>(3).parse()?))
}

impl Server {
    /// Asks, and makes the slot if there is none.
    async fn ask(sql: &dyn Sql, settings: &ReceiverSettings) -> Result<Self, Error> {
        let client = connect(sql, "postgres").await?;
        let row = postgres::one(&client, WHICH).await?;
        let size = u64::try_from(row.get::<_, i64>(2)).unwrap_or(16 << 20);
        let server = Self { system: row.get(0), timeline: row.get(1), segment_size: size };
        if settings.mode == CommitMode::Synchronous
            && let Waiting::Foreign(other) = synchronous::waiting(&client, &settings.slot).await?
        {
            return Err(synchronous::foreign(&other));
        }
        let make = "SELECT pg_create_physical_replication_slot($1, true) WHERE NOT EXISTS \
             (SELECT FROM pg_replication_slots WHERE slot_name = $1)";
        let made = client.query(make, &[&settings.slot]).await;
        made.map_err(|e| Error::caused_by(format!("cannot make the slot `{}`", settings.slot), e))?;
        Ok(server)
    }
}

/// Keeps `pg_receivewal` at work until it is told to stop.
async fn supervise(
    platform: Arc<dyn Platform>,
    settings: ReceiverSettings,
    server: Server,
    told: Sender<ReceiverHealth>,
    mut stopped: Watched<bool>,
) {
    let mut watch = ReceiverWatch::new(&*platform, &settings, &told);
    let work = async {
        let mut pause = PAUSES.0;
        loop {
            let streamed = match begin(&*platform, &settings, &server).await {
                Ok(running) => watch.run(running).await,
                Err((state, error)) => {
                    watch.not_started(state, &error);
                    false
                }
            };
            pause = if streamed { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
            watch.idle(pause).await;
            if told.borrow().state != ReceiverState::Broken {
                told.send_modify(|health| health.restarts += 1);
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

/// Starts `pg_receivewal`, or says what the receiver is instead.
async fn begin(
    platform: &dyn Platform,
    settings: &ReceiverSettings,
    server: &Server,
) -> Result<Running, (ReceiverState, Error)> {
    let away = |error| (ReceiverState::ServerAway, error);
    let sql = platform.sql().map_err(away)?;
    let now = bounded(Deadline::within(PAUSES.1), "ask the server", Server::ask(sql, settings)).await.map_err(away)?;
    if now != *server {
        let why = format!("the server is {} on timeline {} now", now.system, now.timeline);
        let error = Error::new("cannot go on receiving the log", why);
        return Err((ReceiverState::Broken, error.hint("begin a new folder, with a new base backup")));
    }
    let ended = |error| (ReceiverState::Ended, error);
    let removed = remove_short(&settings.folder, server.segment_size);
    removed.map_err(|e| ended(Error::caused_by(format!("`{}`", settings.folder.display()), e)))?;
    let slot = format!("--slot={}", settings.slot);
    let name = format!("application_name={}", settings.slot);
    let folder = settings.folder.display().to_string();
    let args = ["-D", &folder, &slot, "--synchronous", "--no-loop", "--status-interval=1", "-w", "-d", &name];
    sql.tool("pg_receivewal", &args).await.map_err(ended)
}
