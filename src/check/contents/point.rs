//! What a recovery point holds of the rows that were planted, read in the snapshot of its backup.
//!
//! Users of a standing platform go on working between the planting and the backup. What they had changed by the backup is
//! no loss, and after a restore the rows are to be as they were in the point. Only what had changed by then is kept.

use super::PlantedContents;
use super::own::KnownExperiments;
use super::rows::{self, TableContents};
use super::sql::DatabaseSnapshot;
use super::{catalogue, experiments};
use crate::client::Error;
use crate::environment::Platform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The rows in a recovery point.
#[derive(Debug, Serialize, Deserialize)]
pub struct PointContents {
    /// The drill's own experiments in it, and the names of those that were not there before.
    pub experiments: KnownExperiments,
    /// The tables that had other rows than before; each as it was read before.
    pub tables: BTreeMap<String, TableContents>,
}

impl PointContents {
    /// Reads in the snapshot of a backup that is being taken.
    pub async fn read(platform: &dyn Platform, before: &PlantedContents, snapshot: &str) -> Result<Self, Error> {
        let snapshot = DatabaseSnapshot::join(platform, snapshot).await?;
        let shapes = catalogue::tables(&snapshot).await?;
        let mut known = experiments(&snapshot, &shapes, &before.run, platform).await?;
        let with_before = known.clone().and(&before.experiments);
        let mut tables = BTreeMap::new();
        for (table, then) in before.tables.iter().filter(|(table, then)| then.stands(table, &shapes)) {
            let found = rows::read(&snapshot, table, then, before.rows(), &with_before).await?;
            if found.groups != then.groups {
                tables.insert(table.clone(), found);
            }
        }
        known.names.retain(|id, name| before.experiments.names.get(id) != Some(name));
        Ok(Self { experiments: known, tables })
    }
}
