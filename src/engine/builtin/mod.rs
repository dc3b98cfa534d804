//! Lifeboat's own engine: logical backups of the platform's database, each verified by reading it back.
//!
//! A backup is one snapshot: the rows counted for the manifest and the rows dumped are the same. A restore goes
//! into a database at the side, is compared with the manifest, and takes the place of the live one in a single
//! transaction, so that clients see the old state, then none, then the whole new one.
//! Not here: the choice of a point, which is the runbook's.

mod dump;
mod manifest;
pub mod physical;
mod properties;
mod restore;

pub(super) use manifest::UnfinishedPoint;

use super::{Engine, SnapshotReader};
use crate::client::Error;
use crate::clock::Clock;
use crate::environment::{Asset, Platform, Power, Sql};
use crate::kind::Kind;
use crate::model::{Finding, RecoveryPoint};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::Client;

/// `builtin: { postgres: logical }`
pub const KIND: Kind<dyn Engine> = Kind {
    name: "builtin",
    about: "Dumps the database into a folder outside the blast radius and restores it without a half-restored state.",
    example: "builtin: { postgres: logical }",
    schema: |g| g.subschema_for::<Builtin>(),
    parse: |n, p| read::<Builtin>(n, p).map(|k| Box::new(k) as _),
};

/// Lifeboat's own engine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Builtin {
    /// How the database is backed up.
    postgres: Method,
}

/// How a database is backed up.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    /// By `pg_dump` of one snapshot, compressed by zstd.
    Logical,
}

#[async_trait]
impl Engine for Builtin {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql]
    }

    fn covers(&self) -> Vec<Asset> {
        vec![Asset::Database]
    }

    fn verifies(&self) -> bool {
        true
    }

    async fn backup(
        &self,
        platform: &dyn Platform,
        repository: &Path,
        id: &str,
        clock: &Clock,
        reader: Option<&dyn SnapshotReader>,
    ) -> Result<RecoveryPoint, Error> {
        let Method::Logical = self.postgres;
        let sql = platform.sql()?;
        dump::backup(sql, repository, id, clock, reader).await
    }

    async fn restore(&self, platform: &dyn Platform, repository: &Path, point: &RecoveryPoint) -> Finding {
        let sql = match platform.sql() {
            Ok(sql) => sql,
            Err(error) => return Finding::unknown(error.to_string()),
        };
        restore::restore(sql, &repository.join(&point.id)).await.unwrap_or_else(|t| Finding::missed(t.to_string()))
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

/// Runs blocking work on a thread that may block.
async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|e| Error::caused_by(what, e)),
        Err(e) => Err(Error::caused_by(what, e)),
    }
}
