//! The seam of recovery steps: the runbook, line by line.
//!
//! Rules of conduct. A step that did not work is a missed finding, not an error: the drill goes on to judge it.
//! A step may be dropped in the middle, when its deadline passes, and carried out again, when it says `retry`.

pub mod apply_policy;
mod clean;
pub mod command;
pub mod component;
pub mod drain;
pub mod isolate;
pub mod job;
pub mod lift;
pub mod new_disk;
pub mod re_point;
pub mod recreate;
pub mod restore;
pub mod restore_key;
pub mod restore_model;
pub mod roll_back_bucket;
pub mod rollout;
pub mod rotate_credentials;
pub mod text;
pub mod undelete;
pub mod undelete_repository;
pub mod wait_for;

use crate::client::Error;
use crate::engine::{PointBeside, Session};
use crate::environment::{Asset, AssetUnder, Identity, Inventory, Journal, LossKind, Permission, Platform, Power};
use crate::kind::Kind;
use crate::model::{Disaster, Finding, Receipt};
use crate::repository::DrillRepository;
use async_trait::async_trait;
use serde_json::json;
use std::path::Path;
use text::{Outputs, Text};

/// Every step, in the order of the documentation.
pub const STEPS: &[Kind<dyn Step>] = &[
    component::STOP,
    component::START,
    component::RESTART,
    restore::KIND,
    restore_model::KIND,
    re_point::KIND,
    undelete::KIND,
    undelete_repository::KIND,
    roll_back_bucket::KIND,
    apply_policy::KIND,
    restore_key::KIND,
    isolate::ISOLATE,
    isolate::END,
    rotate_credentials::KIND,
    new_disk::KIND,
    wait_for::KIND,
    command::KIND,
    job::KIND,
    lift::KIND,
    rollout::RESTART,
    rollout::SCALE,
    recreate::KIND,
    drain::DRAIN,
    drain::DELETE,
    drain::UNCORDON,
];

/// What a step may use.
pub struct StepContext<'a> {
    /// The platform.
    pub platform: &'a dyn Platform,
    /// When the disaster struck.
    pub disaster: Disaster,
    /// The drill's engine at work, if it has one.
    pub session: Option<&'a dyn Session>,
    /// What the steps that have ended have put out.
    pub outputs: &'a Outputs,
    /// The run's folder.
    pub folder: &'a Path,
    /// The conditions that the faults made.
    pub conditions: &'a dyn Conditions,
    /// What the drill's checks say of recovery points, if one of them can judge any.
    pub checks: Option<&'a dyn PointChecks>,
    /// Where acts that change for good what is there are recorded before they are done.
    pub journal: &'a dyn Journal,
}

/// The conditions that the faults made, for the `lift` step.
#[async_trait]
pub trait Conditions: Send + Sync {
    /// Lifts every condition that is not lifted yet.
    async fn lift(&self) -> Result<(), Error>;
}

/// What the drill's checks say of a recovery point, for the step `restore`.
#[async_trait]
pub trait PointChecks: Send + Sync {
    /// Met if all checks that can judge a recovery point find in it what they planted before the disaster.
    async fn look(&self, beside: &PointBeside<'_>) -> Finding;
}

impl StepContext<'_> {
    /// Records an act on something before it is done, with what identifies it.
    ///
    /// # Errors
    /// When it could not be recorded: then the act must not be done.
    pub async fn record(&self, act: &str, on: &str, identity: Option<String>) -> Result<(), Error> {
        self.journal.acting(Receipt(json!({ "act": act, "on": on, "identity": identity }))).await
    }

    /// Records that a recovery point will take the place of what is there, and whether the database is a part of that.
    ///
    /// # Errors
    /// As `record`.
    async fn record_restore(&self, on: &str, point: &str, database: bool) -> Result<(), Error> {
        self.record("restore", on, Some(point.to_owned())).await?;
        if database { self.platform.ends(Identity::Database).await } else { Ok(()) }
    }
}

/// One line of the runbook.
#[async_trait]
pub trait Step: Send + Sync {
    /// Powers the environment must have.
    fn needs(&self) -> &'static [Power] {
        &[]
    }
    /// What the platform must allow, where permissions are asked for.
    fn permissions(&self) -> Vec<Permission> {
        vec![]
    }
    /// The component it is about, for its default id.
    fn component(&self) -> Option<&str> {
        None
    }
    /// The repository of the drill's that it is about; the plan says which one that is.
    fn repository(&self) -> Option<&DrillRepository> {
        None
    }
    /// What it restores by an engine, if the engine covers it. A step that restores anything needs one.
    fn restores(&self) -> &'static [Asset] {
        &[]
    }
    /// Does it wait for recovery points, or restore one? Then the drill must take backups.
    fn needs_points(&self) -> bool {
        !self.restores().is_empty()
    }
    /// Does it try recovery points beside the live state? Then the engine must be able to restore there.
    fn tries_points(&self) -> bool {
        false
    }
    /// Does it restore to the end of the server's log? Then the engine must receive that.
    fn replays_log(&self) -> bool {
        false
    }
    /// Can it tell a clean recovery point from another by itself? Otherwise the drill's checks must.
    fn judges_points(&self) -> bool {
        false
    }
    /// Is it undone by nothing but the platform's removal, should the run die? Then a standing platform is refused.
    fn needs_throw_away(&self) -> bool {
        false
    }
    /// Only the part of that under this prefix, or the model of this name.
    fn restores_only(&self) -> Option<&str> {
        None
    }
    /// What it takes away, as a loss does.
    fn takes(&self, _inventory: &Inventory) -> Vec<AssetUnder> {
        vec![]
    }
    /// What it brings back without an engine, of what was lost in this way.
    fn brings_back(&self, _loss: LossKind) -> Option<AssetUnder> {
        None
    }
    /// The figures of its finding that later steps may refer to.
    fn outputs(&self) -> &'static [&'static str] {
        &[]
    }
    /// Its texts that may refer to outputs of earlier steps, each with its key.
    fn texts(&self) -> Vec<(&'static str, &Text)> {
        vec![]
    }
    /// Carries it out.
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding;
}
