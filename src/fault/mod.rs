//! The seam of faults.
//!
//! Rules of conduct. A fault never asks which environment it is in; it names the powers it needs. `targets` is
//! pure. `intend` reads all that undo and confirmation will need and writes nothing; its receipt is on disk
//! before `inject` is called. `confirm` observes the fault's own effect from outside, never a probe's answer;
//! it is asked again and again until it says met or its deadline passes. `lift` may be called after any prefix
//! of the above, and twice, and restores only what still is as the fault left it; for a crash or a loss it does nothing.

pub mod artifacts_deleted;
pub mod artifacts_overwritten;
pub mod backups_attacked;
pub mod bucket_lost;
pub mod config_lost;
pub mod database_drop;
pub mod disk_lost;
mod drawn_artifacts;
pub mod key_revoked;
pub mod kill;
pub mod model_deleted;
pub mod namespace_removed;
pub mod node_lost;
pub mod noop;
pub mod out_of_memory;
mod overwritten;
pub mod page_damaged;
pub mod partition;
pub mod pause;
pub mod pod_kill;
pub mod policy_broken;
pub mod ransomware;
pub mod references_broken;
mod relations;
pub mod removed;
pub mod rows_changed;
pub mod table_lost;
pub mod throttled;

use crate::client::Error;
use crate::environment::{AssetUnder, Inventory, LossKind, Permission, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::repository::DrillRepository;
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Every fault, in the order of the documentation.
pub const FAULTS: &[Kind<dyn Fault>] = &[
    kill::KIND,
    pause::KIND,
    database_drop::KIND,
    table_lost::KIND,
    rows_changed::KIND,
    references_broken::KIND,
    page_damaged::KIND,
    model_deleted::KIND,
    artifacts_deleted::KIND,
    artifacts_overwritten::KIND,
    bucket_lost::KIND,
    ransomware::KIND,
    backups_attacked::KIND,
    policy_broken::KIND,
    key_revoked::KIND,
    partition::KIND,
    out_of_memory::KIND,
    throttled::KIND,
    disk_lost::KIND,
    removed::KIND,
    pod_kill::KIND,
    node_lost::KIND,
    namespace_removed::KIND,
    config_lost::KIND,
    noop::KIND,
];

/// A fault whose effect is not seen within this time did not take effect, unless it says that it needs longer.
pub const CONFIRM: Duration = Duration::from_secs(10);

/// What ends a fault: a lift, a restart, or only a recovery point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Lifted after verification, or earlier by the runbook's `lift` step.
    Condition,
    /// A process, pod or container ended: restarting it brings all back.
    Crash,
    /// State is gone: an engine brings it back from a recovery point, or a step does without one.
    Loss,
}

/// Something that goes wrong on purpose.
#[async_trait]
pub trait Fault: Send + Sync {
    /// Condition, crash or loss.
    fn nature(&self) -> Nature;
    /// What a loss takes away; nothing for what a lift or a restart ends.
    fn takes(&self, _inventory: &Inventory) -> Vec<AssetUnder> {
        vec![]
    }
    /// How it takes what it takes.
    fn loss(&self) -> LossKind {
        LossKind::Removed
    }
    /// The repository of the drill's that it destroys; the plan says which one that is.
    fn repository(&self) -> Option<&DrillRepository> {
        None
    }
    /// Powers the environment must have; asked while planning, never while running.
    fn needs(&self) -> &'static [Power];
    /// What the platform must allow, where permissions are asked for.
    fn permissions(&self) -> Vec<Permission> {
        vec![]
    }
    /// What it hits of what is there, by name and count; pure, an empty answer is a plan error.
    fn targets(&self, inventory: &Inventory) -> Vec<String>;
    /// Reads all that undo and confirmation will need; writes nothing.
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error>;
    /// What it read when the platform stood, and what it reads now, right before its act: an error if they are not the
    /// same things. Whatever may be replaced by itself meanwhile, as a restarted process is, is taken as it is now.
    fn still(&self, _bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        Ok(now)
    }
    /// Does the harm.
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error>;
    /// Has it confirmed?
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding;
    /// How long after the act its effect must have been seen.
    fn confirmed_within(&self) -> Duration {
        CONFIRM
    }
    /// Takes a condition away.
    async fn lift(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error>;
}

/// The same receipt, where it must be the same.
///
/// # Errors
/// If it is another.
fn unchanged(what: &str, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
    if *bound == now {
        return Ok(now);
    }
    Err(Error::new(what, "it is another than when the platform stood: somebody has replaced it meanwhile"))
}

/// What a fault wrote down before its act.
///
/// # Errors
/// If the receipt is another fault's, or of a version that wrote others.
fn recall<T: DeserializeOwned>(receipt: &Receipt) -> Result<T, Error> {
    T::deserialize(&receipt.0).map_err(|e| Error::caused_by("the fault's receipt is not one that it wrote", e))
}
