//! The environment `containers`: a throw-away platform of Docker containers on this machine.
//!
//! Each run has networks, volumes and containers of its own that carry its name and its labels, and ports that only
//! this machine reaches: so runs do not meet, and a dead one can be cleaned up by its label.

mod cleanup;
mod component;
mod container_spec;
mod cpu;
mod disks;
mod helper;
mod labels;
mod memory;
mod network;
mod platform;
mod restart;
mod survey;

use super::images::Images;
use super::{Environment, Inventory, Journal, Permission, Platform, Power, RunContext, Survey, Thing, stack};
use crate::client::Error;
use crate::client::containers::ContainerEngine;
use crate::kind::Kind;
use crate::model::Receipt;
use crate::node::read;
use async_trait::async_trait;
use restart::Restart;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// The kind.
pub const KIND: Kind<dyn Environment> = Kind {
    name: "containers",
    about: "A throw-away platform of Docker containers: MLflow, PostgreSQL and the S3 server VersityGW.",
    example: "containers: { keep: false, images: built, restart: unless-stopped }",
    schema: |g| g.subschema_for::<Containers>(),
    parse: |n, p| read::<Containers>(n, p).map(|k| Box::new(k) as _),
};

/// A throw-away platform of containers on this machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Containers {
    /// Leave the platform up when the drill is over, and say where it is; `lifeboat cleanup RUN` removes it.
    #[serde(default)]
    keep: bool,
    /// The images: `official`, `built` (by `make images`), or images by component.
    #[serde(default)]
    images: Images,
    /// Whether the engine starts a component again that ended by itself: `unless-stopped`, `always` or `no`. What was
    /// killed, stopped or removed through the engine, as faults and steps do it, stays down in any case.
    #[serde(default)]
    restart: Restart,
}

#[async_trait]
impl Environment for Containers {
    fn powers(&self) -> Vec<Power> {
        use Power::{
            Components, Cpu, Disks, Exec, Keys, Memory, Mlflow, Network, Objects, Policies, Removal, Sql, Volumes,
        };
        vec![Components, Exec, Network, Memory, Cpu, Disks, Volumes, Removal, Mlflow, Sql, Objects, Policies, Keys]
    }

    fn inventory(&self) -> Inventory {
        let disks = |component| container_spec::volumes(component).iter().map(move |path| Thing::disk(path, component));
        let mut inventory = stack::inventory();
        inventory.things.extend(stack::COMPONENTS.into_iter().flat_map(disks));
        inventory
    }

    async fn survey(&self, _: &[Permission]) -> Survey {
        survey::survey(&self.images).await
    }

    async fn provision(&self, run: &RunContext, journal: Arc<dyn Journal>) -> Result<Arc<dyn Platform>, Error> {
        let engine = ContainerEngine::own()?;
        let made = platform::ContainersPlatform::provision(&engine, run, self, journal);
        match Box::pin(made).await {
            Ok(platform) => Ok(Arc::new(platform)),
            Err(error) => {
                cleanup::remove_labelled(&engine, run).await; // what is left is found again by the receipts
                Err(error)
            }
        }
    }

    async fn remove(&self, run: &RunContext, receipts: &[Receipt]) -> Vec<String> {
        cleanup::remove(run, receipts).await
    }
}
