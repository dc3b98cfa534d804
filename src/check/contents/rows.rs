//! The rows of every table, as count and digest of each group, in whatever order they lie.
//!
//! The server computes the digests, so that no row leaves it. Of small tables each row is kept too, by its key, so that
//! a row that is missing has a name.

use super::own::KnownExperiments;
use super::sql::{DatabaseSnapshot, alias, column};
use super::ways::{Belonging, TableShape, Way};
use crate::client::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Of a table with no more rows than this, each row is kept by its key.
const DETAILED: i64 = 2_000;
/// The number of groups of all tables that are kept; beyond it, the tables with most of them are kept whole.
const GROUPS: usize = 20_000;

/// How many rows, and the digest of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDigest(pub i64, pub String);

/// What is in a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableContents {
    /// How a row's experiment or model is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// The columns of its primary key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The rows of each experiment or model; those that belong to none under the empty name.
    pub groups: BTreeMap<String, RowDigest>,
    /// Are all groups one, because there were too many?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// The digest of each row, by its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<BTreeMap<String, String>>,
}

/// Which rows are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowScope {
    /// All.
    All,
    /// Where a row belongs to a run, those of runs that had ended by then, in milliseconds since 1970.
    EndedBy(i64),
}

/// Reads all tables before the fault.
pub async fn plant(
    snapshot: &DatabaseSnapshot,
    tables: &BTreeMap<String, TableShape>,
    ways: &BTreeMap<String, Way>,
    rows: RowScope,
    known: &KnownExperiments,
) -> Result<BTreeMap<String, TableContents>, Error> {
    let mut contents = BTreeMap::new();
    for (table, shape) in tables {
        let mut found = TableContents { way: ways.get(table).cloned(), key: shape.key.clone(), ..Default::default() };
        found.groups = groups(snapshot, table, &found, rows, known).await?;
        let count: i64 = found.groups.values().map(|group| group.0).sum();
        if !found.key.is_empty() && count <= DETAILED {
            found.rows = Some(each(snapshot, table, &found, rows, known).await?);
        }
        contents.insert(table.clone(), found);
    }
    bound(&mut contents, GROUPS);
    Ok(contents)
}

/// Reads a table again, as it was read before.
pub async fn read(
    snapshot: &DatabaseSnapshot,
    table: &str,
    before: &TableContents,
    rows: RowScope,
    known: &KnownExperiments,
) -> Result<TableContents, Error> {
    let mut found = TableContents { way: before.way.clone(), key: before.key.clone(), ..Default::default() };
    found.groups = groups(snapshot, table, before, rows, known).await?;
    if before.rows.is_some() && before.groups != found.groups {
        found.rows = Some(each(snapshot, table, before, rows, known).await?);
    }
    if before.whole {
        found.merge();
    }
    Ok(found)
}

impl TableContents {
    /// Makes one group of all.
    fn merge(&mut self) {
        let mut hasher = blake3::Hasher::new();
        for (name, RowDigest(rows, digest)) in &self.groups {
            hasher.update(format!("{name}\0{rows}\0{digest}\0").as_bytes());
        }
        let rows = self.groups.values().map(|group| group.0).sum();
        self.groups = BTreeMap::from([(String::new(), RowDigest(rows, digest(&hasher)))]);
        self.whole = true;
    }

    /// Can its rows still be read as they were? A harm may have taken the table, or a column on the way to its groups; the
    /// schema's difference says so.
    pub fn stands(&self, table: &str, shapes: &BTreeMap<String, TableShape>) -> bool {
        let has = |shape: &TableShape| self.key.iter().all(|column| shape.columns.contains_key(column));
        shapes.get(table).is_some_and(has) && self.way.as_ref().is_none_or(|way| way.stands(table, shapes))
    }

    /// Is a group one that the drill itself wrote?
    fn owns(&self, group: &str, known: &KnownExperiments) -> bool {
        self.way.as_ref().is_some_and(|way| way.to == Belonging::Experiment) && known.own.contains(group)
    }
}

/// Keeps the tables with most groups whole, until no more are left than `most`.
fn bound(contents: &mut BTreeMap<String, TableContents>, most: usize) {
    let mut left: usize = contents.values().map(|table| table.groups.len()).sum();
    while left > most {
        let Some(largest) = contents.values_mut().max_by_key(|table| table.groups.len()) else { return };
        if largest.groups.len() <= 1 {
            return;
        }
        left = left + 1 - largest.groups.len();
        largest.merge();
    }
}

async fn groups(
    snapshot: &DatabaseSnapshot,
    table: &str,
    contents: &TableContents,
    rows: RowScope,
    known: &KnownExperiments,
) -> Result<BTreeMap<String, RowDigest>, Error> {
    // A second sum, of digests of the digests, makes it certain that no two changes cancel each other.
    let query = format!(
        "SELECT owner, count(*), sum(hash)::text, sum(hashint8extended(hash, 7))::text FROM ({}) r GROUP BY owner",
        hashes(table, contents, rows, false)
    );
    let mut groups = BTreeMap::new();
    for row in snapshot.rows(&query).await? {
        let (owner, count): (String, i64) = (row.get(0), row.get(1));
        let (one, other): (String, String) = (row.get(2), row.get(3));
        if !contents.owns(&owner, known) {
            let mut hasher = blake3::Hasher::new();
            hasher.update(format!("{one}\0{other}").as_bytes());
            groups.insert(owner, RowDigest(count, digest(&hasher)));
        }
    }
    Ok(groups)
}

async fn each(
    snapshot: &DatabaseSnapshot,
    table: &str,
    contents: &TableContents,
    rows: RowScope,
    known: &KnownExperiments,
) -> Result<BTreeMap<String, String>, Error> {
    let query = hashes(table, contents, rows, true);
    let found = snapshot.rows(&query).await?;
    let found = found.iter().filter(|row| !contents.owns(row.get(0), known));
    Ok(found.map(|row| (row.get(2), format!("{:x}", row.get::<_, i64>(1)))).collect())
}

/// SQL for the owner and the hash of each row, and its key if asked. `OFFSET 0` keeps the server from hashing twice.
fn hashes(table: &str, contents: &TableContents, rows: RowScope, keys: bool) -> String {
    let way = contents.way.as_ref();
    let (group, joined) = way.map_or_else(|| ("''".to_owned(), String::new()), |way| (way.group(), way.joined()));
    let columns: Vec<_> = contents.key.iter().map(|name| column(0, name)).collect();
    let key = if keys { format!(", concat_ws('/', {}) AS key", columns.join(", ")) } else { String::new() };
    let ended = match (rows, way.and_then(Way::ended)) {
        (RowScope::EndedBy(at), Some(ended)) => format!(" WHERE {ended} <= {at}"),
        _ => String::new(),
    };
    let (row, fence) = (alias(0), if keys { "" } else { " OFFSET 0" });
    format!(
        "SELECT {group} AS owner, hashtextextended({row}::text, 0) AS hash{key} FROM {table} {row}{joined}{ended}{fence}"
    )
}

fn digest(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(groups: usize) -> TableContents {
        let group = |n: usize| (n.to_string(), RowDigest(2, format!("digest {n}")));
        TableContents { groups: (0..groups).map(group).collect(), ..Default::default() }
    }

    #[test]
    fn too_many_groups_are_made_one_that_still_sees_each_change() {
        let mut all = BTreeMap::from([("a".to_owned(), contents(3)), ("b".to_owned(), contents(10))]);
        bound(&mut all, 13);
        assert_eq!(all["b"].groups.len(), 10);
        bound(&mut all, 12);
        assert_eq!((all["a"].groups.len(), all["b"].groups[""].0), (3, 20));
        let mut other = contents(10);
        other.groups.insert("3".to_owned(), RowDigest(2, "another".to_owned()));
        other.merge();
        assert_ne!(other.groups, all["b"].groups);
    }

    #[test]
    fn where_others_write_only_the_rows_of_ended_runs_are_looked_at() {
        let way = Way { to: Belonging::Experiment, joins: vec![], key: vec!["experiment_id".into()], runs: Some(0) };
        let runs = TableContents { way: Some(way), ..Default::default() };
        assert!(hashes("runs", &runs, RowScope::EndedBy(7), false).contains(r#"WHERE "lifeboat 0"."end_time" <= 7"#));
        assert!(!hashes("runs", &runs, RowScope::All, false).contains("WHERE"));
        assert!(!hashes("tags", &TableContents::default(), RowScope::EndedBy(7), false).contains("WHERE"));
    }
}
