//! The database and the tables that a fault is bound to, each by its oid: what several faults that strike by SQL share.
//!
//! A database of the same name that was restored since, a table of the same name that was made since, or another server
//! at the same address is never mistaken for the one that was meant.
//! Not here: what is done to them.

use crate::client::Error;
use crate::environment::Platform;
use crate::node::{Node, Problem};
use postgres_protocol::escape::escape_identifier;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// The component that holds the database, if nothing is said.
pub fn postgres() -> String {
    "postgres".into()
}

/// How long a lock on tables may take that clients hold for a moment only.
const LOCK: Duration = Duration::from_secs(10);
/// How long clients may keep a table from being taken; then their sessions are ended.
const FORCE: Duration = Duration::from_secs(1);
/// So often is that tried: clients come again.
const TRIES: usize = 10;

/// The platform's database: its server by the system identifier, and itself by its oid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundDatabase {
    system: String,
    name: String,
    oid: u32,
}

/// A table of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundTable {
    /// Its name with its schema, as SQL writes it.
    pub name: String,
    /// Its oid: a table that is made anew has another.
    pub oid: u32,
}

/// Connects to the platform's database and binds it. A frozen server accepts connections and says nothing, hence the
/// time-out.
///
/// # Errors
/// If it does not answer.
pub async fn bind(platform: &dyn Platform) -> Result<(Client, BoundDatabase), Error> {
    let sql = platform.sql()?;
    let late = |_| Error::new(format!("cannot connect to database `{}`", sql.database()), "no answer within 10 s");
    let client = tokio::time::timeout(Duration::from_secs(10), sql.connect(sql.database())).await.map_err(late)??;
    let query = "SELECT system_identifier::text, current_database()::text, oid \
        FROM pg_control_system(), pg_database WHERE datname = current_database()";
    let row = client.query_one(query, &[]).await.map_err(asked)?;
    Ok((client, BoundDatabase { system: row.get(0), name: row.get(1), oid: row.get(2) }))
}

/// Connects to the database that was bound.
///
/// # Errors
/// If it does not answer, or if another answers in its place.
pub async fn rejoin(platform: &dyn Platform, bound: &BoundDatabase) -> Result<Client, Error> {
    let (client, now) = bind(platform).await?;
    if now == *bound {
        return Ok(client);
    }
    Err(Error::new(format!("the database `{}`", bound.name), "it is not the one that was meant: another stands there"))
}

/// Binds tables by the names that a file has for them: `metrics`, or `schema.metrics`.
///
/// # Errors
/// If one is not there.
pub async fn tables(client: &Client, names: &[String]) -> Result<Vec<BoundTable>, Error> {
    let query = "SELECT format('%I.%I', n.nspname, c.relname), c.oid FROM pg_class c \
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p')";
    let mut bound = vec![];
    for name in names {
        let row = client.query_opt(query, &[name]).await.map_err(asked)?;
        let row = row.ok_or_else(|| Error::new(format!("cannot find the table `{name}`"), "it is not there"))?;
        bound.push(BoundTable { name: row.get(0), oid: row.get(1) });
    }
    Ok(bound)
}

/// Begins a transaction that holds these tables locked in this mode, and has proved that they are those that were bound.
/// It ends without effect with the client.
///
/// # Errors
/// If a table is gone or another, or if a client holds it too long.
pub async fn locked(client: &Client, tables: &[BoundTable], mode: &str) -> Result<(), Error> {
    lock(client, tables, mode, LOCK).await.map_err(|e| Error::caused_by(LOCKING, e))?;
    proved(client, tables).await
}

/// As [`locked`], for oneself alone and against whoever uses the tables: a backup may hold them for hours. Sessions that do
/// not let go are ended, as those are whose database is dropped.
///
/// # Errors
/// If a table is gone or another, or if clients come again too often.
pub async fn forced(client: &Client, tables: &[BoundTable]) -> Result<(), Error> {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE granted AND relation = ANY($1) \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()";
    let oids: Vec<_> = tables.iter().map(|table| table.oid).collect();
    let mut tries = 0;
    loop {
        tries += 1;
        match lock(client, tables, "ACCESS EXCLUSIVE", FORCE).await {
            Ok(()) => return proved(client, tables).await,
            Err(error) if tries < TRIES && held(&error) => {
                client.batch_execute("ROLLBACK").await.map_err(asked)?;
                client.query_one(end, &[&oids]).await.map_err(asked)?;
            }
            Err(error) => return Err(Error::caused_by(LOCKING, error)),
        }
    }
}

const LOCKING: &str = "cannot lock the tables";

async fn lock(
    client: &Client,
    tables: &[BoundTable],
    mode: &str,
    within: Duration,
) -> Result<(), tokio_postgres::Error> {
    let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
    let (within, names) = (within.as_millis(), names.join(", "));
    client.batch_execute(&format!("BEGIN; SET LOCAL lock_timeout = {within}; LOCK TABLE {names} IN {mode} MODE")).await
}

/// Does somebody else hold what is to be locked?
fn held(error: &tokio_postgres::Error) -> bool {
    let codes = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| codes.contains(code))
}

async fn proved(client: &Client, tables: &[BoundTable]) -> Result<(), Error> {
    for table in tables {
        let now = client.query_one("SELECT to_regclass($1)::oid", &[&table.name]).await.map_err(asked)?;
        if now.get::<_, Option<u32>>(0) != Some(table.oid) {
            let what = format!("the table `{}`", table.name);
            return Err(Error::new(what, "it is not the one that was meant: another stands there"));
        }
    }
    Ok(())
}

/// Which of these oids are still in a catalogue, such as `pg_class`.
///
/// # Errors
/// If the database does not answer.
pub async fn still_there(client: &Client, catalogue: &str, oids: &[u32]) -> Result<Vec<u32>, Error> {
    let query = format!("SELECT oid FROM {catalogue} WHERE oid = ANY($1)");
    let rows = client.query(&query, &[&oids]).await.map_err(asked)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The columns of a table's primary key, in their order.
///
/// # Errors
/// If the database does not answer.
pub async fn key(client: &Client, table: &BoundTable) -> Result<Vec<String>, Error> {
    let query = "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid \
        AND a.attnum = ANY(i.indkey::int2[]) WHERE i.indrelid = $1 AND i.indisprimary \
        ORDER BY array_position(i.indkey::int2[], a.attnum)";
    let rows = client.query(query, &[&table.oid]).await.map_err(asked)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Which share of a table's rows is struck.
#[derive(Debug, Clone, Copy)]
pub struct RowShare {
    /// So many of a hundred; all if nothing is said.
    pub percent: Option<u64>,
    /// Draws them.
    pub seed: u64,
}

impl RowShare {
    /// A problem, if the share is none.
    pub fn check(self, node: &Node, problems: &mut Vec<Problem>) {
        if self.percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
            let at = node.get("percent").unwrap_or(node);
            problems.push(Problem::new(at, "`percent` is from 1 to 100").hint("leave it out for all"));
        }
    }

    /// What is aimed at, in words.
    pub fn told(self, what: &str) -> String {
        match self.percent {
            Some(percent) => format!("{percent} % of {what} (drawn by seed {})", self.seed),
            None => format!("all of {what}"),
        }
    }

    /// SQL that says of a row whether it is drawn: by a digest of its key, which no release of the server changes.
    pub fn drawn(self, key: &[String]) -> String {
        let Some(percent) = self.percent else { return "true".to_owned() };
        let key: Vec<_> = key.iter().map(|column| format!("{}::text", escape_identifier(column))).collect();
        let text = format!("concat_ws('/', '{}', {})", self.seed, key.join(", "));
        format!("('x' || substr(md5({text}), 1, 8))::bit(32)::bigint % 100 < {percent}")
    }
}

/// The seed, if nothing is said.
pub fn one() -> u64 {
    1
}

/// The database did not answer a question.
pub fn asked(error: tokio_postgres::Error) -> Error {
    Error::caused_by("cannot ask the database", error)
}
