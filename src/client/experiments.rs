//! The drill's own experiments: their names, and their removal with all that is in them, rows and objects.
//!
//! Apart because probes, workload and checks make them and may not import each other. Only a standing platform is
//! cleared so: a throw-away one is removed whole. MLflow's own deletion only hides an
//! experiment, so the rows are deleted in the database, whatever tables refer to them by foreign keys.

use super::{Error, deletions, foreign_keys, postgres, s3, versions};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_experiment_of_a_drill_carries_its_runs_name() {
        let names = experiments("mlflow-crash-20250101T000000-beef");
        assert!(names.iter().all(|name| name.starts_with("lifeboat-") && name.ends_with("-beef")), "{names:?}");
    }
}
