//! Reads the ends of transactions and the named points out of the log, by the server's own `pg_waldump`.
//!
//! Apart from the restore because it is what a target is judged by before anything is replayed: what is the last
//! transaction in front of it, which is the next, and does the log reach it at all. The log is read as a stream and only
//! what the target needs is kept. `pg_waldump` ends with an error at the end of every log (`invalid record length at …:
//! wanted 24, got 0`): where it ends tells damage from the end.

use crate::engine::{LogTarget, Lsn, TransactionEnd};
use jiff::fmt::strtime;

/// How many named points are remembered for an error message.
const POINTS: usize = 1000;

/// A line of `pg_waldump` that says something here.
#[derive(Debug, PartialEq)]
enum LogLine {
    End(TransactionEnd, Vec<u32>),
    Point(Lsn, String),
}

/// What the log holds, as seen from a target.
#[derive(Debug, Default)]
pub struct Scan {
    /// The last end of a transaction that a recovery to the target replays.
    pub before: Option<TransactionEnd>,
    /// The first that it does not replay.
    pub next: Option<TransactionEnd>,
    /// The target itself: the position of the transaction's end or of the named point.
    pub hit: Option<Lsn>,
    /// The transaction that is meant, if the target names one of its parts.
    pub parent: Option<u32>,
    /// The first end of a transaction after the base backup.
    pub first: Option<TransactionEnd>,
    /// The last of all.
    pub last: Option<TransactionEnd>,
    /// The committed transactions nearest to the one that the target names, below and above.
    pub near: (Option<u32>, Option<u32>),
    /// The named points after the base backup, the first ones.
    pub points: Vec<String>,
    /// How far the log can be read.
    pub end: Option<Lsn>,
}

impl Scan {
    /// Takes a line; `stop` is where the base backup is consistent.
    pub fn take(&mut self, line: &str, target: &LogTarget, stop: Lsn) {
        match read(line) {
            Some(LogLine::End(end, parts)) => self.end_of_transaction(end, &parts, target, stop),
            Some(LogLine::Point(lsn, name)) => {
                if matches!(target, LogTarget::Name(wanted) if *wanted == name) && self.hit.is_none() && lsn >= stop {
                    self.hit = Some(lsn);
                }
                if self.points.len() < POINTS && lsn >= stop {
                    self.points.push(name);
                }
            }
            None => {}
        }
    }

    fn end_of_transaction(&mut self, end: TransactionEnd, parts: &[u32], target: &LogTarget, stop: Lsn) {
        if end.lsn >= stop && self.first.is_none() {
            self.first = Some(end.clone());
        }
        self.last = Some(end.clone());
        let beyond = match target {
            LogTarget::End => false,
            LogTarget::Base => end.lsn >= stop,
            LogTarget::Time { at, inclusive } | LogTarget::Newest { at, inclusive } => {
                end.at > *at || !inclusive && end.at == *at
            }
            LogTarget::Lsn(lsn) => end.lsn >= *lsn,
            LogTarget::Name(_) => self.hit.is_some_and(|hit| end.lsn > hit),
            LogTarget::Transaction { xid, inclusive } => {
                if end.committed {
                    self.near = (self.near.0.max((end.xid < *xid).then_some(end.xid)), above(self.near.1, &end, *xid));
                }
                let is_it = end.xid == *xid || parts.contains(xid);
                if is_it && self.hit.is_none() {
                    (self.hit, self.parent) = (Some(end.lsn), Some(end.xid).filter(|parent| parent != xid));
                    !inclusive
                } else {
                    self.hit.is_some()
                }
            }
        };
        if !beyond && self.next.is_none() {
            self.before = Some(end);
        } else if self.next.is_none() {
            self.next = Some(end);
        }
    }

    /// Takes what `pg_waldump` said at its end.
    pub fn ended(&mut self, said: &str) {
        let error = said.lines().rev().find(|line| line.contains("error in WAL record at"));
        let positions = error.into_iter().flat_map(|line| line.split([' ', ':', ',']));
        self.end = positions.filter_map(|word| word.parse::<Lsn>().ok()).max();
    }
}

fn above(known: Option<u32>, end: &TransactionEnd, xid: u32) -> Option<u32> {
    if end.xid <= xid { known } else { Some(known.map_or(end.xid, |known| known.min(end.xid))) }
}

fn read(line: &str) -> Option<LogLine> {
    let (head, text) = line.split_once(", desc: ")?;
    let field = |name: &str| head.split_once(name)?.1.split(',').next().map(str::trim);
    let lsn = field(" lsn: ")?.parse().ok()?;
    if let Some(name) = text.strip_prefix("RESTORE_POINT ") {
        return Some(LogLine::Point(lsn, name.trim_end().to_owned()));
    }
    let committed = text.starts_with("COMMIT");
    let rest = text.strip_prefix("COMMIT").or_else(|| text.strip_prefix("ABORT"))?;
    let (xid, rest) = match rest.strip_prefix("_PREPARED ") {
        Some(rest) => rest.split_once(": ").and_then(|(xid, rest)| Some((xid.parse().ok()?, rest)))?,
        None => (field(" tx:")?.parse().ok()?, rest.trim_start()),
    };
    let time = rest.split(" UTC").next()?;
    let at = strtime::parse("%Y-%m-%d %H:%M:%S%.f", time).ok()?.to_datetime().ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let parts = rest.split("subxacts: ").nth(1).and_then(|list| list.split(';').next()).unwrap_or_default();
    let parts = parts.split_whitespace().filter_map(|xid| xid.parse().ok()).collect();
    Some(LogLine::End(TransactionEnd { lsn, xid, at, committed }, parts))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LOG: &str = "rmgr: Transaction len (rec/tot):    405/   405, tx:        724, lsn: 0/03017EA8, prev 0/03017E68, \
        desc: COMMIT 2026-11-28 01:09:29.863934 UTC; inval msgs: catcache 80 relcache 16384\n\
        rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, lsn: 0/030180C0, prev 0/03018098, desc: RESTORE_POINT np\n\
        rmgr: XLOG        len (rec/tot):     30/    30, tx:          0, lsn: 0/03018128, prev 0/03018098, desc: NEXTOID 24576\n\
        rmgr: Transaction len (rec/tot):     34/    34, tx:        726, lsn: 0/03018168, prev 0/03018128, \
        desc: ABORT 2026-11-28 01:09:29.910638 UTC\n\
        rmgr: Transaction len (rec/tot):     34/    34, tx:        729, lsn: 0/03018200, prev 0/03018168, \
        desc: COMMIT 2026-11-28 01:09:31.000000 UTC; subxacts: 730 731; inval msgs: catcache 1\n\
        rmgr: Transaction len (rec/tot):     34/    34, tx:          0, lsn: 0/03018300, prev 0/03018200, \
        desc: COMMIT_PREPARED 740: 2026-11-28 01:09:32.500000 UTC\n";

    fn scan(target: &LogTarget) -> Scan {
        let mut scan = Scan::default();
        LOG.lines().for_each(|line| scan.take(line, target, Lsn(0x301_7000)));
        scan
    }

    fn sides(scan: &Scan) -> (Option<u32>, Option<u32>) {
        (scan.before.as_ref().map(|end| end.xid), scan.next.as_ref().map(|end| end.xid))
    }

    #[test]
    fn both_sides_of_a_target_are_found() {
        let time = |text: &str, inclusive| LogTarget::Time { at: text.parse().unwrap(), inclusive };
        assert_eq!(sides(&scan(&LogTarget::End)), (Some(740), None));
        assert_eq!(sides(&scan(&time("2026-11-28T01:09:31Z", true))), (Some(729), Some(740)));
        assert_eq!(sides(&scan(&time("2026-11-28T01:09:31Z", false))), (Some(726), Some(729)));
        assert_eq!(sides(&scan(&time("2026-11-28T01:00:00Z", true))), (None, Some(724)));
        assert_eq!(sides(&scan(&time("2026-11-28T02:00:00Z", true))), (Some(740), None));
        let newest = |text: &str| LogTarget::Newest { at: text.parse().unwrap(), inclusive: false };
        assert_eq!(sides(&scan(&newest("2026-11-28T01:09:31Z"))), (Some(726), Some(729)));
        assert_eq!(sides(&scan(&newest("2026-11-28T02:00:00Z"))), (Some(740), None));
        assert_eq!(sides(&scan(&LogTarget::Name("np".into()))), (Some(724), Some(726)));
        assert_eq!(sides(&scan(&LogTarget::Lsn(Lsn(0x301_8200)))), (Some(726), Some(729)));
    }

    #[test]
    fn a_transaction_is_found_by_its_parts_too_and_one_that_is_not_there_has_neighbours() {
        let of = |xid, inclusive| scan(&LogTarget::Transaction { xid, inclusive });
        let found = of(731, false);
        assert_eq!((sides(&found), found.parent), ((Some(726), Some(729)), Some(729)));
        assert_eq!(sides(&of(729, true)), (Some(729), Some(740)));
        assert_eq!(sides(&of(740, false)), (Some(729), Some(740)));
        let missing = of(735, false);
        assert_eq!((missing.hit, missing.near), (None, (Some(729), Some(740))));
    }

    #[test]
    fn where_the_log_ends_is_read_from_the_error() {
        let mut scan = Scan::default();
        scan.ended("pg_waldump: error: error in WAL record at 0/3018168: invalid record length at 0/3018190: wanted 24, got 0\n");
        assert_eq!(scan.end, Some(Lsn(0x301_8190)));
        scan.ended("");
        assert_eq!(scan.end, None);
    }
}
