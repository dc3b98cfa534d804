//! The onset: when a disaster took effect. Recovery time and recovery point both count from it.

use crate::clock::Moment;
use jiff::Timestamp;

/// The interval in which the first fault of a disaster took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Onset {
    /// When the call that injects it was made: it took effect not before.
    pub injecting: Moment,
    /// When its effect was observed: it took effect not after.
    pub confirmed: Moment,
}

/// A disaster of one or more faults: its onset, and what the recovery needs to know besides.
#[derive(Debug, Clone, Copy)]
pub struct Disaster {
    /// When the first fault took effect.
    pub onset: Onset,
    /// When the effect of the last fault so far was observed.
    pub last_confirmed: Moment,
    /// When the first injecting call was made, in wall time, to compare with the times of servers.
    pub began_at: Timestamp,
    /// When the effect of the last fault so far was observed, in wall time.
    pub confirmed_at: Timestamp,
}

impl Disaster {
    /// A disaster of one fault.
    pub fn of_one(onset: Onset, began_at: Timestamp, confirmed_at: Timestamp) -> Self {
        Self { onset, last_confirmed: onset.confirmed, began_at, confirmed_at }
    }
}
