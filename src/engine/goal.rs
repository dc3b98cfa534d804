//! What a restore is to reach, and the plan that says how, before anything is touched.
//!
//! Apart because steps, commands and people read them: an engine decides, they see what it decided.

use super::log_target::{LogTarget, TransactionEnd};
use super::lsn::Lsn;
use crate::client::Error;
use crate::clock::Moment;
use crate::environment::Asset;
use crate::model::RecoveryPoint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// What a restore is to reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The newest state there is; in a drill, the newest whose snapshot precedes this moment on the run's clock.
    Latest(Option<Moment>),
    /// The recovery point of this name.
    Point(String),
    /// The newest state at or before this time.
    At(Timestamp),
    /// The state right before the commit of a transaction, by its number, or at a point that was named in the log.
    Before(String),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Latest(None) => f.write_str("the newest recovery point"),
            Self::Latest(Some(_)) => f.write_str("the newest recovery point from before the disaster"),
            Self::Point(id) => write!(f, "the recovery point `{id}`"),
            Self::At(time) => write!(f, "the newest state at or before {time}"),
            Self::Before(what) => write!(f, "the state before `{what}`"),
        }
    }
}

/// How a goal is reached: decided, and not yet carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// What was asked for.
    pub goal: Goal,
    /// The recovery point that is restored.
    pub point: RecoveryPoint,
    /// Only this of the point; all that it holds if nothing. An engine of the user's own restores what it restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Asset>,
    /// Up to where the log is replayed on it; nothing for an engine that restores whole points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<LogTarget>,
    /// What of the log that is, as far as it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<ReplayedLog>,
    /// The new data directory that it is restored into, instead of into the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
}

/// What of a log is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayedLog {
    /// From here on.
    pub from: Lsn,
    /// Bytes of the segments that there are from there on.
    pub bytes: u64,
    /// The last end of a transaction that is replayed, if one is in the log.
    pub before: Option<TransactionEnd>,
    /// The first that is not, if one is in the log.
    pub next: Option<TransactionEnd>,
}

impl RestorePlan {
    /// Is this asset to be restored?
    pub fn restores(&self, asset: Asset) -> bool {
        self.only.is_none_or(|only| only == asset)
    }

    /// Of a whole point, into the platform.
    pub fn of_point(goal: &Goal, point: &RecoveryPoint) -> Self {
        Self { goal: goal.clone(), point: point.clone(), only: None, target: None, log: None, directory: None }
    }

    /// For an engine that restores whole points: the one of these that fits the goal.
    ///
    /// # Errors
    /// When none fits; the hint names those that there are.
    pub fn of_points(points: &[RecoveryPoint], goal: &Goal) -> Result<Self, Error> {
        let newest = |fits: &dyn Fn(&RecoveryPoint) -> bool| {
            points.iter().filter(|point| fits(point)).max_by_key(|point| (point.taken_at, point.snapshot))
        };
        let found = match goal {
            // A backup of the ruins is a valid point and the wrong one.
            Goal::Latest(Some(before)) => newest(&|point| point.snapshot < *before),
            Goal::Latest(None) => newest(&|_| true),
            Goal::Point(id) => newest(&|point| point.id == *id),
            Goal::At(time) => newest(&|point| point.taken_at <= *time),
            Goal::Before(_) => {
                let why = "this engine restores whole points, and knows no transactions or names between them";
                return Err(
                    Error::new(goal.to_string(), why).hint("give a point or a time, or use `postgres: physical`")
                );
            }
        };
        let known = || points.iter().map(|point| format!("{} of {}", point.id, point.taken_at)).collect::<Vec<_>>();
        match found {
            Some(point) => Ok(Self::of_point(goal, point)),
            None if points.is_empty() => Err(Error::new(goal.to_string(), "there is no recovery point")),
            None => Err(Error::new(goal.to_string(), "there is none").hint(format!("known: {}", known().join(", ")))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn point(id: &str, seconds: i64) -> RecoveryPoint {
        let taken_at = Timestamp::from_second(1000 + seconds).unwrap();
        #[allow(clippy::cast_precision_loss)]
        let snapshot = Moment::at(seconds as f64);
        RecoveryPoint { id: id.into(), snapshot, taken_at, bytes: None }
    }

    fn chosen(points: &[RecoveryPoint], goal: &Goal) -> Result<String, String> {
        let plan = RestorePlan::of_points(points, goal);
        plan.map(|plan| plan.point.id).map_err(|error| error.to_string())
    }

    #[test]
    fn a_backup_of_the_ruins_is_never_the_latest() {
        let points = [point("1", 5), point("2", 10), point("after the onset", 15)];
        let before = |seconds| chosen(&points, &Goal::Latest(Some(Moment::at(seconds))));
        assert_eq!(before(12.0).unwrap(), "2");
        assert_eq!(before(10.0).unwrap(), "1", "strictly before the onset");
        assert!(before(5.0).unwrap_err().contains("known: 1 of 1970-01-01T00:16:45Z, 2 of"), "{:?}", before(5.0));
        assert_eq!(chosen(&points, &Goal::Latest(None)).unwrap(), "after the onset");
    }

    #[test]
    fn a_point_is_found_by_its_name_and_the_newest_at_a_time_by_that() {
        let points = [point("2", 10), point("1", 5)];
        assert_eq!(chosen(&points, &Goal::Point("1".into())).unwrap(), "1");
        assert!(chosen(&points, &Goal::Point("3".into())).unwrap_err().starts_with("the recovery point `3`"));
        let at = |second| chosen(&points, &Goal::At(Timestamp::from_second(second).unwrap()));
        assert_eq!(at(1010).unwrap(), "2");
        assert_eq!(at(1009).unwrap(), "1");
        assert!(at(1004).is_err(), "never one that is too new");
        assert!(chosen(&points, &Goal::Before("735".into())).unwrap_err().contains("restores whole points"));
        assert!(chosen(&[], &Goal::Latest(None)).unwrap_err().contains("there is no recovery point"));
    }
}
