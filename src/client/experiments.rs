//! The drill's own experiments: their names, and their removal with all that is in them, rows and objects.
//!
//! Apart because probes, workload and checks make them and may not import each other. Only a standing platform is
//! cleared so: a throw-away one is removed whole. MLflow's own deletion only hides an
//! experiment, so the rows are deleted in the database, whatever tables refer to them by foreign keys.

use super::{Error, ForeignKey, foreign_keys, postgres, s3, versions};
use postgres_protocol::escape::escape_identifier;
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

/// The table of experiments that the connection's search path leads to, as SQL writes it with its schema.
const TABLE: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n \
     ON n.oid = c.relnamespace WHERE c.oid = to_regclass('experiments')";

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
    let table: String = postgres::one(client, TABLE).await?.get(0);
    let query = format!("SELECT experiment_id::text FROM {table} WHERE name = ANY($1)");
    let found = client.query(&query, &[&experiments(run)]).await.map_err(|e| Error::caused_by(what, e))?;
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
    for statement in deletions(&keys, &table, &roots) {
        transaction.batch_execute(&statement).await.map_err(|e| Error::caused_by(what, e))?;
    }
    transaction.commit().await.map_err(|e| Error::caused_by(what, e))?;
    Ok(ids.len())
}

/// The statements that delete the rows of a table that meet a condition, after all that refers to them.
fn deletions(keys: &[ForeignKey], table: &str, condition: &str) -> Vec<String> {
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

    #[test]
    fn every_experiment_of_a_drill_carries_its_runs_name() {
        let names = experiments("mlflow-crash-20250101T000000-beef");
        assert!(names.iter().all(|name| name.starts_with("lifeboat-") && name.ends_with("-beef")), "{names:?}");
    }
}
