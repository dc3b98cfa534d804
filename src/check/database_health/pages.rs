//! The pages of tables and indexes, as PostgreSQL's module `amcheck` reads them: `verify_heapam` each table with its long
//! values, `bt_index_check` each B-tree index with each row that must be in it.
//!
//! Where the module is not installed it is made for the length of one transaction, which is rolled back: nobody else ever
//! sees it, and nothing stays. Its locks are those of a `SELECT`.

use super::super::contents::{Differences, Meaning};
use super::{Figures, failed};
use crate::client::{Error, postgres};
use crate::clock::Deadline;
use crate::environment::Platform;
use postgres_protocol::escape::escape_identifier;
use std::collections::BTreeSet;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// One processor of the server, and no wait for locks longer than some seconds.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL search_path = pg_catalog;
    SET LOCAL jit = off;
    SET LOCAL max_parallel_workers_per_gather = 0;
    SET LOCAL lock_timeout = '5s'";

/// The schema in which the module is made; it never outlives the transaction.
const SCHEMA: &str = "lifeboat_health";

/// Tables, and indexes in use: users' own first, of these the tables, of these the small ones.
const RELATIONS: &str = "SELECT c.oid, format('%I.%I', coalesce(tn.nspname, n.nspname), coalesce(t.relname, c.relname)), \
    CASE WHEN t.oid IS NOT NULL THEN 'long values' WHEN c.relkind = 'i' THEN 'index' ELSE 'table' END, i.indrelid \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam \
    LEFT JOIN pg_index i ON i.indexrelid = c.oid \
    LEFT JOIN pg_class t ON t.reltoastrelid = c.oid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace \
    WHERE c.relpersistence <> 't' AND (c.relkind IN ('r', 'm', 't') AND a.amname = 'heap' \
        OR c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready AND i.indislive) \
    ORDER BY c.oid < 16384, c.relkind = 'i', pg_relation_size(c.oid)";

/// So many damages of one table are named.
const NAMED: usize = 3;

/// One table or index.
struct Relation {
    oid: u32,
    name: String,
    kind: String,
    /// Of an index, its table.
    table: Option<u32>,
}

/// Looks at every page.
pub async fn look(
    platform: &dyn Platform,
    deadline: Deadline,
    differences: &mut Differences,
) -> Result<Figures, Error> {
    let sql = platform.sql()?;
    let client = sql.connect(sql.database()).await?;
    let (checksums, before) = checksum_failures(&client).await?;
    execute(&client, BEGIN).await?;
    let amcheck = Amcheck::make(&client).await?;
    execute(&client, "SAVEPOINT look").await?;
    let (mut tables, mut indexes, mut late, mut damaged) = (0, 0, vec![], BTreeSet::new());
    for relation in relations(&client).await? {
        if deadline.passed() {
            late.push(format!("`{}`", relation.name));
            continue;
        }
        *if relation.kind == "index" { &mut indexes } else { &mut tables } += 1;
        // The rows of a damaged table cannot be looked up in its indexes: these are not to blame.
        let rows = relation.table.is_none_or(|table| !damaged.contains(&table));
        if amcheck.look(&client, &relation, rows, deadline, differences).await? {
            damaged.insert(relation.oid);
        }
    }
    differences.named(Meaning::Untold, "not looked at in time:", &late);
    execute(&client, "ROLLBACK").await?;
    let (_, after) = checksum_failures(&client).await?;
    if !checksums {
        differences.push(Meaning::Remark, "the server has no data checksums: a value that was damaged is not seen");
    } else if after > before {
        let text = format!("{} pages did not have their checksums when they were read", after - before);
        differences.push(Meaning::Harm, text);
    }
    Ok(vec![
        ("tables", tables.to_string()),
        ("indexes", indexes.to_string()),
        ("data checksums", if checksums { "on" } else { "off" }.to_owned()),
        ("checksum failures", after.to_string()),
    ])
}

/// Are there checksums, and how many pages of the database have failed theirs since the server last forgot? That
/// was not necessarily now: a page that was damaged and mended counts.
async fn checksum_failures(client: &Client) -> Result<(bool, i64), Error> {
    let query = "SELECT current_setting('data_checksums') = 'on', coalesce(checksum_failures, 0) \
        FROM pg_stat_database WHERE datname = current_database()";
    let row = postgres::one(client, query).await?;
    Ok((row.get(0), row.get(1)))
}

async fn relations(client: &Client) -> Result<Vec<Relation>, Error> {
    let rows = postgres::rows(client, RELATIONS).await?;
    Ok(rows
        .iter()
        .map(|row| Relation { oid: row.get(0), name: row.get(1), kind: row.get(2), table: row.get(3) })
        .collect())
}

/// The module, in a transaction.
struct Amcheck {
    /// Its schema, as SQL writes it.
    schema: String,
    /// Can it look for rows that break a unique index? Since PostgreSQL 17.
    unique: bool,
}

impl Amcheck {
    /// Finds the module in the database, or makes it.
    async fn make(client: &Client) -> Result<Self, Error> {
        const WHAT: &str = "cannot look at the pages of tables and indexes";
        let found = "SELECT (SELECT nspname::text FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace \
            WHERE extname = 'amcheck'), EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck')";
        let row = postgres::one(client, found).await?;
        let schema = match (row.get::<_, Option<String>>(0), row.get::<_, bool>(1)) {
            (Some(schema), _) => escape_identifier(&schema),
            (None, false) => {
                let error = Error::new(WHAT, "the server lacks PostgreSQL's module `amcheck`");
                return Err(error.hint("install PostgreSQL's contrib modules on the server"));
            }
            (None, true) => {
                let make = format!("CREATE SCHEMA {SCHEMA}; CREATE EXTENSION amcheck SCHEMA {SCHEMA}");
                client.batch_execute(&make).await.map_err(|e| Error::caused_by(WHAT, e))?;
                SCHEMA.to_owned()
            }
        };
        let three = format!("SELECT to_regprocedure('{schema}.bt_index_check(regclass,boolean,boolean)') IS NOT NULL");
        let unique = postgres::one(client, &three).await?.get(0);
        Ok(Self { schema, unique })
    }

    /// Looks at one table or index, at an index with or without the rows that must be in it. Is it damaged? What fails ends
    /// a part of the transaction only.
    async fn look(
        &self,
        client: &Client,
        relation: &Relation,
        rows: bool,
        deadline: Deadline,
        differences: &mut Differences,
    ) -> Result<bool, Error> {
        let Relation { oid, name, kind, .. } = relation;
        let Self { schema, unique } = self;
        let query = match kind.as_str() {
            "index" if *unique => format!("SELECT {schema}.bt_index_check({oid}::regclass, {rows}, {rows})"),
            "index" => format!("SELECT {schema}.bt_index_check({oid}::regclass, {rows})"),
            _ => format!(
                "SELECT format('page %s, row %s: %s', blkno, offnum, msg) \
                 FROM {schema}.verify_heapam({oid}::regclass, false, true, 'none') LIMIT {}",
                NAMED + 1
            ),
        };
        let what =
            if kind == "long values" { format!("the {kind} of `{name}`") } else { format!("the {kind} `{name}`") };
        execute(client, &format!("SET LOCAL statement_timeout = {}", deadline.left().as_millis().max(1))).await?;
        match client.query(&query, &[]).await {
            Ok(_) if kind == "index" => Ok(false),
            Ok(rows) => {
                let damages: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
                differences.named(Meaning::Harm, &format!("{what} is damaged:"), &damages);
                Ok(!damages.is_empty())
            }
            Err(error) if error.as_db_error().is_none() => {
                Err(Error::caused_by(format!("cannot look at {what}"), error))
            }
            Err(error) => {
                execute(client, "ROLLBACK TO look").await?;
                // Somebody has dropped it since it was listed.
                if error.code() == Some(&SqlState::UNDEFINED_TABLE) {
                    return Ok(false);
                }
                let (meaning, text) = failed(&what, &error);
                differences.push(meaning, text);
                Ok(meaning == Meaning::Harm)
            }
        }
    }
}

async fn execute(client: &Client, statements: &str) -> Result<(), Error> {
    client.batch_execute(statements).await.map_err(|e| Error::caused_by("cannot ask the database", e))
}
