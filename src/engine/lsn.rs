//! A position in the write-ahead log of a PostgreSQL server.
//!
//! Apart because it is plain data that goals, plans and engines speak of alike.

use crate::client::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log: bytes since the beginning of the cluster's life. Written as PostgreSQL does, `0/3018128`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text.trim().split_once('/');
        let read = |part: &str| u32::from_str_radix(part, 16).ok().map(u64::from);
        let lsn = parts.and_then(|(high, low)| Some(read(high)? << 32 | read(low)?));
        lsn.map(Self).ok_or_else(|| Error::new(format!("`{text}`"), "no position in the log, such as `0/3018128`"))
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

impl TryFrom<String> for Lsn {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_and_written_as_postgresql_does() {
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!((lsn.0, lsn.to_string().as_str()), (0x16_B374_D848, "16/B374D848"));
        assert!("nonsense".parse::<Lsn>().is_err() && "1/".parse::<Lsn>().is_err());
        assert_eq!(serde_json::to_string(&lsn).unwrap(), "\"16/B374D848\"");
    }
}
