//! The seam of checks: plant before the fault, verify after the recovery, clear.
//!
//! Rules of conduct. What is planted is plain data and goes onto the timeline. `verify` looks through SQL, S3 and
//! MLflow's REST, never through what an engine says of itself. What cannot be looked at is unknown, never met.

pub mod mlflow_smoke;
pub mod performance;
pub mod registry_artifacts;
pub mod sql_integrity;

use crate::client::Error;
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Planted};
use async_trait::async_trait;

/// Every check, in the order of the documentation.
pub const CHECKS: &[Kind<dyn Check>] =
    &[mlflow_smoke::KIND, performance::KIND, sql_integrity::KIND, registry_artifacts::KIND];

/// Something that must be so after the recovery.
#[async_trait]
pub trait Check: Send + Sync {
    /// Powers the environment must have.
    fn needs(&self) -> &'static [Power] {
        &[]
    }
    /// Before the fault: notes what is there, plants what will be looked for.
    async fn plant(&self, platform: &dyn Platform, run: &str) -> Result<Planted, Error>;
    /// After the recovery: looks.
    async fn verify(&self, platform: &dyn Platform, planted: &Planted) -> Finding;
    /// Takes away what was planted.
    async fn clear(&self, platform: &dyn Platform, planted: &Planted) -> Result<(), Error>;
}
