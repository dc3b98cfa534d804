//! The seam of probes: each asks the same question again and again at the platform's endpoint, as a client would.
//!
//! Rules. Each question resolves the name and connects anew, without a pool or a proxy. It changes nothing that clients
//! see. The caller ends it when its timeout has passed.

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

/// The default of the longest time that an answer may take.
pub const TIMEOUT: Period = Period::seconds(2);

/// Something to ask again and again.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Its depth, interval and timeout.
    fn watch(&self) -> Watch;
    /// Powers the environment must have.
    fn needs(&self) -> &'static [Power] {
        &[]
    }
    /// The shallower probe that this one's answers rest on, as it is written in a drill. The plan adds it if nobody asks at
    /// that depth: MLflow serves artifacts while its database is gone.
    fn rests_on(&self) -> Option<String> {
        None
    }
    /// Before the baseline: reads the right answer from the healthy platform. What it makes there carries the run's name.
    async fn learn(&self, platform: Arc<dyn Platform>, run: &str) -> Result<Arc<dyn Question>, Error>;
}

/// A question whose right answer is known.
#[async_trait]
pub trait Question: Send + Sync {
    /// Asks. `Err` says in a few words what was wrong with the answer.
    async fn ask(&self) -> Result<(), String>;
}
