//! What is to be done to one key so that clients see it as it was: the fewest acts, and none that removes a version.
//!
//! Pure. The three cases are those of AWS's guidance on rollbacks: a key that is new gets a delete marker, a key that was
//! deleted loses its markers, a key that was overwritten gets a copy of the version of then. Markers are removed by their
//! ids: a delete without one adds a marker. Removing a marker keeps the version below with its id, time and tag; a copy
//! is a new version, so it is made only where nothing else helps.

use super::history::{S3History, S3Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// To what a bucket is rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackGoal {
    /// To what clients saw at a moment.
    Moment {
        /// The moment, by the server's clock.
        at: Timestamp,
        /// A key that was written or deleted after this stays as it is: that was somebody else. Nothing: no key does.
        until: Option<Timestamp>,
        /// Do keys stay that were made after the moment?
        keep_created: bool,
    },
    /// Only what was deleted between two moments comes back, where nobody did anything to it since.
    Deleted {
        /// The first moment.
        begin: Timestamp,
        /// The last one.
        end: Timestamp,
    },
    /// To the version ids that a recovery point recorded.
    Recorded {
        /// Do keys stay that it did not record? Else they are hidden.
        keep_others: bool,
    },
}

/// One object as a recovery point recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedObject {
    /// The version's id.
    pub id: String,
    /// Its entity tag, if it was recorded: `null` versions are overwritten in place.
    pub etag: Option<String>,
}

/// What is done to one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackAct {
    /// Removes delete markers, so that this version is seen again.
    Remove {
        /// The key.
        key: String,
        /// The markers' ids.
        markers: Vec<String>,
        /// The version's id.
        shows: String,
    },
    /// Copies a version on top of all others.
    Copy {
        /// The key.
        key: String,
        /// The version's id.
        id: String,
        /// Its bytes.
        size: u64,
        /// Its entity tag.
        etag: String,
    },
    /// Adds a delete marker.
    Hide {
        /// The key.
        key: String,
    },
}

impl RollbackAct {
    /// The key that it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Remove { key, .. } | Self::Copy { key, .. } | Self::Hide { key } => key,
        }
    }
}

/// What is to be done to a key, and what has to be said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPlan {
    /// The act, if one is needed.
    pub act: Option<RollbackAct>,
    /// Why it cannot come back.
    pub gone: Option<String>,
    /// Its time is too coarse to say on which side of the moment an entry lies.
    pub ambiguous: bool,
}

/// What clients are to see of a key.
enum WantedState<'a> {
    Version(&'a S3Version),
    Absent,
    AsItIs,
    Gone(String),
}

const NO_VERSION: &str = "no version of it is left";

/// The plan of a key. `recorded` is what the recovery point has of it, for [`RollbackGoal::Recorded`].
pub fn plan(history: &S3History, goal: &RollbackGoal, recorded: Option<&RecordedObject>) -> KeyPlan {
    let entries = history.entries.as_slice();
    let (wanted, ambiguous) = match goal {
        RollbackGoal::Moment { at, until, keep_created } => at_moment(entries, *at, *until, *keep_created),
        RollbackGoal::Deleted { begin, end } => (deleted(entries, *begin, *end), false),
        RollbackGoal::Recorded { keep_others: true } if recorded.is_none() => (WantedState::AsItIs, false),
        RollbackGoal::Recorded { .. } => (as_recorded(entries, recorded), false),
    };
    let (act, gone) = match wanted {
        WantedState::AsItIs => (None, None),
        WantedState::Gone(why) => (None, Some(why)),
        WantedState::Absent => (history.visible().map(|it| RollbackAct::Hide { key: it.key.clone() }), None),
        WantedState::Version(version) => (act(entries, version), None),
    };
    KeyPlan { act, gone, ambiguous }
}

/// A recorded key of which the bucket has nothing at all.
pub fn unlisted() -> KeyPlan {
    KeyPlan { gone: Some(NO_VERSION.into()), ..KeyPlan::default() }
}

/// The fewest acts that show a version.
fn act(entries: &[S3Version], version: &S3Version) -> Option<RollbackAct> {
    let key = version.key.clone();
    let markers: Vec<_> = entries.iter().take_while(|it| it.marker).map(|it| it.id.clone()).collect();
    match entries.get(markers.len()) {
        Some(below) if below.id == version.id || below.same_content(&version.etag, version.size) => {
            let shows = below.id.clone();
            (!markers.is_empty()).then_some(RollbackAct::Remove { key, markers, shows })
        }
        _ => {
            let (id, size, etag) = (version.id.clone(), version.size, version.etag.clone());
            Some(RollbackAct::Copy { key, id, size, etag })
        }
    }
}

/// What a client saw at a moment. An entry whose time may lie on either side counts as made after it where something
/// older is there to come back to, else as made before: the first undoes the harm, the second hides nothing.
fn at_moment(
    entries: &[S3Version],
    at: Timestamp,
    until: Option<Timestamp>,
    keep_created: bool,
) -> (WantedState<'_>, bool) {
    let unsure = |it: &S3Version| it.from <= at && it.to > at;
    let ambiguous = entries.iter().any(unsure);
    if let Some(newest) = entries.first()
        && until.is_some_and(|until| newest.from > until)
    {
        return (WantedState::AsItIs, false);
    }
    let then = entries.iter().find(|it| it.to <= at).or_else(|| entries.iter().find(|it| unsure(it)));
    let only_markers = entries.iter().all(|it| it.marker);
    let wanted = match then {
        Some(version) if !version.marker => WantedState::Version(version),
        // It was deleted after the moment, and nothing is below the marker: a version was purged.
        None if only_markers => WantedState::Gone(NO_VERSION.into()),
        None if keep_created => WantedState::AsItIs,
        _ => WantedState::Absent,
    };
    (wanted, ambiguous)
}

/// What the markers of a span of time hide, if one of them is the newest entry.
fn deleted(entries: &[S3Version], begin: Timestamp, end: Timestamp) -> WantedState<'_> {
    let of_span = |it: &&S3Version| it.marker && it.from <= end && it.to >= begin;
    let markers = entries.iter().take_while(of_span).count();
    match entries.get(markers) {
        _ if markers == 0 => WantedState::AsItIs,
        Some(below) if below.marker => WantedState::AsItIs,
        Some(below) => WantedState::Version(below),
        None => WantedState::Gone(NO_VERSION.into()),
    }
}

fn as_recorded<'a>(entries: &'a [S3Version], recorded: Option<&RecordedObject>) -> WantedState<'a> {
    let Some(recorded) = recorded else { return WantedState::Absent };
    match entries.iter().find(|it| it.id == recorded.id) {
        Some(version) if version.marker => WantedState::Gone(format!("`{}` is a delete marker", recorded.id)),
        Some(version) if recorded.etag.as_ref().is_some_and(|etag| *etag != version.etag) => {
            WantedState::Gone(format!("the version `{}` has another content", recorded.id))
        }
        Some(version) => WantedState::Version(version),
        None => WantedState::Gone(format!("the version `{}` is not there any more", recorded.id)),
    }
}

#[cfg(test)]
#[path = "rollback_plan_tests.rs"]
mod tests;
