//! Whose points those of drills are: the label of a run's points, and the question whether a repository holds no others.
//!
//! Apart because faults ask it before they destroy, and runs when they remove what they made. No protection's name has a
//! colon, so that no command of a protection takes a drill's points for its own.

use super::open::{OpenRepository, StoredPoint};
use crate::client::Error;
use crate::store::drill_of_run;
use std::collections::BTreeSet;

const DRILL: &str = "drill:";

/// What the points of a run are points of.
pub fn label_of_run(run: &str) -> String {
    format!("{DRILL}{run}")
}

impl StoredPoint {
    /// Is it of a run of this drill?
    fn is_of_drill(&self, drill: &str) -> bool {
        self.label.strip_prefix(DRILL).and_then(drill_of_run) == Some(drill)
    }
}

impl OpenRepository {
    /// Refuses if there is any other point than those that runs of this drill have put there.
    ///
    /// # Errors
    /// If so, with what they are points of; if a point cannot be read, since nobody knows whose it is.
    pub async fn only_of_drill(&self, drill: &str) -> Result<(), Error> {
        let list = self.points().await?;
        let others: BTreeSet<_> =
            list.points.iter().filter(|point| !point.is_of_drill(drill)).map(|point| point.label.as_str()).collect();
        let why = match (list.unreadable.first(), others.len()) {
            (Some((file, _)), _) => format!("nobody knows whose point `{file}` is, which cannot be read"),
            (None, 0) => return Ok(()),
            (None, _) => format!("it holds points of {}", others.into_iter().collect::<Vec<_>>().join(", ")),
        };
        let error = Error::new(format!("the repository `{}` must not be attacked", self.location()), why);
        Err(error.hint("give the drill a repository of its own"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_of_the_drill_whose_run_has_taken_it_and_of_no_other() {
        let of = |label: &str| StoredPoint {
            id: String::new(),
            time: crate::clock::wall(),
            label: label.into(),
            tags: vec![],
            files: 0,
            bytes: 0,
            added: 0,
            took: std::time::Duration::ZERO,
        };
        let run = "database-drop-20261128T180712-fdf0";
        assert_eq!(label_of_run(run), format!("drill:{run}"));
        assert!(of(&label_of_run(run)).is_of_drill("database-drop"));
        assert!(!of(&label_of_run(run)).is_of_drill("database"));
        for label in ["database-drop", "mlflow", "mlflow/log", run] {
            assert!(!of(label).is_of_drill("database-drop"), "{label}");
        }
    }
}
