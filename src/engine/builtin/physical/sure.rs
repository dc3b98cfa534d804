//! How far a received log is known to be complete.
//!
//! Apart because the receiver says it and a restore asks for it, and neither knows the other.

use crate::engine::Lsn;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How far a received log is known to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurePoint {
    /// The log was on the receiver's disk up to here.
    pub lsn: Lsn,
    /// All that was committed by this time of the server's clock is in it.
    pub at: Timestamp,
}

impl SurePoint {
    /// The further one of two.
    pub fn further(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        [one, other].into_iter().flatten().max_by_key(|sure| (sure.lsn, sure.at))
    }
}
