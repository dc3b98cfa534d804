//! The seam of environments: the live place where a drill happens, and its powers.
//!
//! Rules of conduct. `survey` reads and never writes. `provision` writes a receipt to the journal before each
//! thing it creates; `open` finds what receipts name and creates nothing; `remove` may be called after any
//! prefix of `provision`, and twice: already gone is success. A power that the environment lacks is `None`,
//! and the plan has refused whatever needs it.

pub mod local;
pub mod simulated;

use crate::client::Trouble;
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Every environment, in the order of the documentation.
pub const ENVIRONMENTS: &[Kind<dyn Place>] = &[local::KIND, simulated::KIND];

/// An environment as written in a drill: it can be asked, set up, or found again.
#[async_trait]
pub trait Place: Send + Sync {
    /// The powers its environment will have.
    fn powers(&self) -> &'static [Power];
    /// The components its environment will have.
    fn components(&self) -> Vec<String>;
    /// What is missing for it, and what is there; reads only.
    async fn survey(&self) -> Survey;
    /// Sets it up: when this returns, every component serves and holds the seed.
    async fn provision(&self, run: &Lent, journal: Arc<dyn Journal>) -> Result<Arc<dyn Environment>, Trouble>;
    /// Removes what the receipts of a dead run name; answers what could not be removed.
    async fn remove(&self, run: &Lent, receipts: &[Receipt]) -> Vec<String>;
}

/// What an environment may be used for, and under which name.
#[derive(Debug, Clone)]
pub struct Lent {
    /// The run's name; everything created carries it.
    pub run: String,
    /// The run's folder, outside the blast radius; component logs go to `logs/` in it.
    pub folder: PathBuf,
}

/// Where intents are written, fsynced, before the act.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Something will be created; on disk when this returns.
    async fn creating(&self, receipt: Receipt) -> Result<(), Trouble>;
    /// What is being done, for people who wait.
    fn progress(&self, text: &str);
}

/// What was found when an environment was asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Survey {
    /// What stands against the drill; each with a hint. Any is a plan error.
    pub problems: Vec<String>,
    /// What is there: name and value, for `lifeboat plan`.
    pub facts: BTreeMap<String, String>,
}

/// Something that a fault, step or engine may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// Kill, stop, pause and start a component.
    Components,
    /// An administrator's connection to the database server.
    Sql,
    /// An administrator's S3 client.
    Objects,
}

impl std::fmt::Display for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.pad(match self {
            Self::Components => "components",
            Self::Sql => "sql",
            Self::Objects => "objects",
        })
    }
}

/// Where clients knock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Doors {
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

/// The live place.
#[async_trait]
pub trait Environment: Send + Sync {
    /// Where clients knock.
    fn doors(&self) -> &Doors;
    /// Power over components.
    fn components(&self) -> Option<&dyn Components> {
        None
    }
    /// An administrator's connection.
    fn sql(&self) -> Option<&dyn Sql> {
        None
    }
    /// An administrator's S3 client.
    fn objects(&self) -> Option<&dyn Objects> {
        None
    }
    /// Where it is, for its user, if it was asked to stay up when the drill is over; `remove` removes it all the same.
    fn kept(&self) -> Option<String> {
        None
    }
    /// Gives everything back; answers what could not be removed.
    async fn remove(&self) -> Vec<String>;
}

/// Power over components. Every call is idempotent; each returns when its effect is there.
#[async_trait]
pub trait Components: Send + Sync {
    /// What identifies the running instance, so that a restart can be told from none: a text, plain data.
    async fn instance(&self, component: &str) -> Result<Option<String>, Trouble>;
    /// Ends it at once, with all its processes.
    async fn kill(&self, component: &str) -> Result<(), Trouble>;
    /// Ends it in good order.
    async fn stop(&self, component: &str) -> Result<(), Trouble>;
    /// Starts it, if it does not run; returns when it is ready for clients.
    async fn start(&self, component: &str) -> Result<(), Trouble>;
    /// Freezes it with all its processes.
    async fn pause(&self, component: &str) -> Result<(), Trouble>;
    /// Lets it go on; nothing if it is not paused.
    async fn resume(&self, component: &str) -> Result<(), Trouble>;
    /// Met if it runs and is not frozen; missed if it is gone or frozen, with the reason.
    async fn alive(&self, component: &str) -> Finding;
}

/// An administrator's connection to the database server.
#[async_trait]
pub trait Sql: Send + Sync {
    /// The name of the platform's database.
    fn database(&self) -> &str;
    /// Connects, to a database of the server.
    async fn connect(&self, database: &str) -> Result<tokio_postgres::Client, Trouble>;
    /// A client tool of the server's own version (`pg_dump`, `pg_restore`), told where the server is.
    /// No secret is among its arguments.
    fn tool(&self, name: &str) -> tokio::process::Command;
}

/// An administrator's S3 client.
pub trait Objects: Send + Sync {
    /// The client.
    fn s3(&self) -> &aws_sdk_s3::Client;
    /// The bucket of the artifacts.
    fn bucket(&self) -> &str;
    /// What stands before MLflow's own artifact paths in the bucket, without a slash at its end.
    fn prefix(&self) -> &str;
}
