//! The places of artifacts that MLflow stores in its database, moved from one place to another: a bucket's new name, say.
//!
//! Each is changed where it begins with the old place, up to the end of a part of its path, in one transaction that keeps
//! others from writing new ones. Afterwards every text of the database is searched for the old place: what users wrote
//! themselves, such as a param, is told and not changed, unless its column is named.
//! Not here: the objects, which have been copied before.

use super::{Error, postgres};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio_postgres::{Client, Row};

/// The columns, each with a condition on its row, as of MLflow 3.17.
const COLUMNS: [(&str, &str, &str); 9] = [
    ("experiments", "artifact_location", "true"),
    ("runs", "artifact_uri", "true"),
    ("logged_models", "artifact_location", "true"),
    ("model_versions", "source", "true"),
    ("model_versions", "storage_location", "true"),
    ("trace_tags", "value", "key IN ('mlflow.artifactLocation', 'mlflow.trace.archiveLocation')"),
    ("workspaces", "default_artifact_root", "true"),
    ("workspaces", "trace_archival_location", "true"),
    ("tags", "value", "key = 'mlflow.artifactLocation'"),
];
/// How long a lock may take.
const LOCK: &str = "SET LOCAL lock_timeout = '30s'";

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceMove {
    from: String,
    to: String,
}

impl PlaceMove {
    /// From one place to another, such as `s3://old/artifacts` and `s3://new`.
    ///
    /// # Errors
    /// In words, when either is no place or the new one is in the old one: then nothing could show that all has moved.
    pub fn new(from: &str, to: &str) -> Result<Self, String> {
        let place = |text: &str| {
            let trimmed = text.trim_end_matches('/');
            let named = trimmed
                .split_once(":/")
                .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.trim_matches('/').is_empty());
            if named {
                Ok(trimmed.to_owned())
            } else {
                Err(format!("`{text}` is no place such as `s3://bucket/folder`"))
            }
        };
        let (from, to) = (place(from)?, place(to)?);
        if to == from || to.starts_with(&format!("{from}/")) {
            return Err(format!("the new place `{to}` is in the old one, `{from}`"));
        }
        Ok(Self { from, to })
    }

    /// Does a location lie in the old place?
    pub fn holds(&self, location: &str) -> bool {
        location.strip_prefix(&self.from).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl std::fmt::Display for PlaceMove {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "`{}` to `{}`", self.from, self.to)
    }
}

/// What was changed, or would be, and what still names the old place: rows by `table.column`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RePointed {
    /// Rows that were changed, of every column that MLflow keeps places in.
    pub changed: BTreeMap<String, i64>,
    /// Rows of other columns that name the old place.
    pub left: BTreeMap<String, i64>,
}

/// A column in which places are changed.
struct PlaceColumn {
    table: String,
    column: String,
    condition: String,
    /// May the place stand in the middle of a text?
    within: bool,
}

/// Changes all stored places; `also` names more columns, `table.column`, in whose texts the old place is replaced wherever
/// it stands. With `dry_run` nothing is changed.
///
/// # Errors
/// When it could not be done; then nothing has changed.
pub async fn re_point(client: &Client, moved: &PlaceMove, also: &[String], dry_run: bool) -> Result<RePointed, Error> {
    let columns = columns(client, also).await?;
    let failed = |e| Error::caused_by(format!("cannot re-point {moved}"), e);
    client.batch_execute(&format!("BEGIN; {LOCK}")).await.map_err(failed)?;
    let done = async {
        if !dry_run {
            let mut tables: Vec<_> = columns.iter().map(|it| it.table.as_str()).collect();
            tables.dedup();
            let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", tables.join(", "));
            client.batch_execute(&lock).await.map_err(failed)?;
        }
        let mut re_pointed = RePointed::default();
        for column in &columns {
            let rows: i64 = postgres::one(client, &column.count(moved)).await?.get(0);
            if !dry_run {
                client.batch_execute(&column.change(moved)).await.map_err(failed)?;
            }
            *re_pointed.changed.entry(column.name()).or_default() += rows;
        }
        re_pointed.left = naming(client, moved).await?;
        if dry_run {
            re_pointed.left.retain(|column, _| !re_pointed.changed.contains_key(column));
        }
        Ok(re_pointed)
    };
    let done = done.await;
    let end = if done.is_ok() && !dry_run { "COMMIT" } else { "ROLLBACK" };
    let ended = client.batch_execute(end).await.map_err(failed);
    let done = done?; // it says more than the end of its transaction
    ended.map(|()| done)
}

impl PlaceColumn {
    fn name(&self) -> String {
        format!("{}.{}", self.table, self.column)
    }

    fn matching(&self, moved: &PlaceMove) -> String {
        let (column, from) = (escape_identifier(&self.column), escape_literal(&moved.from));
        if self.within {
            return format!("{column}::text ~ {}", escape_literal(&pattern(moved)));
        }
        let begins = format!("({column} = {from} OR starts_with({column}, {from} || '/'))");
        format!("{begins} AND {}", self.condition)
    }

    fn count(&self, moved: &PlaceMove) -> String {
        format!("SELECT count(*) FROM {} WHERE {}", self.table, self.matching(moved))
    }

    fn change(&self, moved: &PlaceMove) -> String {
        let (column, to) = (escape_identifier(&self.column), escape_literal(&moved.to));
        let new = if self.within {
            // `\` has a meaning in what replaces.
            let to = escape_literal(&moved.to.replace('\\', "\\\\"));
            format!("regexp_replace({column}, {}, {to}, 'g')", escape_literal(&pattern(moved)))
        } else {
            format!("{to} || substr({column}, {})", moved.from.chars().count() + 1)
        };
        format!("UPDATE {} SET {column} = {new} WHERE {}", self.table, self.matching(moved))
    }
}

/// The columns that are there, the named ones last.
async fn columns(client: &Client, also: &[String]) -> Result<Vec<PlaceColumn>, Error> {
    let mut columns = vec![];
    for (table, column, condition) in COLUMNS {
        // Older versions of MLflow lack some.
        if let Some(table) = table_of(client, table, column).await? {
            columns.push(PlaceColumn { table, column: column.into(), condition: condition.into(), within: false });
        }
    }
    for named in also {
        let absent = || Error::new(format!("cannot re-point `{named}`"), "there is no such column of texts");
        let (table, column) = named.rsplit_once('.').ok_or_else(absent)?;
        let table = table_of(client, table, column).await?.ok_or_else(absent)?;
        columns.push(PlaceColumn { table, column: column.into(), condition: String::new(), within: true });
    }
    if columns.is_empty() {
        return Err(Error::new("cannot re-point", "the database has none of MLflow's tables"));
    }
    Ok(columns)
}

/// The table's name with its schema, if it has this column of texts.
async fn table_of(client: &Client, table: &str, column: &str) -> Result<Option<String>, Error> {
    let query = format!(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = {} JOIN pg_type t ON t.oid = a.atttypid \
         WHERE c.oid = to_regclass({}) AND a.attnum > 0 AND NOT a.attisdropped AND t.typcategory = 'S'",
        escape_literal(column),
        escape_literal(table)
    );
    Ok(postgres::rows(client, &query).await?.first().map(|row| row.get(0)))
}

/// Every column that can hold a text, and can be asked.
const TEXTS: &str = "SELECT format('%I.%I', n.nspname, c.relname), array_agg(a.attname::text ORDER BY a.attnum) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    JOIN pg_type t ON t.oid = a.atttypid \
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
    AND (t.typcategory = 'S' OR t.typname IN ('json', 'jsonb', 'xml', '_text', '_varchar')) GROUP BY 1 ORDER BY 1";

/// How many rows of each column of texts name the old place.
async fn naming(client: &Client, moved: &PlaceMove) -> Result<BTreeMap<String, i64>, Error> {
    let mut found = BTreeMap::new();
    let (from, pattern) = (escape_literal(&moved.from), escape_literal(&pattern(moved)));
    let tables = postgres::rows(client, TEXTS).await?;
    let tables = tables.iter().map(|row: &Row| (row.get(0), row.get(1))).collect::<Vec<(String, Vec<String>)>>();
    for (table, columns) in tables {
        let count = |column: &String| {
            let column = format!("{}::text", escape_identifier(column));
            // The plain search is the faster one, and most rows have nothing.
            format!("count(*) FILTER (WHERE position({from} in {column}) > 0 AND {column} ~ {pattern})")
        };
        let counts = columns.iter().map(count).collect::<Vec<_>>().join(", ");
        let row = postgres::one(client, &format!("SELECT {counts} FROM {table}")).await?;
        let counted =
            columns.iter().enumerate().map(|(at, column)| (format!("{table}.{column}"), row.get::<_, i64>(at)));
        found.extend(counted.filter(|(_, rows)| *rows > 0));
    }
    Ok(found)
}

/// The old place up to the end of a part of its path, as PostgreSQL writes patterns.
fn pattern(moved: &PlaceMove) -> String {
    let escape = |letter: char| if letter.is_alphanumeric() { letter.to_string() } else { format!("\\{letter}") };
    let place: String = moved.from.chars().map(escape).collect();
    format!("{place}(?![A-Za-z0-9._-])")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_holds_what_lies_in_it_and_not_what_begins_like_it() {
        let moved = PlaceMove::new("s3://old/a/", "s3://new").unwrap();
        assert!(moved.holds("s3://old/a") && moved.holds("s3://old/a/1/b"));
        assert!(!moved.holds("s3://old/ab") && !moved.holds("s3://old"));
        assert_eq!(pattern(&moved), "s3\\:\\/\\/old\\/a(?![A-Za-z0-9._-])");
    }

    #[test]
    fn what_could_not_be_proved_to_have_moved_is_refused() {
        let wrong = |from: &str, to: &str| PlaceMove::new(from, to).unwrap_err();
        assert!(wrong("old", "s3://new").contains("`old` is no place"));
        assert!(wrong("s3://", "s3://new").contains("is no place"));
        assert!(wrong("s3://a", "s3://a/b").contains("is in the old one"));
        assert!(wrong("s3://a/", "s3://a").contains("is in the old one"));
        assert!(PlaceMove::new("s3://a", "s3://ab").is_ok());
    }
}
