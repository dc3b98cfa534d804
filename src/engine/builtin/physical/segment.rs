//! One segment of the write-ahead log, and the name of its file.
//!
//! Apart because it is pure arithmetic that everything else here rests on. The size of a segment is the server's own
//! (`initdb --wal-segsize`), so nothing here assumes 16 MB.

use crate::engine::Lsn;

/// One segment of the log: its timeline and its number, from the beginning of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The timeline.
    pub timeline: u32,
    /// The number.
    pub number: u64,
}

impl Segment {
    /// The one that holds a position.
    pub fn holding(timeline: u32, lsn: Lsn, size: u64) -> Self {
        Self { timeline, number: lsn.0 / size }
    }

    /// The one whose file has this name, without `.partial`.
    pub fn named(name: &str, size: u64) -> Option<Self> {
        if name.len() != 24 || !name.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)) {
            return None;
        }
        let read = |range| u32::from_str_radix(&name[range], 16).ok();
        let (timeline, high, low) = (read(0..8)?, read(8..16)?, read(16..24)?);
        Some(Self { timeline, number: u64::from(high) * (0x1_0000_0000 / size) + u64::from(low) })
    }

    /// The name of its file.
    pub fn name(self, size: u64) -> String {
        let each = 0x1_0000_0000 / size;
        format!("{:08X}{:08X}{:08X}", self.timeline, self.number / each, self.number % each)
    }

    /// Its first position.
    pub fn start(self, size: u64) -> Lsn {
        Lsn(self.number * size)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_named_by_the_position_it_holds() {
        const MB: u64 = 1 << 20;
        let segment = Segment::holding(1, "1/3018128".parse().unwrap(), 16 * MB);
        assert_eq!(segment.name(16 * MB), "000000010000000100000003");
        assert_eq!(Segment::named("000000010000000100000003", 16 * MB), Some(segment));
        assert_eq!(segment.start(16 * MB).to_string(), "1/3000000");
        let last = Segment::named("0000000100000000000000FF", 16 * MB).unwrap();
        assert_eq!(Segment { number: last.number + 1, ..last }.name(16 * MB), "000000010000000100000000");
        for other in ["00000002.history", "000000010000000000000003.partial", "00000001000000000000000g"] {
            assert_eq!(Segment::named(other, 16 * MB), None, "{other}");
        }
    }
}
