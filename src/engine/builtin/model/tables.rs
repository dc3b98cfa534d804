//! The tables of a database with their columns and keys, as its catalogue has them.
//!
//! Apart because rows are chosen, copied and compared by what the catalogue says, never by a list of MLflow's columns: a
//! column or table of a newer MLflow is taken along.

use crate::client::{Error, postgres};
use postgres_protocol::escape::escape_identifier;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Client, Row};

/// A table whose rows can be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its columns and their types, in their order; those that the server computes are left out.
    pub columns: Vec<(String, String)>,
    /// Those that are never empty.
    pub required: BTreeSet<String>,
    /// The columns of its primary key; all, if it has none.
    pub key: Vec<String>,
}

/// All tables of a database, by their names with the schema as SQL writes them.
pub type CopiedTables = BTreeMap<String, CopiedTable>;

const TABLES: &str = "SELECT format('%I.%I', n.nspname, c.relname), \
    ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped \
        AND attgenerated = '' ORDER BY attnum), \
    ARRAY(SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 \
        AND NOT attisdropped AND attgenerated = '' ORDER BY attnum), \
    ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND attnotnull), \
    ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid \
        AND a.attnum = ANY(i.indkey::int2[]) WHERE i.indrelid = c.oid AND i.indisprimary \
        ORDER BY array_position(i.indkey::int2[], a.attnum)) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence <> 't' \
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Reads them.
pub async fn tables(client: &Client) -> Result<CopiedTables, Error> {
    let table = |row: &Row| {
        let (names, types): (Vec<String>, Vec<String>) = (row.get(1), row.get(2));
        let (required, key): (Vec<String>, Vec<String>) = (row.get(3), row.get(4));
        let key = if key.is_empty() { names.clone() } else { key };
        let columns = names.into_iter().zip(types).collect();
        (row.get(0), CopiedTable { columns, required: required.into_iter().collect(), key })
    };
    Ok(postgres::rows(client, TABLES).await?.iter().map(table).collect())
}

impl CopiedTable {
    /// Its columns, as SQL writes them, each of the row of this name.
    pub fn of(&self, row: &str) -> String {
        listed(self.columns.iter().map(|(name, _)| name), row)
    }

    /// SQL that says whether two rows have the same key.
    pub fn same_key(&self, one: &str, other: &str) -> String {
        let same = |name: &String| format!("{one}.{0} IS NOT DISTINCT FROM {other}.{0}", escape_identifier(name));
        // `=` can be looked up in an index; what is part of a primary key is never empty.
        let equal = |name: &String| format!("{one}.{0} = {other}.{0}", escape_identifier(name));
        let pairs = self.key.iter().map(|name| if self.required.contains(name) { equal(name) } else { same(name) });
        pairs.collect::<Vec<_>>().join(" AND ")
    }

    /// Does it have all these columns?
    pub fn has(&self, columns: &[String]) -> bool {
        columns.iter().all(|wanted| self.columns.iter().any(|(name, _)| name == wanted))
    }
}

/// Where the chosen rows of a table stand beside the live ones, as SQL writes it.
pub fn beside(number: usize) -> String {
    format!("pg_temp.lifeboat_model_{number}")
}

/// Names of columns, as SQL writes them, each of the row of this name.
pub fn listed<'a>(columns: impl IntoIterator<Item = &'a String>, row: &str) -> String {
    columns.into_iter().map(|name| format!("{row}.{}", escape_identifier(name))).collect::<Vec<_>>().join(", ")
}
