//! The foreign keys of a database, as its catalogue has them.
//!
//! Apart because what removes rows and what groups them both follow these keys.

use super::{Error, postgres};
use postgres_protocol::escape::escape_identifier;
use std::collections::BTreeSet;
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

impl ForeignKey {
    /// SQL that counts the rows whose columns are all set and point at no row. A key with an empty column points nowhere.
    pub fn orphans(&self) -> String {
        let set = |column: &String| format!("c.{} IS NOT NULL", escape_identifier(column));
        let set: Vec<_> = self.columns.iter().map(set).collect();
        let same =
            |(own, other): (&String, &String)| format!("p.{} = c.{}", escape_identifier(other), escape_identifier(own));
        let same: Vec<_> = self.columns.iter().zip(&self.others).map(same).collect();
        format!(
            "SELECT count(*) FROM {} c WHERE {} AND NOT EXISTS (SELECT FROM {} p WHERE {})",
            self.table,
            set.join(" AND "),
            self.other,
            same.join(" AND ")
        )
    }
}

/// A foreign key as an object of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedForeignKey {
    /// Its own oid: one that is dropped and made anew has another.
    pub oid: u32,
    /// Its plain name.
    pub name: String,
    /// Has the server proved that every row keeps it?
    pub validated: bool,
    /// What points at what.
    pub key: ForeignKey,
}

/// Those of a partitioned table stand for those of its partitions.
const KEYS: &str = "SELECT format('%I.%I', n.nspname, c.relname), format('%I.%I', m.nspname, d.relname), \
    ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY o (number, place) \
        JOIN pg_attribute ON attrelid = k.conrelid AND attnum = number ORDER BY place), \
    ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY o (number, place) \
        JOIN pg_attribute ON attrelid = k.confrelid AND attnum = number ORDER BY place), \
    k.oid, k.conname::text, k.convalidated \
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_class d ON d.oid = k.confrelid JOIN pg_namespace m ON m.oid = d.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, k.conname";

/// All foreign keys of the database that the client is connected to.
pub async fn foreign_keys(client: &Client) -> Result<Vec<ForeignKey>, Error> {
    Ok(named_foreign_keys(client).await?.into_iter().map(|named| named.key).collect())
}

/// The same with their names and states.
pub async fn named_foreign_keys(client: &Client) -> Result<Vec<NamedForeignKey>, Error> {
    let named = |row: &Row| NamedForeignKey {
        oid: row.get(4),
        name: row.get(5),
        validated: row.get(6),
        key: ForeignKey { table: row.get(0), other: row.get(1), columns: row.get(2), others: row.get(3) },
    };
    Ok(postgres::rows(client, KEYS).await?.iter().map(named).collect())
}

/// The statements that delete the rows of a table that meet a condition, after all that refers to them.
pub fn deletions(keys: &[ForeignKey], table: &str, condition: &str) -> Vec<String> {
    let (mut statements, mut path) = (vec![], BTreeSet::from([table.to_owned()]));
    referring(keys, table, condition, &mut path, &mut statements);
    statements.push(format!("DELETE FROM {table} WHERE {condition}"));
    statements
}

fn referring(
    keys: &[ForeignKey],
    table: &str,
    condition: &str,
    path: &mut BTreeSet<String>,
    statements: &mut Vec<String>,
) {
    let listed = |columns: &[String]| {
        let quoted: Vec<_> = columns.iter().map(|name| escape_identifier(name)).collect();
        quoted.join(", ")
    };
    for ForeignKey { table: child, columns, others, .. } in keys.iter().filter(|key| key.other == table) {
        let rows = format!("SELECT {} FROM {table} WHERE {condition}", listed(others));
        let its = format!("({}) IN ({rows})", listed(columns));
        // A table that refers to itself, or in a circle, is deleted from once.
        if path.insert(child.clone()) {
            referring(keys, child, &its, path, statements);
            path.remove(child);
        }
        if child != table {
            statements.push(format!("DELETE FROM {child} WHERE {its}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_value_in_a_column_of_the_key_is_no_orphan() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let key = ForeignKey {
            table: "public.versions".into(),
            columns: texts(&["workspace", "Model"]),
            other: "public.models".into(),
            others: texts(&["workspace", "name"]),
        };
        let sql = r#"SELECT count(*) FROM public.versions c WHERE c."workspace" IS NOT NULL AND c."Model" IS NOT NULL AND NOT EXISTS (SELECT FROM public.models p WHERE p."workspace" = c."workspace" AND p."name" = c."Model")"#;
        assert_eq!(key.orphans(), sql);
    }

    #[test]
    fn what_refers_to_a_row_goes_before_it() {
        let key = |table: &str, column: &str, other: &str, referred: &str| ForeignKey {
            table: table.into(),
            columns: vec![column.into()],
            other: other.into(),
            others: vec![referred.into()],
        };
        let keys = [
            key("runs", "experiment_id", "experiments", "experiment_id"),
            key("metrics", "run_uuid", "runs", "run_uuid"),
            key("runs", "parent", "runs", "run_uuid"),
            key("versions", "name", "models", "name"),
        ];
        let all = deletions(&keys, "experiments", "experiment_id IN (7)");
        let runs = r#"("experiment_id") IN (SELECT "experiment_id" FROM experiments WHERE experiment_id IN (7))"#;
        assert_eq!(
            all,
            [
                format!(r#"DELETE FROM metrics WHERE ("run_uuid") IN (SELECT "run_uuid" FROM runs WHERE {runs})"#),
                format!("DELETE FROM runs WHERE {runs}"),
                "DELETE FROM experiments WHERE experiment_id IN (7)".to_owned(),
            ]
        );
    }
}
