//! Ctrl-C and SIGTERM: the first signal stops the run and undoes it; a second one ends the undo and names what is left.

use crate::client::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// A listener for SIGINT and SIGTERM.
pub struct Interrupt {
    signals: Mutex<(Signal, Signal)>,
}

impl Interrupt {
    /// Begins to listen; from then on the signals do not end the process.
    ///
    /// # Errors
    /// When the system does not allow it.
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
