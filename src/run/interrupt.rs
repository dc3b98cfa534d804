//! Ctrl-C: the first one stops and undoes, the second one leaves and says what to do.

use crate::client::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// Listens for SIGINT and SIGTERM.
pub struct Interrupt {
    signals: Mutex<(Signal, Signal)>,
}

impl Interrupt {
    /// From here on the signals no longer end the process.
    ///
    /// # Errors
    /// When the system does not let us listen.
    pub fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|e| Error::caused_by("cannot listen for signals", e));
        Ok(Self { signals: Mutex::new((listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)) })
    }

    /// Returns at the first signal.
    pub async fn first(&self) {
        let mut signals = self.signals.lock().await;
        let (interrupt, terminate) = &mut *signals;
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    }

    /// Returns at the next signal.
    pub async fn second(&self) {
        self.first().await;
    }
}
