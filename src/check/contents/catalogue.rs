//! What the server's catalogue says: the tables with their columns and keys, the schema as text, the sequences.

use super::expression::elementwise;
use super::sql::DatabaseSnapshot;
use super::ways::TableShape;
use crate::client::Error;
use postgres_protocol::escape::escape_literal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio_postgres::Row;

/// The schema: each object, its parts, and how each part is.
pub type SchemaLines = BTreeMap<String, BTreeMap<String, String>>;

/// Longer texts, such as bodies of functions, are kept as their beginning and a digest.
const LONGEST: usize = 400;

const TABLES: &str = "SELECT format('%I.%I', n.nspname, c.relname), c.relname::text, a.attname::text, \
    format_type(a.atttypid, NULL), array_position(i.indkey::int2[], a.attnum) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
    WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't' \
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 5";

/// Sequences that count upwards, each with the columns of whole numbers that it feeds: it belongs to them, or it is in
/// their default.
const SEQUENCES: &str = "SELECT format('%I.%I', n.nspname, c.relname), \
        CASE WHEN t.oid IS NOT NULL THEN format('%I.%I', m.nspname, t.relname) END, quote_ident(a.attname) \
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN (SELECT objid AS sequence, refobjid AS feeds, refobjsubid AS number FROM pg_depend \
            WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i') \
        UNION SELECT refobjid, adrelid, adnum FROM pg_depend JOIN pg_attrdef f ON f.oid = objid \
            WHERE classid = 'pg_attrdef'::regclass AND refclassid = 'pg_class'::regclass) f ON f.sequence = c.oid \
    LEFT JOIN pg_attribute a ON a.attrelid = f.feeds AND a.attnum = f.number \
        AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) \
    LEFT JOIN pg_class t ON t.oid = a.attrelid LEFT JOIN pg_namespace m ON m.oid = t.relnamespace \
    WHERE s.seqincrement > 0 AND c.relpersistence <> 't' ORDER BY 1, 2";

/// What a sequence gives next, and what is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceState {
    /// The number that comes next.
    pub next: i64,
    /// The highest number in the columns that it feeds; nothing if it feeds none, or if they are empty.
    pub highest: Option<i64>,
    /// One of these columns.
    pub feeds: Option<String>,
}

impl SequenceState {
    /// Will it give a number that is there already?
    pub fn collides(&self) -> bool {
        self.highest.is_some_and(|highest| highest >= self.next)
    }

    /// A collision in words.
    pub fn told(&self, sequence: &str) -> String {
        let (feeds, highest) = (self.feeds.as_deref().unwrap_or_default(), self.highest.unwrap_or_default());
        format!("the sequence `{sequence}` gives {} next, and `{feeds}` has {highest} already", self.next)
    }
}

/// The tables, by the names that SQL wants.
pub async fn tables(snapshot: &DatabaseSnapshot) -> Result<BTreeMap<String, TableShape>, Error> {
    let mut tables: BTreeMap<String, TableShape> = BTreeMap::new();
    for row in snapshot.rows(TABLES).await? {
        let new = || TableShape { name: row.get(1), columns: BTreeMap::new(), key: vec![] };
        let table = tables.entry(row.get(0)).or_insert_with(new);
        let (column, kind): (Option<String>, Option<String>) = (row.get(2), row.get(3));
        let Some((column, kind)) = column.zip(kind) else { continue };
        if row.get::<_, Option<i32>>(4).is_some() {
            table.key.push(column.clone()); // in the order of the key
        }
        table.columns.insert(column, kind);
    }
    Ok(tables)
}

/// The schema as text.
pub async fn schema(snapshot: &DatabaseSnapshot) -> Result<SchemaLines, Error> {
    let mut lines = SchemaLines::new();
    for row in snapshot.rows(include_str!("schema.sql")).await? {
        let (object, part, text): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
        let text = text.unwrap_or_default();
        let text = if has_expression(&object, &part) { elementwise(&text) } else { text };
        lines.entry(object).or_default().insert(part, bounded(text));
    }
    Ok(lines)
}

/// Is it what the server writes of an expression? Bodies of functions and comments are kept to the letter.
fn has_expression(object: &str, part: &str) -> bool {
    !object.starts_with("function ") && !part.starts_with("comment")
}

fn bounded(text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    let beginning: String = text.chars().take(LONGEST / 4).collect();
    format!("{beginning}… (digest {})", &blake3::hash(text.as_bytes()).to_hex()[..16])
}

/// The sequences, by the names that SQL wants.
pub async fn sequences(snapshot: &DatabaseSnapshot) -> Result<BTreeMap<String, SequenceState>, Error> {
    let mut states: BTreeMap<String, SequenceState> = BTreeMap::new();
    let found = snapshot.rows(SEQUENCES).await?;
    let query = |row: &Row| {
        let (sequence, table, column): (String, Option<String>, Option<String>) = (row.get(0), row.get(1), row.get(2));
        let fed = table.zip(column);
        let highest = fed.as_ref().map(|(table, column)| format!("(SELECT max({column})::int8 FROM {table})"));
        let (name, highest) = (escape_literal(&sequence), highest.unwrap_or_else(|| "NULL::int8".to_owned()));
        let feeds =
            fed.map_or_else(|| "NULL".to_owned(), |(table, column)| escape_literal(&format!("{table}.{column}")));
        format!(
            "SELECT {name}, CASE WHEN is_called THEN last_value + seqincrement ELSE last_value END, {highest}, \
             {feeds}::text FROM {sequence}, pg_sequence WHERE seqrelid = {name}::regclass"
        )
    };
    let queries: Vec<_> = found.iter().map(query).collect();
    for some in queries.chunks(100) {
        for row in snapshot.rows(&some.join(" UNION ALL ")).await? {
            let (next, highest, feeds): (i64, Option<i64>, Option<String>) = (row.get(1), row.get(2), row.get(3));
            let state = states.entry(row.get(0)).or_insert(SequenceState { next, highest: None, feeds: None });
            if feeds.is_some() && (state.feeds.is_none() || highest > state.highest) {
                (state.highest, state.feeds) = (highest, feeds);
            }
        }
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_kept_as_its_beginning_and_a_digest() {
        assert_eq!(bounded("short".into()), "short");
        let (one, other) = (bounded("é".repeat(1000)), bounded("é".repeat(999) + "e"));
        assert!(one.len() < LONGEST && one != other);
    }

    #[test]
    fn what_users_wrote_to_the_letter_is_kept_so() {
        assert!(has_expression("table public.runs", "constraint c") && has_expression("view public.v", "definition"));
        assert!(
            !has_expression("function public.f()", "definition") && !has_expression("table public.runs", "comment")
        );
    }

    #[test]
    fn a_sequence_collides_with_what_is_there_and_not_with_what_is_not() {
        let state = |next, highest| SequenceState { next, highest, feeds: None };
        assert!(state(5, Some(5)).collides() && state(1, Some(50)).collides());
        assert!(!state(6, Some(5)).collides() && !state(1, None).collides());
    }
}
