//! The seam of workloads: clients that write to the platform as its users do, each write a numbered mark.
//!
//! Rules. A mark is sent only after [`Ledger::sending`] returned, and counts only after
//! [`Ledger::acknowledged`]. A write without an answer is unanswered, never retried under the same number. One
//! subject has at most one write under way. `run` returns when `stop` says so, without waiting for slow answers.

mod clients;
pub mod commits;
pub mod mlflow;
pub mod seed;
pub mod subjects;

use crate::client::Error;
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Mark, MarkState};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

/// Every workload, in the order of the documentation.
pub const WORKLOADS: &[Kind<dyn Workload>] = &[mlflow::KIND, commits::KIND];

/// Records marks, on disk before they count.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The next mark's number.
    fn number(&self) -> u64;
    /// Records that the mark will be sent; it is on disk when this returns.
    async fn sending(&self, mark: Mark) -> Result<(), Error>;
    /// Records that all parts of the mark were acknowledged; it is on disk when this returns.
    async fn acknowledged(&self, mark: u64, at: Option<String>) -> Result<(), Error>;
    /// Records that the mark got no answer or a bad one.
    async fn unanswered(&self, mark: u64, reason: String) -> Result<(), Error>;
}

/// A mark in the ledger, to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The mark.
    pub mark: Mark,
    /// Was it acknowledged in all its parts?
    pub acknowledged: bool,
}

/// Clients that write.
#[async_trait]
pub trait Workload: Send + Sync {
    /// Powers the environment must have.
    fn needs(&self) -> &'static [Power] {
        &[]
    }
    /// Writes at its rate until `stop` turns true.
    async fn run(
        &self,
        platform: Arc<dyn Platform>,
        ledger: Arc<dyn Ledger>,
        run: String,
        stop: watch::Receiver<bool>,
    ) -> Result<(), Error>;
    /// Reads the acknowledged marks back: the number and the state of each of them.
    async fn read_back(
        &self,
        platform: &dyn Platform,
        run: &str,
        entries: &[Entry],
    ) -> Result<Vec<(u64, MarkState)>, Error>;
}
