//! The drill's own experiments: their names, and their removal with all that is in them, rows and objects.
//!
//! Apart because probes, workload and checks make them and may not import each other. Only a standing platform is
//! cleared so: a throw-away one is removed whole. MLflow's own deletion only hides an
//! experiment, so the rows are deleted in the database, whatever tables refer to them by foreign keys.

use super::{Error, s3, versions};
use std::collections::BTreeSet;
use tokio_postgres::Client;

/// The experiment of the clients that write.
pub fn workload(run: &str) -> String {
    format!("lifeboat-{run}")
}

/// The experiment of the probe that writes.
pub fn probe(run: &str) -> String {
    format!("lifeboat-probe-{run}")
}

/// The experiment of the check that writes.
pub fn smoke(run: &str) -> String {
    format!("lifeboat-smoke-{run}")
}

/// All experiments that workload, probes and checks make for a run.
pub fn experiments(run: &str) -> Vec<String> {
    vec![workload(run), probe(run), smoke(run)]
}

/// A foreign key: these columns of the child refer to those of the parent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct TableLink {
    child: String,
    columns: Vec<String>,
    parent: String,
    referred: Vec<String>,
}

const FOREIGN_KEYS: &str = "SELECT c.conrelid::regclass::text, c.confrelid::regclass::text, \
     (SELECT array_agg(quote_ident(a.attname) ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(no, n) \
      JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.no), \
     (SELECT array_agg(quote_ident(a.attname) ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(no, n) \
      JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.no) \
     FROM pg_constraint c WHERE c.contype = 'f'";

/// Removes the experiments of a run from MLflow's database, and their objects from the bucket; answers how many there
/// were. `prefix` is what stands before all artifacts.
pub async fn remove(
    client: &mut Client,
    store: &aws_sdk_s3::Client,
    bucket: &str,
    prefix: &str,
    run: &str,
) -> Result<usize, Error> {
    let what = "cannot remove the drill's own experiments";
    let query = "SELECT experiment_id::text FROM experiments WHERE name = ANY($1)";
    let found = client.query(query, &[&experiments(run)]).await.map_err(|e| Error::caused_by(what, e))?;
    let ids: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    for id in &ids {
        let all = versions::list(store, bucket, &s3::key(prefix, &format!("{id}/"))).await?;
        let all: Vec<_> = all.into_iter().map(|version| (version.key, Some(version.id))).collect();
        if let Some((key, why)) = versions::delete(store, bucket, &all).await?.first() {
            return Err(Error::new(what, format!("`{key}`: {why}")));
        }
    }
    let keys = foreign_keys(client).await?;
    // Numbers by construction: the cast to text of a column of numbers.
    let roots = format!("experiment_id IN ({})", ids.join(", "));
    let transaction = client.transaction().await.map_err(|e| Error::caused_by(what, e))?;
    for statement in deletions(&keys, "experiments", &roots) {
        transaction.batch_execute(&statement).await.map_err(|e| Error::caused_by(what, e))?;
    }
    transaction.commit().await.map_err(|e| Error::caused_by(what, e))?;
    Ok(ids.len())
}

async fn foreign_keys(client: &Client) -> Result<Vec<TableLink>, Error> {
    let rows = client.query(FOREIGN_KEYS, &[]).await.map_err(|e| Error::caused_by("cannot read foreign keys", e))?;
    let key = |row: &tokio_postgres::Row| TableLink {
        child: row.get(0),
        parent: row.get(1),
        columns: row.get(2),
        referred: row.get(3),
    };
    Ok(rows.iter().map(key).collect())
}

/// The statements that delete the rows of a table that meet a condition, after all that refers to them.
fn deletions(keys: &[TableLink], table: &str, condition: &str) -> Vec<String> {
    let (mut statements, mut path) = (vec![], BTreeSet::from([table.to_owned()]));
    referring(keys, table, condition, &mut path, &mut statements);
    statements.push(format!("DELETE FROM {table} WHERE {condition}"));
    statements
}

fn referring(
    keys: &[TableLink],
    table: &str,
    condition: &str,
    path: &mut BTreeSet<String>,
    statements: &mut Vec<String>,
) {
    for TableLink { child, columns, referred, .. } in keys.iter().filter(|key| key.parent == table) {
        let rows = format!("SELECT {} FROM {table} WHERE {condition}", referred.join(", "));
        let its = format!("({}) IN ({rows})", columns.join(", "));
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
    fn what_refers_to_a_row_goes_before_it() {
        let key = |child: &str, column: &str, parent: &str, referred: &str| TableLink {
            child: child.into(),
            columns: vec![column.into()],
            parent: parent.into(),
            referred: vec![referred.into()],
        };
        let keys = [
            key("runs", "experiment_id", "experiments", "experiment_id"),
            key("metrics", "run_uuid", "runs", "run_uuid"),
            key("runs", "parent", "runs", "run_uuid"),
            key("versions", "name", "models", "name"),
        ];
        let all = deletions(&keys, "experiments", "experiment_id IN (7)");
        let runs = "(experiment_id) IN (SELECT experiment_id FROM experiments WHERE experiment_id IN (7))";
        assert_eq!(
            all,
            [
                format!("DELETE FROM metrics WHERE (run_uuid) IN (SELECT run_uuid FROM runs WHERE {runs})"),
                format!("DELETE FROM runs WHERE {runs}"),
                "DELETE FROM experiments WHERE experiment_id IN (7)".to_owned(),
            ]
        );
    }

    #[test]
    fn every_experiment_of_a_drill_carries_its_runs_name() {
        let names = experiments("mlflow-crash-20250101T000000-beef");
        assert!(names.iter().all(|name| name.starts_with("lifeboat-") && name.ends_with("-beef")), "{names:?}");
    }
}
