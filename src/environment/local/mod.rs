//! The environment `local`: a throw-away platform of ordinary processes on this machine.
//!
//! Each run has a folder under the state folder, random ports, passwords and keys, and every process carries the
//! run's name in its environment: so runs do not meet, and a dead one can be cleaned up by its name.

mod cleanup;
mod component;
mod credentials;
mod disk;
mod mlflow;
mod platform;
mod postgres;
mod setup;
mod side;
mod survey;
mod versitygw;
mod volumes;

pub(super) use component::ComponentProcess;
pub(super) use postgres::user as database_user;
pub use side::LocalVolume;
pub(super) use side::{SideServer, SideSettings, SideSql};
pub use volumes::LocalVolumes;

use super::{Environment, Inventory, Journal, Permission, Platform, Power, RunContext, Survey, Thing, stack};
use crate::client::Error;
use crate::kind::Kind;
use crate::model::Receipt;
use crate::node::read;
use crate::store;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kind.
pub const KIND: Kind<dyn Environment> = Kind {
    name: "local",
    about: "A throw-away platform of processes on this machine: MLflow, PostgreSQL and the S3 server VersityGW.",
    example: "local: { keep: false }",
    schema: |g| g.subschema_for::<Local>(),
    parse: |n, p| read::<Local>(n, p).map(|k| Box::new(k) as _),
};

/// The file that says to which run a folder belongs.
const MARKER: &str = ".lifeboat-run";

/// A throw-away platform of processes on this machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Local {
    /// Leave the platform up when the drill is over, and say where it is; `lifeboat cleanup RUN` removes it.
    #[serde(default)]
    keep: bool,
}

#[async_trait]
impl Environment for Local {
    fn powers(&self) -> Vec<Power> {
        use Power::{Components, Credentials, Disks, Keys, Mlflow, Objects, Policies, Sql, Volumes};
        vec![Components, Disks, Mlflow, Sql, Objects, Policies, Keys, Credentials, Volumes]
    }

    fn inventory(&self) -> Inventory {
        let mut inventory = stack::inventory();
        inventory.things.push(Thing::disk("data", stack::COMPONENTS[0]));
        inventory
    }

    async fn survey(&self, _: &[Permission]) -> Survey {
        survey::survey().await
    }

    async fn provision(&self, run: &RunContext, journal: Arc<dyn Journal>) -> Result<Arc<dyn Platform>, Error> {
        match platform::LocalPlatform::provision(run, self.keep, journal).await {
            Ok(platform) => Ok(Arc::new(platform)),
            Err(error) => {
                cleanup::remove(&run.run, &[]).await; // what is left is found again by the receipts
                Err(error)
            }
        }
    }

    async fn remove(&self, run: &RunContext, receipts: &[Receipt]) -> Vec<String> {
        cleanup::remove(&run.run, receipts).await
    }
}

/// The folder of a run's platform.
fn folder(run: &str) -> PathBuf {
    store::state().join(run)
}

/// Makes a folder with its parents; what is made anew others may enter, because PostgreSQL may be another user.
pub(super) fn make_folder(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if !path.is_dir() => Err(error),
        Err(_) => Ok(()), // another run was quicker
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
    }
}
