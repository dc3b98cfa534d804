//! Receives a server's log into a spool for as long as it is told to, and tells what goes on.
//!
//! Apart from the receiver because this is what outlives it: a server that was restored writes another timeline, and its
//! log gets a folder of its own and another receiver. What a killed one left running is ended first, by its mark: it
//! would hold the slot. At the end the slot stays, so that the server keeps what is not received yet, up to its bound.

use super::receiver::{self, CommitMode, Receiver, ReceiverHealth, ReceiverSettings, ReceiverState};
use super::settings;
use super::spool::Spool;
use crate::client::{Error, process};
use crate::clock::{Deadline, Stopwatch};
use crate::engine::{Lsn, Receiving, ReceivingNews};
use crate::environment::Platform;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// How long a start may take.
const START: Duration = Duration::from_secs(30);
/// How long an end may take: a server that is frozen holds it up.
const END: Duration = Duration::from_secs(5);
/// After how long without a sign of life the receiver counts as stalled, and how long commits then wait for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked at, and how often what it says is kept.
const LOOK: Duration = Duration::from_millis(200);
const KEEP: Duration = Duration::from_secs(1);
/// The pause before another attempt.
const PAUSE: Duration = Duration::from_secs(5);

/// Why one receiver's work is over.
enum Over {
    /// It was told to end, or has received all that it was to.
    Done,
    /// The server is another, or on another timeline.
    Moved,
}

/// The name of a protection's slot. A slot's name has neither capitals nor hyphens.
pub fn slot(protection: &str) -> String {
    format!("lifeboat_{}", protection.replace('-', "_"))
}

/// Receives until it is told to end.
pub async fn receive(server: Arc<dyn Platform>, mode: CommitMode, receiving: Receiving<'_>) -> Result<(), Error> {
    let Receiving { protection, spool, once, mut stop, tell } = receiving;
    let spool = Spool(spool);
    let _lock = spool.lock()?;
    end_leftovers(server.run()).await?;
    let unmet = settings::unmet(server.sql()?).await?;
    if !unmet.is_empty() {
        return Err(settings::refusal(&unmet));
    }
    let mut begun = false;
    loop {
        let one = OneLog { server: &server, spool: &spool, slot: slot(protection), mode, once, tell };
        match one.receive(&mut stop, &mut begun).await {
            Ok(Over::Done) => return Ok(()),
            Ok(Over::Moved) => {}
            Err(error) if !begun || once => return Err(error),
            Err(error) => tell(&ReceivingNews::NotReceived(error.to_string())),
        }
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Ends what a receiver that was killed left running. Its server would not let another one have the slot.
async fn end_leftovers(run: Option<&str>) -> Result<(), Error> {
    let Some(run) = run else { return Ok(()) };
    let left: Vec<_> = process::commands_of(run).into_keys().collect();
    match process::end(&left).await.first() {
        None => Ok(()),
        Some(process) => Err(Error::new("cannot receive the log", format!("process {} does not end", process.pid))),
    }
}

/// The log of one timeline of one server.
struct OneLog<'a> {
    server: &'a Arc<dyn Platform>,
    spool: &'a Spool<'a>,
    slot: String,
    mode: CommitMode,
    once: bool,
    tell: &'a (dyn Fn(&ReceivingNews) + Send + Sync),
}

impl OneLog<'_> {
    async fn receive(&self, stop: &mut BoxFuture<'_, ()>, begun: &mut bool) -> Result<Over, Error> {
        let sql = self.server.sql()?;
        let (system, timeline, written) = receiver::identity(sql).await?;
        let folder = self.spool.folder(&system, timeline);
        let settings = ReceiverSettings {
            slot: self.slot.clone(),
            folder: folder.clone(),
            mode: self.mode,
            patience: PATIENCE,
            hold: PATIENCE,
        };
        let starting = Receiver::start(Arc::clone(self.server), settings, Deadline::within(START));
        let receiver = tokio::select! {
            () = &mut *stop => return Ok(Over::Done),
            receiver = starting => receiver?,
        };
        *begun = true;
        (self.tell)(&ReceivingNews::Received(format!("the log is received into `{}`", folder.display())));
        let over = tokio::select! {
            () = stop => Ok(Over::Done),
            over = self.watch(&receiver, (&system, timeline), written) => over,
        };
        let kept = self.spool.keep((&system, timeline), receiver.segment_size, &receiver.health());
        // Commits are let go. A server that is gone has none that wait.
        if let Err(error) = receiver.stop(sql, false, Deadline::within(END)).await {
            (self.tell)(&ReceivingNews::NotReceived(error.to_string()));
        }
        kept.and(over)
    }

    /// Until there is nothing more to receive of this log.
    async fn watch(&self, receiver: &Receiver, log: (&str, u32), written: Lsn) -> Result<Over, Error> {
        // It streamed when it was started, and that was told.
        let (mut told, mut since) = ((ReceiverState::Streaming, None), Stopwatch::start());
        self.spool.keep(log, receiver.segment_size, &receiver.health())?;
        loop {
            tokio::time::sleep(LOOK).await;
            let health = receiver.health();
            let now = (health.state, health.said.clone());
            if told != now {
                (self.tell)(&news(&health));
            }
            told = now;
            if since.elapsed() >= KEEP {
                since = Stopwatch::start();
                self.spool.keep(log, receiver.segment_size, &health)?;
            }
            if self.once && health.sure.is_some_and(|sure| sure.lsn >= written) {
                return Ok(Over::Done);
            }
            if health.state == ReceiverState::Broken {
                return Ok(Over::Moved);
            }
        }
    }
}

/// What is told of a receiver.
fn news(health: &ReceiverHealth) -> ReceivingNews {
    let said = health.said.as_ref().map(|said| format!(": {said}")).unwrap_or_default();
    let advice = match health.state {
        ReceiverState::Broken => "; a new log begins: take a base backup",
        _ => "",
    };
    let said = format!("the receiver is {}{said}{advice}", health.state);
    if health.state == ReceiverState::Streaming {
        ReceivingNews::Received(said)
    } else {
        ReceivingNews::NotReceived(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_a_name_that_the_server_takes_and_a_new_timeline_is_told() {
        assert_eq!(slot("mlflow-prod"), "lifeboat_mlflow_prod");
        let (received, sure, synchronous, restarts) = Default::default();
        let said = Some("the server is 7 on timeline 2 now".to_owned());
        let broken =
            ReceiverHealth { state: ReceiverState::Broken, received, behind: 0, sure, synchronous, restarts, said };
        let told = "the receiver is broken: the server is 7 on timeline 2 now; a new log begins: take a base backup";
        assert_eq!(news(&broken), ReceivingNews::NotReceived(told.into()));
        let streaming = ReceiverHealth { state: ReceiverState::Streaming, said: None, ..broken };
        assert_eq!(news(&streaming), ReceivingNews::Received("the receiver is streaming".into()));
    }
}
