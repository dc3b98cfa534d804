//! The seam of environments: the platform where a drill happens, and its powers.
//!
//! Rules of conduct. `survey` reads and never writes. `provision` writes a receipt to the journal before each
//! thing it creates; `open` finds what receipts name and creates nothing; `remove` may be called after any
//! prefix of `provision`, and twice: already gone is success.

mod absent;
mod asset;
pub mod containers;
mod directory;
mod guard;
mod helper;
pub mod images;
mod inventory;
pub mod kubernetes;
pub mod local;
mod own_key;
mod power;
mod server;
pub mod simulated;
pub mod stack;
mod throwaway;
pub mod tools;
mod volumes;

pub use directory::{NewDirectory, empty};

pub use absent::AbsentPlatform;
pub use asset::{Asset, AssetUnder, LossKind};
pub use guard::{Act, Identity};
pub use inventory::{Inventory, Survey, Thing};
pub use power::{
    BucketPolicies, Cluster, Components, Cpu, CpuUse, Credentials, Disks, Exec, Memory, MemoryUse, MlflowKey, Network,
    Nodes, Objects, OldCredentials, Power, Removal, ServerKeys, Sql,
};

pub use server::{ArtifactBucket, ServerAddress, ServerPlatform};
pub use throwaway::{DeadServers, ThrowawayPlatform, ThrowawayServer};
pub use volumes::{SidePart, VolumeState, Volumes};

pub use crate::client::kubernetes::Permission;

use crate::client::Error;
use crate::kind::Kind;
use crate::model::Receipt;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Every environment, in the order of the documentation.
pub const ENVIRONMENTS: &[Kind<dyn Environment>] = &[local::KIND, containers::KIND, kubernetes::KIND, simulated::KIND];

/// An environment as written in a drill: it can be asked, set up, or found again.
#[async_trait]
pub trait Environment: Send + Sync {
    /// The powers its environment will have.
    fn powers(&self) -> Vec<Power>;
    /// What its environment will have that can be hit, as far as that is known without asking.
    fn inventory(&self) -> Inventory;
    /// Is it a standing platform, which somebody else made and opted in? Then it is never removed, and nothing is broken in
    /// it that could not be mended.
    fn standing(&self) -> bool {
        false
    }
    /// What is missing for it, and what is there; reads only. `wanted` is what the drill's faults and steps will do.
    async fn survey(&self, wanted: &[Permission]) -> Survey;
    /// Sets it up: when this returns, every component serves and holds the seed.
    async fn provision(&self, run: &RunContext, journal: Arc<dyn Journal>) -> Result<Arc<dyn Platform>, Error>;
    /// Finds what the receipts of a dead run name, and makes nothing; nothing if it is not worth finding, because
    /// `remove` takes away all that a fault can have touched. What is done to it then is written to the journal.
    async fn open(
        &self,
        _run: &RunContext,
        _receipts: &[Receipt],
        _journal: Arc<dyn Journal>,
    ) -> Result<Option<Arc<dyn Platform>>, Error> {
        Ok(None)
    }
    /// Removes what the receipts of a dead run name; answers what could not be removed.
    async fn remove(&self, run: &RunContext, receipts: &[Receipt]) -> Vec<String>;
}

/// What an environment may be used for, and under which name.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// The run's name; everything created carries it.
    pub run: String,
    /// The run's folder, outside the blast radius; component logs go to `logs/` in it.
    pub folder: PathBuf,
}

/// Where intents are written, fsynced, before the act.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Something will be created that is to be removed again; on disk when this returns.
    async fn creating(&self, receipt: Receipt) -> Result<(), Error>;
    /// What is there will be changed; on disk when this returns.
    async fn acting(&self, receipt: Receipt) -> Result<(), Error>;
    /// What is being done, for people who wait.
    fn progress(&self, text: &str);
}

/// Where clients connect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoints {
    /// MLflow's base URL.
    pub mlflow: Option<String>,
    /// PostgreSQL's connection URI of the platform's database, without password.
    pub postgres: Option<String>,
    /// The S3 endpoint.
    pub s3: Option<String>,
    /// The bucket of the artifacts.
    pub bucket: Option<String>,
    /// The file with the database password, in `PGPASSFILE`'s format.
    pub passfile: Option<PathBuf>,
}

impl Endpoints {
    /// Where a platform is that stays up, for its user.
    pub fn stay_up(&self) -> String {
        let endpoint = |endpoint: &Option<String>| endpoint.clone().unwrap_or_default();
        let passfile = self.passfile.clone().unwrap_or_default();
        format!(
            "the platform stays up: MLflow {}, PostgreSQL {} (PGPASSFILE={}), S3 {}",
            endpoint(&self.mlflow),
            endpoint(&self.postgres),
            passfile.display(),
            endpoint(&self.s3),
        )
    }
}

/// The live platform of a drill.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Where clients connect.
    fn endpoints(&self) -> &Endpoints;
    /// The run that it was made for, whose name every process that is started for it carries.
    fn run(&self) -> Option<&str> {
        None
    }
    /// Refuses, if this is no longer the platform that the drill was planned for; asked right before each act that
    /// writes or destroys. A platform made for the drill is always the right one.
    async fn guard(&self, _act: Act) -> Result<(), Error> {
        Ok(())
    }
    /// Records, before the act, that an act of the run ends an identity: what takes its place is another, and the guard
    /// must know why. A platform made for the drill is asked for none.
    async fn ends(&self, _identity: Identity) -> Result<(), Error> {
        Ok(())
    }
    /// What its owner has to know when the drill is over, such as a database that is another one now.
    fn news(&self) -> Vec<String> {
        vec![]
    }
    /// Is it a standing platform? Then others write here too, whom the drill does not know.
    fn standing(&self) -> bool {
        false
    }
    /// How often our own way to the endpoints has failed so far (a forwarded port, say), which is no outage of the platform:
    /// an answer that failed while this number grew is none.
    fn tunnel_failures(&self) -> u64 {
        0
    }
    /// Power over components.
    fn components(&self) -> Result<&dyn Components, Error> {
        Err(Power::Components.lacking())
    }
    /// Commands inside components.
    fn exec(&self) -> Result<&dyn Exec, Error> {
        Err(Power::Exec.lacking())
    }
    /// Power over the network between components.
    fn network(&self) -> Result<&dyn Network, Error> {
        Err(Power::Network.lacking())
    }
    /// Power over the components' memory.
    fn memory(&self) -> Result<&dyn Memory, Error> {
        Err(Power::Memory.lacking())
    }
    /// Power over the components' processors.
    fn cpu(&self) -> Result<&dyn Cpu, Error> {
        Err(Power::Cpu.lacking())
    }
    /// Power over the components' disks.
    fn disks(&self) -> Result<&dyn Disks, Error> {
        Err(Power::Disks.lacking())
    }
    /// Power over the data directories of components.
    fn volumes(&self) -> Result<&dyn Volumes, Error> {
        Err(Power::Volumes.lacking())
    }
    /// Power over the components' containers.
    fn removal(&self) -> Result<&dyn Removal, Error> {
        Err(Power::Removal.lacking())
    }
    /// An administrator's connection.
    fn sql(&self) -> Result<&dyn Sql, Error> {
        Err(Power::Sql.lacking())
    }
    /// An administrator's S3 client.
    fn objects(&self) -> Result<&dyn Objects, Error> {
        Err(Power::Objects.lacking())
    }
    /// The bucket's policy, and MLflow's own key.
    fn policies(&self) -> Result<&dyn BucketPolicies, Error> {
        Err(Power::Policies.lacking())
    }
    /// Power over MLflow's own key.
    fn keys(&self) -> Result<&dyn ServerKeys, Error> {
        Err(Power::Keys.lacking())
    }
    /// Power over the platform's own credentials.
    fn credentials(&self) -> Result<&dyn Credentials, Error> {
        Err(Power::Credentials.lacking())
    }
    /// The cluster's API.
    fn cluster(&self) -> Result<&dyn Cluster, Error> {
        Err(Power::Cluster.lacking())
    }
    /// Power over the machines.
    fn nodes(&self) -> Result<&dyn Nodes, Error> {
        Err(Power::Nodes.lacking())
    }
    /// Where it is, for its user, if it was asked to stay up when the drill is over; `remove` removes it all the same.
    fn kept(&self) -> Option<String> {
        None
    }
    /// Gives everything back: removes what was made for the drill, and puts back on a standing platform what the run
    /// changed of it. Answers what could not be removed or put back.
    async fn remove(&self) -> Vec<String>;
}
