//! Watches `pg_receivewal`: asks the server how far it is, notices when it gives no sign of life, and makes commits
//! wait for it, or lets them go.
//!
//! The server is asked and not the folder, because the server knows what it has sent and what was confirmed. A
//! confirmation carries the time at which the receiver sent it; only whether that changes counts, since the two clocks
//! may differ.

use super::super::sure::SurePoint;
use super::super::{bounded, connect, micros, synchronous, timestamp};
use super::{CommitMode, EVERY, ReceiverHealth, ReceiverSettings, ReceiverState};
use crate::client::{Error, Running, postgres};
use crate::clock::{Deadline, Stopwatch};
use crate::engine::Lsn;
use crate::environment::Platform;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::watch::Sender;
use tokio_postgres::Client;

/// How long the server may take to say how far the receiver is.
const ANSWER: Duration = Duration::from_secs(2);
/// How many positions with their times wait to be received.
const SAMPLES: usize = 1000;

/// The watch over `pg_receivewal`, one after the other.
pub struct ReceiverWatch<'a> {
    platform: &'a dyn Platform,
    settings: &'a ReceiverSettings,
    told: &'a Sender<ReceiverHealth>,
    client: Option<Client>,
    /// Since when it gives no sign of life.
    silent: Stopwatch,
    /// The time in its last confirmation.
    reply: Option<i64>,
    /// Positions that the server had reached, and when.
    samples: VecDeque<(Lsn, Timestamp)>,
    streamed: bool,
}

/// What the server says.
struct ReceiverProgress {
    written: Lsn,
    now: Timestamp,
    received: Option<Lsn>,
    reply: Option<i64>,
    synchronous: bool,
    named: bool,
    lost: bool,
}

impl<'a> ReceiverWatch<'a> {
    /// Of a receiver that was just started.
    pub fn new(platform: &'a dyn Platform, settings: &'a ReceiverSettings, told: &'a Sender<ReceiverHealth>) -> Self {
        let (client, reply, samples, streamed) = Default::default();
        Self { platform, settings, told, client, silent: Stopwatch::start(), reply, samples, streamed }
    }

    /// Watches until it ends, or must be ended because it is stalled; answers whether it ever streamed.
    pub async fn run(&mut self, running: Running) -> bool {
        let Running { input, mut output, mut ended } = running;
        drop(input);
        let mut nothing = tokio::io::sink();
        let drained = tokio::io::copy(&mut output, &mut nothing);
        tokio::pin!(drained);
        let (mut is_drained, begun) = (false, Stopwatch::start());
        let enough = self.settings.patience + self.settings.hold;
        loop {
            tokio::select! {
                ended = &mut ended => {
                    let why = ended.map_or_else(|e| e.to_string(), |ended| ended.to_string());
                    self.tell(ReceiverState::Ended, Some(format!("`pg_receivewal` ended: {why}")));
                    return self.streamed;
                }
                _ = &mut drained, if !is_drained => is_drained = true,
                () = tokio::time::sleep(EVERY) => {
                    self.look(true).await;
                    // One that is frozen holds its slot; ended, another can take it.
                    if self.silent.elapsed() > enough && begun.elapsed() > enough {
                        self.tell(ReceiverState::Ended, Some("it was stalled and is started anew".into()));
                        return self.streamed;
                    }
                }
            }
        }
    }

    /// It was not started: says why.
    pub fn not_started(&self, state: ReceiverState, error: &Error) {
        self.tell(state, Some(error.to_string()));
    }

    /// Watches while none runs: commits may have to be let go.
    pub async fn idle(&mut self, time: Duration) {
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < time {
            tokio::time::sleep(EVERY.min(time)).await;
            self.look(false).await;
        }
    }

    async fn look(&mut self, runs: bool) {
        match bounded(Deadline::within(ANSWER), "ask how far the receiver is", self.ask()).await {
            Ok(progress) => self.judge(progress, runs).await,
            Err(error) => {
                self.client = None;
                if runs {
                    self.tell(ReceiverState::ServerAway, Some(error.to_string()));
                }
            }
        }
    }

    async fn ask(&mut self) -> Result<ReceiverProgress, Error> {
        if self.client.is_none() {
            self.client = Some(connect(self.platform.sql()?, "postgres").await?);
        }
        let client = self.client.as_ref().ok_or_else(|| Error::new("ask the server", "no connection"))?;
        let query = format!(
            "SELECT pg_current_wal_flush_lsn()::text, {}, r.flush_lsn::text, {}, r.sync_state, s.wal_status, \
             current_setting('synchronous_standby_names') FROM (SELECT) x \
             LEFT JOIN pg_replication_slots s ON s.slot_name = '{}' LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid",
            micros("clock_timestamp()"),
            micros("r.reply_time"),
            self.settings.slot
        );
        let row = postgres::one(client, &query).await?;
        let named = synchronous::whose(row.get(6), &self.settings.slot) == synchronous::Waiting::Ours;
        let status: Option<String> = row.get(5);
        let state: Option<String> = row.get(4);
        Ok(ReceiverProgress {
            written: row.get::<_, String>(0).parse()?,
            now: timestamp(row.get(1))?,
            received: row.get::<_, Option<String>>(2).map(|lsn| lsn.parse()).transpose()?,
            reply: row.get(3),
            synchronous: matches!(state.as_deref(), Some("sync" | "quorum")),
            named,
            lost: status.as_deref() == Some("lost"),
        })
    }

    async fn judge(&mut self, progress: ReceiverProgress, runs: bool) {
        let ReceiverProgress { written, now, received, reply, synchronous, named, lost } = progress;
        if reply.is_some() && reply != self.reply {
            (self.reply, self.silent) = (reply, Stopwatch::start());
        }
        self.samples.push_back((written, now));
        let mut sure = None;
        while let Some((lsn, at)) = self.samples.front().filter(|(lsn, _)| received.is_some_and(|r| r >= *lsn)) {
            sure = Some(SurePoint { lsn: *lsn, at: *at });
            self.samples.pop_front();
        }
        if self.samples.len() > SAMPLES {
            self.samples.pop_back();
        }
        let silent = self.silent.elapsed();
        let streams = runs && received.is_some() && silent <= self.settings.patience;
        self.streamed |= streams;
        let mut said = match (streams, lost) {
            (true, _) => None,
            (_, true) => Some("the server has thrown away log that was not received".to_owned()),
            _ if runs => Some(format!("no sign of life for {} s", silent.as_secs())),
            _ => None,
        };
        let released = self.wait_or_release(streams, named, silent).await;
        let waits = synchronous && named && released.is_none();
        said = released.or(said);
        self.told.send_modify(|health| {
            health.state = match (streams, self.streamed) {
                _ if !runs => health.state,
                (true, _) => ReceiverState::Streaming,
                (false, false) if silent <= self.settings.patience => ReceiverState::Starting,
                _ => ReceiverState::Stalled,
            };
            health.received = received.or(health.received).max(health.received);
            health.behind = health.received.map_or(0, |received| written.0.saturating_sub(received.0));
            health.sure = sure.or(health.sure);
            health.synchronous = waits;
            health.said = said.or_else(|| health.said.take().filter(|_| !streams));
        });
    }

    /// In synchronous mode: makes commits wait while it streams, and lets them go when it has been away for too long.
    async fn wait_or_release(&mut self, streams: bool, named: bool, silent: Duration) -> Option<String> {
        if self.settings.mode == CommitMode::Asynchronous {
            return None;
        }
        let acted = match (streams, named) {
            (true, false) => {
                let client = self.client.as_ref()?;
                synchronous::set(client, &self.settings.slot).await.map(|()| None)
            }
            (false, true) if silent > self.settings.hold => {
                self.clear().await.map(|()| Some("commits do not wait for it any more".to_owned()))
            }
            _ => return None,
        };
        acted.unwrap_or_else(|error| Some(error.to_string()))
    }

    async fn clear(&mut self) -> Result<(), Error> {
        let clear = async {
            let client = connect(self.platform.sql()?, "postgres").await?;
            synchronous::clear(&client, &self.settings.slot).await
        };
        bounded(Deadline::within(ANSWER), "let commits go", clear).await
    }

    fn tell(&self, state: ReceiverState, said: Option<String>) {
        self.told.send_modify(|health| {
            health.state = state;
            health.synchronous = false;
            health.said = said;
        });
    }
}
