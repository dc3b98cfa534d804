//! The foreign keys of a database, as its catalogue has them.
//!
//! Apart because what removes rows and what groups them both follow these keys.

use super::{Error, postgres};
use tokio_postgres::{Client, Row};

/// A foreign key: these columns of the table point at those of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The table that has it, with its schema, as SQL writes it.
    pub table: String,
    /// Its columns, by their plain names.
    pub columns: Vec<String>,
    /// The table it points at, as SQL writes it.
    pub other: String,
    /// The columns there.
    pub others: Vec<String>,
}

/// Those of a partitioned table stand for those of its partitions.
const KEYS: &str = "SELECT format('%I.%I', n.nspname, c.relname), format('%I.%I', m.nspname, d.relname), \
    ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY o (number, place) \
        JOIN pg_attribute ON attrelid = k.conrelid AND attnum = number ORDER BY place), \
    ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY o (number, place) \
        JOIN pg_attribute ON attrelid = k.confrelid AND attnum = number ORDER BY place) \
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_class d ON d.oid = k.confrelid JOIN pg_namespace m ON m.oid = d.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, k.conname";

/// All foreign keys of the database that the client is connected to.
pub async fn foreign_keys(client: &Client) -> Result<Vec<ForeignKey>, Error> {
    let key = |row: &Row| ForeignKey { table: row.get(0), other: row.get(1), columns: row.get(2), others: row.get(3) };
    Ok(postgres::rows(client, KEYS).await?.iter().map(key).collect())
}
