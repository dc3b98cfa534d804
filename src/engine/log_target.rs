//! The target of a recovery, up to where the log is replayed, and the ends of transactions on its sides.
//!
//! Apart from whether the log reaches it, because whoever asks for one has not looked into the log; and from the engines,
//! because plans name it and are read by people.

use super::lsn::Lsn;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Up to where the log is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogTarget {
    /// All of it: the newest state.
    End,
    /// No further than makes the base backup consistent.
    Base,
    /// The newest state at this time of the server's clock, or before it if not inclusive.
    Time {
        /// The time.
        at: Timestamp,
        /// With what was committed at this very microsecond?
        inclusive: bool,
    },
    /// The newest state that the log holds of before this time of the server's clock, however early the log ends: for a
    /// server that is gone, of which nothing later can be had.
    Newest {
        /// The time.
        at: Timestamp,
        /// With what was committed at this very microsecond?
        inclusive: bool,
    },
    /// Up to the commit of a transaction, which may be named by one of its parts, as a row's `xmin` does.
    Transaction {
        /// Its number, without the epoch.
        xid: u32,
        /// With the commit itself?
        inclusive: bool,
    },
    /// The state before the record at this position or the first one after it, as `pg_current_wal_lsn()` answers it.
    Lsn(Lsn),
    /// The point that `pg_create_restore_point` has named so.
    Name(String),
}

impl LogTarget {
    /// The state before what people call so: a transaction, with or without its epoch, or else a named point.
    pub fn before(what: &str) -> Self {
        match what.parse::<u64>() {
            Ok(xid) => {
                Self::Transaction { xid: u32::try_from(xid & 0xFFFF_FFFF).unwrap_or_default(), inclusive: false }
            }
            Err(_) => Self::Name(what.to_owned()),
        }
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end of the log"),
            Self::Base => f.write_str("the base backup"),
            Self::Time { at, inclusive: true } => write!(f, "the newest state at {at}"),
            Self::Time { at, inclusive: false } => write!(f, "the newest state before {at}"),
            Self::Newest { at, inclusive: true } => write!(f, "the newest state received, of {at} or before"),
            Self::Newest { at, inclusive: false } => write!(f, "the newest state received, of before {at}"),
            Self::Transaction { xid, inclusive: true } => write!(f, "the state after transaction {xid}"),
            Self::Transaction { xid, inclusive: false } => write!(f, "the state before transaction {xid}"),
            Self::Lsn(lsn) => write!(f, "the state at position {lsn}"),
            Self::Name(name) => write!(f, "the point `{name}`"),
        }
    }
}

/// The end of a transaction in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionEnd {
    /// Where its record begins.
    pub lsn: Lsn,
    /// The transaction, without its epoch.
    pub xid: u32,
    /// When it ended, by the server's clock.
    pub at: Timestamp,
    /// Did it commit?
    pub committed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_a_named_point_and_an_epoch_is_left_out() {
        let xid = |xid| LogTarget::Transaction { xid, inclusive: false };
        assert_eq!(LogTarget::before("735"), xid(735));
        assert_eq!(LogTarget::before("4294968031"), xid(735), "as `pg_current_xact_id()` answers it");
        assert_eq!(LogTarget::before("upgrade 735"), LogTarget::Name("upgrade 735".into()));
    }
}
