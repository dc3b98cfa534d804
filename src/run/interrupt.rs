//! Ctrl-C, SIGTERM and SIGHUP: the first request stops the run and undoes it; a second one ends the undo and names what is
//! left.
//!
//! Apart because it knows what a request is: `timeout` sends its signal to the process and then to its group, and a
//! closed terminal may send two kinds, so signals within a moment are one. A SIGHUP that was ignored when the program
//! began, as under `nohup`, stays ignored.

use crate::client::Error;
use crate::client::process::ignores_hangup;
use crate::clock::Deadline;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// Signals that come within this time after the first are the same request.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// A listener for the signals that ask the program to end.
pub struct Interrupt {
    signals: Mutex<InterruptSignals>,
}

struct InterruptSignals {
    interrupt: Signal,
    terminate: Signal,
    /// None if it is ignored.
    hangup: Option<Signal>,
    /// Until when further signals belong to the last request.
    same_until: Option<Deadline>,
}

impl Interrupt {
    /// Begins to listen; from then on the signals do not end the process.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|e| Error::caused_by("cannot listen for signals", e));
        let hangup = if ignores_hangup() { None } else { Some(listen(SignalKind::hangup())?) };
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        Ok(Self { signals: Mutex::new(InterruptSignals { interrupt, terminate, hangup, same_until: None }) })
    }

    /// Returns at the next request.
    pub async fn requested(&self) {
        let mut signals = self.signals.lock().await;
        loop {
            signals.next().await;
            if signals.same_until.is_none_or(Deadline::passed) {
                signals.same_until = Some(Deadline::within(ONE_REQUEST));
                return;
            }
        }
    }
}

impl InterruptSignals {
    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {}, _ = hangup => {} }
    }
}
