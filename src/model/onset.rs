//! The onset: when a disaster took effect. Recovery time and recovery point both count from it.

use crate::clock::Moment;
use jiff::Timestamp;

/// The interval in which the first fault of a disaster took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Onset {
    /// The injecting call was made: not before.
    pub injecting: Moment,
    /// Its effect was observed: not after.
    pub confirmed: Moment,
}

/// The onset of a disaster with what its recovery needs beside it: several faults can make one disaster.
#[derive(Debug, Clone, Copy)]
pub struct Disaster {
    /// When the first fault took effect.
    pub onset: Onset,
    /// When the effect of the last fault so far was observed.
    pub last_confirmed: Moment,
    /// When the first injecting call was made, in wall time, to compare with what servers tell of their own times.
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
