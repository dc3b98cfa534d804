//! The seam of checks: plant before the fault, verify after the recovery, clear.
//!
//! Rules. What is planted is plain data and is written to the timeline. `verify` reads by SQL, S3 and MLflow's REST API,
//! and never relies on what an engine says of itself. What cannot be read is unknown, never met.

pub mod contents;
pub mod database_health;
pub mod mlflow_smoke;
pub mod performance;
pub mod registry_artifacts;
pub mod sql_integrity;

use crate::client::Error;
use crate::client::s3::ObjectSource;
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Planted};
use async_trait::async_trait;

/// Every check, in the order of the documentation.
pub const CHECKS: &[Kind<dyn Check>] = &[
    mlflow_smoke::KIND,
    performance::KIND,
    sql_integrity::KIND,
    registry_artifacts::KIND,
    contents::KIND,
    database_health::KIND,
];

/// Something that must hold after the recovery.
#[async_trait]
pub trait Check: Send + Sync {
    /// Powers the environment must have.
    fn needs(&self) -> &'static [Power] {
        &[]
    }
    /// Must the conditions be lifted before it verifies? A node that is back may carry the store.
    fn after_lift(&self) -> bool {
        false
    }
    /// Before the fault: records what is there, and plants what will be looked for.
    async fn plant(&self, platform: &dyn Platform, run: &str) -> Result<Planted, Error>;
    /// What of that there is in a recovery point, while its snapshot is open: `snapshot` is its name for `SET TRANSACTION
    /// SNAPSHOT`. Asked for each point that an engine of ours takes on a standing platform, whose users go on working
    /// between `plant` and the backup; none if it does not matter to the check.
    async fn at_point(
        &self,
        _platform: &dyn Platform,
        _planted: &Planted,
        _snapshot: &str,
    ) -> Result<Option<Planted>, Error> {
        Ok(None)
    }
    /// Can it tell a recovery point that holds what was planted from one that does not?
    fn judges_points(&self) -> bool {
        false
    }
    /// While the recovery: compares what was planted with a recovery point that lies beside the live state. `beside` is
    /// the platform with the point's database in place of the live one, and of the bucket its names alone; `objects` are
    /// the point's, if it holds any. Asked only of checks that judge points.
    async fn in_point(&self, beside: &dyn Platform, _objects: Option<&dyn ObjectSource>, planted: &Planted) -> Finding {
        self.verify(beside, planted, None).await
    }
    /// After the recovery: compares with what was planted, and with what `at_point` answered for the point that was
    /// restored last, if one was and if that is known.
    async fn verify(&self, platform: &dyn Platform, planted: &Planted, at_point: Option<&Planted>) -> Finding;
    /// Removes what was planted.
    async fn clear(&self, platform: &dyn Platform, planted: &Planted) -> Result<(), Error>;
}
