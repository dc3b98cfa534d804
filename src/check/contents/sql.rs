//! One snapshot of the database, in which everything is read, with the settings that make texts comparable.
//!
//! It takes no lock beyond the one that a `SELECT` takes, waits for no lock longer than some seconds, and uses no more
//! of the server than its limits say.

use crate::client::{Error, postgres};
use crate::environment::Platform;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::{Client, Row};

/// A transaction that reads one state and writes nothing.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Settings that change how a value is written, and bounds on what reading may cost: one process of the server, so that
/// clients have the other processors (3 million metrics take it 5 s: `benches/contents.rs`). `row_security` off makes the
/// server refuse where it would otherwise leave rows out in silence.
const SETTINGS: &str = "SET LOCAL search_path = pg_catalog;
    SET LOCAL datestyle = 'ISO, YMD';
    SET LOCAL intervalstyle = 'postgres';
    SET LOCAL timezone = 'UTC';
    SET LOCAL extra_float_digits = 1;
    SET LOCAL bytea_output = 'hex';
    SET LOCAL xmloption = 'content';
    SET LOCAL lc_monetary = 'C';
    SET LOCAL quote_all_identifiers = off;
    SET LOCAL row_security = off;
    SET LOCAL jit = off;
    SET LOCAL max_parallel_workers_per_gather = 0;
    SET LOCAL lock_timeout = '5s';
    SET LOCAL statement_timeout = '45s'";

/// A connection in a transaction that reads one state and writes nothing; it ends with this value.
pub struct DatabaseSnapshot(Client);

impl DatabaseSnapshot {
    /// Connects to the platform's database and begins.
    pub async fn begin(platform: &dyn Platform) -> Result<Self, Error> {
        Self::begin_with(platform, BEGIN).await
    }

    /// Connects and joins the snapshot of another transaction, which has exported it under this name and is still open.
    pub async fn join(platform: &dyn Platform, snapshot: &str) -> Result<Self, Error> {
        let name = escape_literal(snapshot);
        Self::begin_with(platform, &format!("{BEGIN}; SET TRANSACTION SNAPSHOT {name}")).await
    }

    async fn begin_with(platform: &dyn Platform, begin: &str) -> Result<Self, Error> {
        let (sql, begin) = (platform.sql()?, format!("{begin}; {SETTINGS}"));
        let client = sql.connect(sql.database()).await?;
        client.batch_execute(&begin).await.map_err(|e| Error::caused_by("cannot begin to read the database", e))?;
        Ok(Self(client))
    }

    /// The same, for who may wait: each question may take hours.
    pub async fn unhurried(self) -> Result<Self, Error> {
        let limit = self.0.batch_execute("SET LOCAL statement_timeout = '6h'").await;
        limit.map(|()| self).map_err(|e| Error::caused_by("cannot begin to read the database", e))
    }

    /// The connection, inside the transaction.
    pub fn client(&self) -> &Client {
        &self.0
    }

    /// All rows that a query answers.
    pub async fn rows(&self, query: &str) -> Result<Vec<Row>, Error> {
        postgres::rows(&self.0, query).await
    }
}

/// The name of the n-th table of a way: one that no column has.
pub fn alias(at: usize) -> String {
    format!("\"lifeboat {at}\"")
}

/// A column of the n-th table of a way.
pub fn column(at: usize, name: &str) -> String {
    format!("{}.{}", alias(at), escape_identifier(name))
}
