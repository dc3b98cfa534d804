//! The rules that the database's catalogue has: constraints, foreign keys, indexes and sequences, and what breaks them.
//!
//! It reads one snapshot and writes nothing. Not here: rules of MLflow that its schema does not have.

use super::super::contents::{DatabaseSnapshot, Differences, Meaning, sequences};
use super::{Figures, failed};
use crate::client::{Error, NamedForeignKey, named_foreign_keys};
use crate::clock::Deadline;
use crate::environment::Platform;
use std::collections::BTreeMap;
use tokio_postgres::error::SqlState;

/// Indexes that answer no question or that rows do not enter, and whether one is being built right now.
const INDEXES: &str = "SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text, p.pid IS NOT NULL \
    FROM pg_index i LEFT JOIN pg_stat_progress_create_index p ON p.index_relid = i.indexrelid \
    WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) ORDER BY 1";

/// Constraints that the server has not proved of every row; those of a domain belong to a type.
const UNPROVED: &str = "SELECT conname::text, \
    CASE conrelid WHEN 0 THEN contypid::regtype::text ELSE conrelid::regclass::text END \
    FROM pg_constraint WHERE NOT convalidated ORDER BY 2, 1";

/// Constraints whose triggers are off, as a restore of rows alone leaves them when it dies.
const UNENFORCED: &str = "SELECT DISTINCT k.conname::text, k.conrelid::regclass::text FROM pg_trigger t \
    JOIN pg_constraint k ON k.oid = t.tgconstraint WHERE t.tgenabled = 'D' ORDER BY 2, 1";

/// Asks for all that is broken.
pub async fn look(
    platform: &dyn Platform,
    deadline: Deadline,
    differences: &mut Differences,
) -> Result<Figures, Error> {
    let snapshot = DatabaseSnapshot::begin(platform).await?;
    for row in snapshot.rows(INDEXES).await? {
        let (index, table, built): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        if built {
            differences.push(Meaning::Remark, format!("the index `{index}` of `{table}` is being built"));
        } else {
            differences.push(Meaning::Harm, format!("the index `{index}` of `{table}` is invalid"));
        }
    }
    for (query, how) in [(UNPROVED, "is not validated"), (UNENFORCED, "is not enforced: its triggers are off")] {
        for row in snapshot.rows(query).await? {
            let (constraint, table): (String, String) = (row.get(0), row.get(1));
            differences.push(Meaning::Harm, format!("the constraint `{constraint}` of `{table}` {how}"));
        }
    }
    let keys = named_foreign_keys(snapshot.client()).await?;
    for named in &keys {
        orphans(&snapshot, named, deadline, differences).await?;
    }
    // Last, because a question that fails ends the transaction.
    let sequences = match sequences(&snapshot).await {
        Ok(sequences) => sequences,
        Err(error) => {
            differences.push(Meaning::Untold, format!("the sequences could not be looked at: {}", error.why));
            BTreeMap::new()
        }
    };
    let behind = sequences.iter().filter(|(_, state)| state.collides());
    behind.for_each(|(sequence, state)| differences.push(Meaning::Harm, state.told(sequence)));
    Ok(vec![("foreign keys", keys.len().to_string()), ("sequences", sequences.len().to_string())])
}

/// The rows that point at nothing by this key.
async fn orphans(
    snapshot: &DatabaseSnapshot,
    named: &NamedForeignKey,
    deadline: Deadline,
    differences: &mut Differences,
) -> Result<(), Error> {
    let NamedForeignKey { name, key, .. } = named;
    let what = format!("the foreign key `{name}` of `{}`", key.table);
    if deadline.passed() {
        differences.push(Meaning::Untold, format!("{what} was not looked at in time"));
        return Ok(());
    }
    let client = snapshot.client();
    let mark = async |statement: &str| {
        client.batch_execute(statement).await.map_err(|e| Error::caused_by("cannot ask the database", e))
    };
    mark("SAVEPOINT look").await?;
    match client.query_one(&key.orphans(), &[]).await {
        Ok(row) if row.get::<_, i64>(0) > 0 => {
            let rows = row.get::<_, i64>(0);
            let text =
                format!("{rows} rows of `{}` point at nothing in `{}`, by the key `{name}`", key.table, key.other);
            differences.push(Meaning::Harm, text);
        }
        Ok(_) => {}
        Err(error) if error.as_db_error().is_none() => {
            return Err(Error::caused_by(format!("cannot look at {what}"), error));
        }
        Err(error) => {
            mark("ROLLBACK TO look").await?;
            if error.code() != Some(&SqlState::UNDEFINED_TABLE) {
                let (meaning, text) = failed(&format!("what {what} reads"), &error);
                differences.push(meaning, text);
            }
        }
    }
    mark("RELEASE look").await
}
