//! The gate in front of a snapshot: nothing that has failed, was left out or lost its lease gets through.
//!
//! `rustic_core` 0.13.0 leaves out of the snapshot what it cannot read, warns, and ends well. So every reader and every
//! write reports here, and the backend asks before it writes a snapshot.

use super::lease::Lease;
use crate::client::Error;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// What has happened to one act on a repository.
#[derive(Default)]
pub(super) struct Gate {
    failure: Mutex<Option<Error>>,
    closed: CancellationToken,
    handed: AtomicU64,
    settled: AtomicU64,
    /// The right to write; none for readers.
    pub lease: Option<Lease>,
}

impl Gate {
    /// For one who holds a lease.
    pub fn of(lease: Lease) -> Self {
        Self { lease: Some(lease), ..Self::default() }
    }

    /// Closes the gate. The first failure stays.
    pub fn fail(&self, error: Error) {
        self.failure.lock().get_or_insert(error);
        self.closed.cancel();
    }

    /// Waits for the first failure.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// The first failure.
    pub fn failure(&self) -> Option<Error> {
        self.failure.lock().clone()
    }

    /// One more file was handed over to be archived.
    pub fn hand(&self) {
        self.handed.fetch_add(1, Ordering::SeqCst);
    }

    /// A file was read to its end, or need not be read.
    pub fn settle(&self) {
        self.settled.fetch_add(1, Ordering::SeqCst);
    }

    /// How many files were handed over.
    pub fn handed(&self) -> u64 {
        self.handed.load(Ordering::SeqCst)
    }

    /// May something be written? Asks nobody.
    pub fn open(&self) -> Result<(), Error> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        self.lease.as_ref().map_or(Ok(()), Lease::check)
    }

    /// May a snapshot be written?
    pub async fn open_for_snapshot(&self) -> Result<(), Error> {
        self.open()?;
        let (handed, settled) = (self.handed(), self.settled.load(Ordering::SeqCst));
        if handed != settled {
            let why = format!("{} of {handed} files were not read to their end", handed.saturating_sub(settled));
            return Err(Error::new("cannot complete the point", why));
        }
        match &self.lease {
            Some(lease) => lease.confirm().await,
            None => Ok(()),
        }
    }
}
