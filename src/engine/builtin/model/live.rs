//! The chosen rows in the live database: one transaction in which they are compared with what is there, written, and in
//! which it is proved that nothing else has changed.
//!
//! The transaction reads one state all along (`REPEATABLE READ`), so that what others write meanwhile is in none of its
//! digests: a digest of the other rows that is another one at the end was changed by this transaction, by a trigger say,
//! and then nothing is committed.

use super::numbers::renumber;
use super::selection::Selection;
use super::tables::{CopiedTable, beside, listed, tables};
use crate::client::{Error, postgres};
use crate::engine::ModelRestore;
use futures::{SinkExt, TryStreamExt};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use std::collections::BTreeMap;
use std::pin::pin;
use tokio_postgres::Client;

/// How many rows of a kind are named.
const NAMED: i64 = 3;

/// What both sessions must agree on for a value to be the same text in both, and how long a lock may take.
const SETTINGS: &str = "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; \
    SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL lock_timeout = '10s'";

/// What the live database has of the chosen rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRows {
    /// The table.
    pub table: String,
    /// Rows that are chosen.
    pub chosen: i64,
    /// Of these, rows that are not there.
    pub absent: i64,
    /// Own rows that are there and differ.
    pub differing: i64,
    /// The keys of some of these.
    pub named: Vec<String>,
    /// Rows that are only needed and whose place something else has taken, by their keys.
    pub taken: Vec<String>,
}

/// The transaction.
pub struct LiveRows<'a> {
    live: &'a Client,
    /// The tables of which rows are chosen, in the order in which they can be written.
    order: Vec<(String, CopiedTable)>,
    /// Do rows that differ become as they were?
    replace: bool,
}

/// How many rows, and the digest of all of them, of every table.
type OtherRows = BTreeMap<String, (i64, String)>;

impl<'a> LiveRows<'a> {
    /// Begins, and copies the chosen rows beside the live ones.
    pub async fn begin(live: &'a Client, selection: &Selection<'_>, wanted: &ModelRestore) -> Result<Self, Error> {
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {SETTINGS}");
        live.batch_execute(&begin).await.map_err(wrote)?;
        let there = tables(live).await?;
        let mut order = vec![];
        for table in selection.in_order() {
            let (here, live) = (&selection.tables[table], there.get(table));
            if live.is_none_or(|live| (&live.columns, &live.key) != (&here.columns, &here.key)) {
                let why = "the live database has another shape of it than the point";
                return Err(Error::new(format!("the table `{table}`"), why).hint(
                    "the point is of another version of MLflow: restore it beside with `--into`, and upgrade it there",
                ));
            }
            order.push((table.to_owned(), here.clone()));
        }
        let this = Self { live, order, replace: wanted.replace };
        for (number, (table, shape)) in this.order.iter().enumerate() {
            this.copy(selection, number, table, shape).await?;
        }
        if wanted.elsewhere {
            renumber(live, selection, &this.order).await?;
        }
        Ok(this)
    }

    async fn copy(&self, from: &Selection<'_>, number: usize, table: &str, shape: &CopiedTable) -> Result<(), Error> {
        let beside = beside(number);
        let make = format!(
            "CREATE TEMP TABLE {beside} ON COMMIT DROP AS SELECT false AS \"lifeboat own\", {} FROM {table} it WITH NO DATA",
            shape.of("it")
        );
        self.live.batch_execute(&make).await.map_err(wrote)?;
        let rows = format!("COPY (SELECT mark.own, {} FROM {}) TO STDOUT", shape.of("chosen"), from.chosen(table));
        let mut rows = pin!(from.side.copy_out(&rows).await.map_err(wrote)?);
        let mut into = pin!(self.live.copy_in(&format!("COPY {beside} FROM STDIN")).await.map_err(wrote)?);
        while let Some(bytes) = rows.try_next().await.map_err(wrote)? {
            into.send(bytes).await.map_err(wrote)?;
        }
        into.finish().await.map_err(wrote)?;
        self.live.batch_execute(&format!("ANALYZE {beside}")).await.map_err(wrote)
    }

    /// Compares the chosen rows with what is there.
    pub async fn found(&self) -> Result<Vec<FoundRows>, Error> {
        let mut all = vec![];
        for (number, (table, shape)) in self.order.iter().enumerate() {
            let joined = format!("{} own LEFT JOIN {table} it ON {}", beside(number), shape.same_key("own", "it"));
            let differs = format!("ROW({})::text <> ROW({})::text", shape.of("own"), shape.of("it"));
            let differing = format!("it.ctid IS NOT NULL AND own.\"lifeboat own\" AND {differs}");
            let counted = format!(
                "SELECT count(*), count(*) FILTER (WHERE it.ctid IS NULL), count(*) FILTER (WHERE {differing}) FROM {joined}"
            );
            let counted = postgres::one(self.live, &counted).await?;
            let key = format!("concat_ws('/', {})", listed(&shape.key, "own"));
            let names =
                |condition: &str| format!("SELECT {key} FROM {joined} WHERE {condition} ORDER BY 1 LIMIT {NAMED}");
            let named = postgres::rows(self.live, &names(&differing)).await?;
            // A row of the same number that was made at another time is another one's.
            let made = shape.has(&["creation_time".to_owned()]);
            let other = "it.ctid IS NOT NULL AND NOT own.\"lifeboat own\" AND it.creation_time IS DISTINCT FROM own.creation_time";
            let taken = if made { postgres::rows(self.live, &names(other)).await? } else { vec![] };
            all.push(FoundRows {
                table: table.clone(),
                chosen: counted.get(0),
                absent: counted.get(1),
                differing: counted.get(2),
                named: named.iter().map(|row| row.get(0)).collect(),
                taken: taken.iter().map(|row| row.get(0)).collect(),
            });
        }
        Ok(all)
    }

    /// What a column holds in the chosen rows of a table that are not there.
    pub async fn absent(&self, table: &str, column: &str) -> Result<Vec<String>, Error> {
        let Some(number) = self.order.iter().position(|(name, _)| name == table) else { return Ok(vec![]) };
        let shape = &self.order[number].1;
        let query = format!(
            "SELECT own.{0} FROM {1} own WHERE own.{0} IS NOT NULL AND NOT EXISTS (SELECT FROM {table} it WHERE {2})",
            escape_identifier(column),
            beside(number),
            shape.same_key("own", "it")
        );
        Ok(postgres::rows(self.live, &query).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Writes what is absent, and what differs if that was asked for; answers how many other rows there are, all of which
    /// are as they were.
    pub async fn write(self) -> Result<i64, Error> {
        let before = self.others().await?;
        for (number, (table, shape)) in self.order.iter().enumerate() {
            if self.replace {
                self.change(number, table, shape).await?;
            }
            let add = format!(
                "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} own \
                 WHERE NOT EXISTS (SELECT FROM {table} it WHERE {})",
                shape.of("own"),
                beside(number),
                shape.same_key("own", "it"),
                names = quoted(shape.columns.iter().map(|(name, _)| name)),
            );
            self.live.batch_execute(&add).await.map_err(wrote)?;
            self.advance(number, table, shape).await?;
        }
        self.live.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.map_err(wrote)?;
        let wrong = self.found().await?.into_iter().find(|rows| rows.absent > 0 || rows.differing > 0);
        if let Some(rows) = wrong {
            let why = format!("{} of its rows are not as they were written", rows.absent + rows.differing);
            return Err(
                Error::new(format!("the table `{}`", rows.table), why).hint("nothing was committed; has it a trigger?")
            );
        }
        let after = self.others().await?;
        if let Some(table) = before.iter().find(|(table, rows)| after.get(*table) != Some(rows)).map(|(table, _)| table)
        {
            let error = Error::new(format!("the table `{table}`"), "to put the model's rows back changes others in it");
            return Err(error.hint("nothing was committed; has a table a trigger?"));
        }
        self.live.batch_execute("COMMIT").await.map_err(wrote)?;
        Ok(before.values().map(|(rows, _)| rows).sum())
    }

    /// Ends without effect.
    pub async fn leave(self) -> Result<(), Error> {
        self.live.batch_execute("ROLLBACK").await.map_err(wrote)
    }

    async fn change(&self, number: usize, table: &str, shape: &CopiedTable) -> Result<(), Error> {
        let set = |name: &String| format!("{0} = own.{0}", escape_identifier(name));
        let names = shape.columns.iter().map(|(name, _)| name).filter(|name| !shape.key.contains(name));
        let set: Vec<_> = names.map(set).collect();
        if set.is_empty() {
            return Ok(());
        }
        let change = format!(
            "UPDATE {table} it SET {} FROM {} own WHERE own.\"lifeboat own\" AND {} AND ROW({})::text <> ROW({})::text",
            set.join(", "),
            beside(number),
            shape.same_key("own", "it"),
            shape.of("own"),
            shape.of("it"),
        );
        self.live.batch_execute(&change).await.map_err(wrote)
    }

    /// Moves the sequences of a table on to the numbers that were written, never back.
    async fn advance(&self, number: usize, table: &str, shape: &CopiedTable) -> Result<(), Error> {
        for (name, _) in &shape.columns {
            let (table, column) = (escape_literal(table), escape_literal(name));
            let sequence = format!("SELECT pg_get_serial_sequence({table}, {column})");
            let sequence = postgres::one(self.live, &sequence).await?;
            let Some(sequence) = sequence.get::<_, Option<String>>(0) else { continue };
            let advance = format!(
                "SELECT setval({}, top.value) FROM (SELECT max({})::bigint AS value FROM {}) top \
                 WHERE top.value > (SELECT last_value FROM {sequence})",
                escape_literal(&sequence),
                escape_identifier(name),
                beside(number)
            );
            self.live.batch_execute(&advance).await.map_err(wrote)?;
        }
        Ok(())
    }

    /// The digests of all rows that are not chosen. A second sum, of digests of the digests, makes it certain that no two
    /// changes cancel each other.
    async fn others(&self) -> Result<OtherRows, Error> {
        let mut others = OtherRows::new();
        for table in tables(self.live).await?.keys() {
            let chosen = self.order.iter().position(|(name, _)| name == table).map(|number| {
                let same = self.order[number].1.same_key("own", "\"lifeboat row\"");
                format!(" WHERE NOT EXISTS (SELECT FROM {} own WHERE {same})", beside(number))
            });
            let query = format!(
                "SELECT count(*), concat(sum(hash), '/', sum(hashint8extended(hash, 7))) FROM (SELECT \
                 hashtextextended(\"lifeboat row\"::text, 0) AS hash FROM {table} \"lifeboat row\"{} OFFSET 0) rows",
                chosen.unwrap_or_default()
            );
            let row = postgres::one(self.live, &query).await?;
            others.insert(table.clone(), (row.get(0), row.get(1)));
        }
        Ok(others)
    }
}

fn quoted<'n>(names: impl Iterator<Item = &'n String>) -> String {
    names.map(|name| escape_identifier(name)).collect::<Vec<_>>().join(", ")
}

fn wrote(error: tokio_postgres::Error) -> Error {
    Error::caused_by("cannot put the model's rows back", error)
}
