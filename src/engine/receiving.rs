//! What engines say that receive a server's log between their points: how it goes, and how far it reaches.
//!
//! Apart because commands show it and know nothing of how a log is received.

use crate::client::Error;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How a log is received.
pub struct Receiving<'a> {
    /// The protection that it is received for.
    pub protection: &'a str,
    /// Where it goes on this machine.
    pub spool: &'a Path,
    /// Ends it once all is received that the server had written when it began.
    pub once: bool,
    /// Ends it in good order.
    pub stop: BoxFuture<'a, ()>,
    /// Told whenever it is another than before.
    pub tell: &'a (dyn Fn(&ReceivingNews) + Send + Sync),
}

/// How the receiving of a log goes, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceivingNews {
    /// The log is received.
    Received(String),
    /// It is not.
    NotReceived(String),
    /// What was received is in every repository.
    Stored(String),
    /// It is not.
    NotStored(String),
}

/// How far the log reaches from a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReach {
    /// The point.
    pub point: String,
    /// It can be restored to any moment up to here; without one, to no moment but its own.
    pub until: Option<Timestamp>,
    /// Why it reaches no further, if that is not as it should be.
    pub flaw: Option<String>,
}

/// What became of putting a received log into a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShippedLog {
    /// How many parts of it were put.
    pub parts: u64,
    /// The files of the spool that this repository holds, and that may go once all others do.
    pub removable: BTreeSet<PathBuf>,
}

/// That an engine receives no log.
pub fn receives_nothing() -> Error {
    let error = Error::new("cannot receive the log", "the protection's engine takes points and no log");
    error.hint("write `engine: { builtin: { postgres: physical } }`")
}
