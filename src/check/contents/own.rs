//! What the drill itself writes: its experiments with their rows and objects. They are the ledger's, and left out here.
//!
//! By identity: an experiment is the drill's own by its exact name, and rows and objects are by that experiment's id.
//! Nothing is left out because it is new.

use super::sql::DatabaseSnapshot;
use crate::client::{Error, experiments, s3::located, tasks};
use crate::environment::Objects;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The experiments of a platform: the drill's own, and the names of all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KnownExperiments {
    /// The ids of the drill's own.
    pub own: BTreeSet<String>,
    /// What stands before the keys of their objects.
    pub prefixes: BTreeSet<String>,
    /// The names of the others, by id.
    pub names: BTreeMap<String, String>,
}

impl KnownExperiments {
    /// Reads them; there are none where there is no such table.
    pub async fn read(
        snapshot: &DatabaseSnapshot,
        table: Option<&str>,
        run: &str,
        objects: &dyn Objects,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        let Some(table) = table else { return Ok(found) };
        let own = experiments::experiments(run);
        for row in snapshot.rows(&query(table)).await? {
            let (id, name, location): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            if own.contains(&name) {
                found.prefixes.extend(prefix(objects, &id, &location));
                found.own.insert(id);
            } else {
                found.names.insert(id, name);
            }
        }
        Ok(found)
    }

    /// The names of all, where no drill writes.
    pub async fn names(snapshot: &DatabaseSnapshot, table: Option<&str>) -> Result<Self, Error> {
        let Some(table) = table else { return Ok(Self::default()) };
        let rows = snapshot.rows(&query(table)).await?;
        Ok(Self { names: rows.iter().map(|row| (row.get(0), row.get(1))).collect(), ..Self::default() })
    }

    /// Is the object with this key the drill's own? Also if it is a mark of an experiment that nobody knows: a restore
    /// may go back to a time before the drill's experiment and leave its objects.
    pub fn owns(&self, key: &str) -> bool {
        let mut parts = key.rsplit('/');
        let mark = [parts.next(), parts.next()] == [Some(tasks::MARK_FILE), Some("artifacts")];
        let experiment = parts.nth(1).unwrap_or_default();
        let orphan = mark && experiment.parse::<u64>().is_ok() && !self.names.contains_key(experiment);
        orphan || self.prefixes.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// Those that were there then, or are now: a restore may have taken the row and left the objects.
    pub fn and(mut self, then: &Self) -> Self {
        // An id that is another's now is that one's.
        self.own.extend(then.own.iter().filter(|id| !self.names.contains_key(*id)).cloned());
        let of_another = |prefix: &&String| {
            let id = prefix.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            !self.names.contains_key(id)
        };
        self.prefixes.extend(then.prefixes.iter().filter(of_another).cloned());
        self.names.extend(then.names.iter().map(|(id, name)| (id.clone(), name.clone())));
        self
    }
}

fn query(table: &str) -> String {
    format!("SELECT experiment_id::text, name::text, coalesce(artifact_location, '')::text FROM {table}")
}

/// What stands before the keys of an experiment's objects; nothing if that could be more than this experiment's.
fn prefix(objects: &dyn Objects, id: &str, location: &str) -> Option<String> {
    let path = located(objects.bucket(), objects.prefix(), location)?;
    (path.rsplit('/').next() == Some(id)).then(|| path + "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiments(own: &[&str], names: &[&str]) -> KnownExperiments {
        KnownExperiments {
            own: own.iter().map(|&id| id.to_owned()).collect(),
            prefixes: own.iter().map(|id| format!("artifacts/{id}/")).collect(),
            names: names.iter().map(|&id| (id.to_owned(), format!("name of {id}"))).collect(),
        }
    }

    #[test]
    fn objects_are_the_drills_own_by_their_experiment_and_not_because_they_are_new() {
        let known = experiments(&["51"], &["1", "2"]);
        assert!(known.owns("artifacts/51/run/artifacts/model/MLmodel"));
        assert!(!known.owns("artifacts/5/run/artifacts/a") && !known.owns("artifacts/511/run/artifacts/a"));
        assert!(known.owns("artifacts/60/run/artifacts/mark.bin"), "a mark of an experiment that is gone");
        assert!(!known.owns("artifacts/60/run/artifacts/other.bin"));
        assert!(!known.owns("artifacts/2/run/artifacts/mark.bin"), "that experiment is known");
    }

    #[test]
    fn what_was_the_drills_own_then_stays_so_unless_the_id_is_anothers_now() {
        let both = experiments(&["52"], &["1", "51"]).and(&experiments(&["51", "50"], &["1"]));
        assert_eq!(both.own, experiments(&["50", "52"], &[]).own);
        assert!(both.owns("artifacts/50/x") && !both.owns("artifacts/51/x"));
    }
}
