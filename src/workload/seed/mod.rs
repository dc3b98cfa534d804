//! The seed: data as in a platform in use, written before a drill so that there is something to lose.
//!
//! It is written directly into MLflow's tables and bucket, because by REST it would take a minute of every drill. `rows`
//! has the rows, `objects` the artifacts, `model` makes a model for each version of the one in `model/`.

mod model;
mod objects;
mod rows;

pub use model::first_class;
pub use rows::EMPTY;

use crate::client::{Error, postgres};
use crate::environment::Platform;
use rows::SeedSize;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the seed consists of, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeded {
    /// Experiments.
    pub experiments: u64,
    /// Runs in all experiments, each with 20 metrics and 10 params.
    pub runs: u64,
    /// Registered models.
    pub models: u64,
    /// Versions of all models.
    pub versions: u64,
    /// Objects in the bucket.
    pub objects: u64,
}

impl fmt::Display for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { experiments, runs, models, versions, objects } = self;
        write!(f, "{runs} runs in {experiments} experiments, {versions} versions of {models} models, {objects} objects")
    }
}

/// How much will be planted at a scale, in words.
pub fn amount(scale: f64) -> String {
    let SeedSize { experiments, runs, models, versions } = SeedSize::at(scale);
    format!(
        "{} runs in {experiments} experiments and {} versions of {models} models",
        experiments * runs,
        models * versions
    )
}

/// Does the platform have a seed already? One that is used again does.
pub async fn planted(platform: &dyn Platform) -> Result<bool, Error> {
    let sql = platform.sql()?;
    let client = sql.connect(sql.database()).await?;
    let row = postgres::one(&client, "SELECT EXISTS (SELECT FROM experiments WHERE name = 'seed-00001')").await?;
    Ok(row.get(0))
}

/// Writes the seed into a platform that has none and in which MLflow has made its schema. A scale of 1 is 50 experiments.
pub async fn plant(platform: &dyn Platform, scale: f64) -> Result<Seeded, Error> {
    let what = "cannot write the seed";
    let sql = platform.sql()?;
    let objects = platform.objects()?;
    let size = SeedSize::at(scale);
    let client = sql.connect(sql.database()).await?;
    client.batch_execute(&size.sql()).await.map_err(|e| Error::caused_by(what, e))?;
    // A platform in use was vacuumed long ago. Otherwise the server does it during the baseline, and clients wait.
    client.batch_execute("VACUUM ANALYZE").await.map_err(|e| Error::caused_by(what, e))?;
    let rows = client.query(rows::VERSIONS, &[]).await.map_err(|e| Error::caused_by(what, e))?;
    let versions = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .collect::<Result<Vec<(String, i32, String)>, tokio_postgres::Error>>()
        .map_err(|e| Error::caused_by(what, e))?;
    let objects = objects::put(objects, &versions).await?;
    Ok(Seeded {
        experiments: size.experiments,
        runs: size.experiments * size.runs,
        models: size.models,
        versions: versions.len() as u64,
        objects,
    })
}
