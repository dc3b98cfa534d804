//! What a database holds, as digests: read in the snapshot of a backup, and compared with what was restored of it.
//!
//! Apart from the check because no drill is about: nothing is left out as a drill's own, and no bucket is looked at.

use super::difference::{Differences, Meaning};
use super::own::KnownExperiments;
use super::sql::DatabaseSnapshot;
use super::{Compared, PlantedContents, catalogue, compare_database, of_experiments};
use crate::client::Error;
use crate::environment::Platform;
use crate::model::{Finding, Planted};

/// Reads every table's rows as digests, the schema and the sequences, in the snapshot that another transaction has
/// exported.
///
/// # Errors
/// When something cannot be read.
pub async fn read_digests(platform: &dyn Platform, snapshot: &str) -> Result<Planted, Error> {
    let snapshot = DatabaseSnapshot::join(platform, snapshot).await?.unhurried().await?;
    let shapes = catalogue::tables(&snapshot).await?;
    let experiments = KnownExperiments::names(&snapshot, of_experiments(&shapes)).await?;
    PlantedContents::of_database(&snapshot, &shapes, None, experiments).await?.planted()
}

/// Compares the platform's database with what was read in a snapshot: every difference is a harm.
pub async fn compare_digests(platform: &dyn Platform, digests: &Planted) -> Finding {
    let (mut differences, mut compared) = (Differences::default(), Compared::default());
    let looked = async {
        let before = PlantedContents::of(digests)?;
        let snapshot = DatabaseSnapshot::begin(platform).await?.unhurried().await?;
        let shapes = catalogue::tables(&snapshot).await?;
        let known = KnownExperiments::names(&snapshot, of_experiments(&shapes)).await?.and(&before.experiments);
        compare_database((&snapshot, &shapes), &known, &before, None, &mut differences, &mut compared).await
    };
    if let Err(error) = looked.await {
        differences.push(Meaning::Untold, error.to_string());
    }
    differences.finding().figure("tables compared", compared.tables).figure("rows compared", compared.rows)
}
