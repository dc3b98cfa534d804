//! The seam of probes: the same question again and again, at the front endpoint, as a client would ask.
//!
//! Rules of conduct. Each question resolves and connects anew: no pool, no proxy. It changes nothing that
//! clients see, and takes no longer than its timeout: the caller cuts it off there.

pub mod mlflow;
pub mod running;

use crate::client::Error;
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Period, Watch};
use async_trait::async_trait;
use std::sync::Arc;

/// Every probe, in the order of the documentation.
pub const PROBES: &[Kind<dyn Probe>] = &[mlflow::KIND, running::KIND];

/// The default time an answer may take.
pub const TIMEOUT: Period = Period::seconds(2);

/// Something to ask again and again.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Depth, interval and timeout.
    fn watch(&self) -> Watch;
    /// Powers the environment must have.
    fn needs(&self) -> &'static [Power] {
        &[]
    }
    /// Learns the right answer while all is well, before the baseline.
    async fn learn(&self, platform: Arc<dyn Platform>) -> Result<Arc<dyn Question>, Error>;
}

/// A question whose right answer is known.
#[async_trait]
pub trait Question: Send + Sync {
    /// Asks; `Err` says in a few words what was wrong with the answer.
    async fn ask(&self) -> Result<(), String>;
}
