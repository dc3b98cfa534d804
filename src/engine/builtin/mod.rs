//! Lifeboat's own engine: logical backups of the platform's database, each verified by reading it back, and with them
//! the artifacts, if asked.
//!
//! A backup is one snapshot: the rows counted for the manifest and the rows dumped are the same. A restore goes
//! into a database at the side, is compared with the manifest, and takes the place of the live one in a single
//! transaction, so that clients see the old state, then none, then the whole new one.
//! Not here: the choice of a point, which is the runbook's.

mod artifacts;
mod dump;
mod manifest;
mod own;
pub mod physical;
mod properties;
mod restore;
mod session;

use super::{Engine, EngineContext, Session};
use crate::client::Error;
use crate::environment::{Asset, Platform, Power, Sql};
use crate::kind::Kind;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use session::LogicalSession;
use std::time::Duration;
use tokio_postgres::Client;

/// `builtin: { postgres: logical }`
pub const KIND: Kind<dyn Engine> = Kind {
    name: "builtin",
    about: "Backs up the database, and the artifacts if asked, and restores them without a half-restored database.",
    example: "builtin: { postgres: logical, artifacts: objects }",
    schema: |g| g.subschema_for::<Builtin>(),
    parse: |n, p| read::<Builtin>(n, p).map(|k| Box::new(k) as _),
};

/// Lifeboat's own engine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Builtin {
    /// How the database is backed up.
    postgres: Method,
    /// How the artifacts are backed up; without it, they are not.
    #[serde(default)]
    artifacts: Option<ArtifactMethod>,
}

/// How a database is backed up.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    /// By `pg_dump` of one snapshot, compressed by zstd.
    Logical,
}

/// How artifacts are backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ArtifactMethod {
    /// By their bytes, in the same recovery point as the database; what has not changed is not read again.
    Objects,
}

#[async_trait]
impl Engine for Builtin {
    fn needs(&self) -> &'static [Power] {
        match self.artifacts {
            Some(ArtifactMethod::Objects) => &[Power::Sql, Power::Objects],
            None => &[Power::Sql],
        }
    }

    fn covers(&self) -> Vec<Asset> {
        std::iter::once(Asset::Database).chain(self.artifacts.map(|_| Asset::Artifacts)).collect()
    }

    fn verifies(&self) -> bool {
        true
    }

    fn uses_repositories(&self) -> bool {
        true
    }

    async fn open(&self, context: EngineContext) -> Result<Box<dyn Session>, Error> {
        let Method::Logical = self.postgres;
        Ok(Box::new(LogicalSession::begin(context, self.artifacts.is_some()).await?))
    }

    async fn tidy(&self, platform: &dyn Platform) -> Vec<String> {
        let tidied = async { restore::tidy(platform.sql()?).await };
        tidied.await.unwrap_or_else(|error| vec![format!("what a restore may have left: {error}")])
    }
}

/// A frozen server accepts connections and says nothing, hence the time-out.
async fn connect(sql: &dyn Sql, database: &str) -> Result<Client, Error> {
    let late = |_| Error::new(format!("cannot connect to database `{database}`"), "no answer within 10 s");
    tokio::time::timeout(Duration::from_secs(10), sql.connect(database)).await.map_err(late)?
}

/// Carries out statements that answer nothing.
async fn execute(client: &Client, what: &str, statements: &str) -> Result<(), Error> {
    client.batch_execute(statements).await.map_err(|e| Error::caused_by(what, e))
}
