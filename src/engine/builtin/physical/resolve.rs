//! Whether the log reaches a target, and how PostgreSQL is told.
//!
//! Apart because it is a pure judgement over what the scan found. A target that cannot be reached is an error that names
//! the nearest that can, and never another state in silence. The end of the log is the state at a later time only if the
//! log is known to be complete up to that time.

use super::base::BaseRecord;
use super::scan::Scan;
use crate::client::{Error, ErrorKind};
use crate::engine::LogTarget;
use crate::engine::TransactionEnd;
use jiff::Timestamp;
use std::fmt;

/// A target that the log reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedTarget {
    /// The settings that tell PostgreSQL; none for the end of the log.
    pub settings: Vec<(&'static str, String)>,
    /// The last end of a transaction that will be replayed, if one is in the log.
    pub before: Option<TransactionEnd>,
    /// The first that will not, if one is in the log.
    pub next: Option<TransactionEnd>,
}

impl LogTarget {
    /// Refuses what cannot be reached whatever the log holds; asked before anything is unpacked.
    pub fn check(&self, base: &BaseRecord) -> Result<(), Error> {
        match self {
            Self::Time { at, .. } | Self::Newest { at, .. } if *at < base.began => Err(self.early(base)),
            Self::Lsn(lsn) if *lsn < base.stop => Err(self.early(base)),
            _ => Ok(()),
        }
    }

    /// Decides how it is reached. `sure`: the time of the server's clock up to which all commits are known to be in the
    /// log, if it ends there by itself.
    pub fn resolve(&self, base: &BaseRecord, scan: Scan, sure: Option<Timestamp>) -> Result<ResolvedTarget, Error> {
        self.check(base)?;
        let consistent = |end: &Option<TransactionEnd>| end.as_ref().is_none_or(|end| end.lsn >= base.stop);
        let settings = match self {
            Self::End => vec![],
            Self::Base => vec![("recovery_target", "immediate".to_owned())],
            Self::Time { at, .. } => match (&scan.next, sure) {
                (Some(_), _) if !consistent(&scan.next) => return Err(self.early(base)),
                (Some(_), _) => after(base, &scan),
                (None, Some(sure)) if sure >= *at => vec![], // nothing was committed after it
                (None, sure) => return Err(self.late(base, &scan, sure)),
            },
            Self::Newest { .. } if !consistent(&scan.next) => return Err(self.early(base)),
            Self::Newest { .. } => after(base, &scan),
            Self::Transaction { xid, inclusive } => match scan.hit {
                Some(hit) if hit < base.stop => return Err(self.early(base)),
                Some(_) if !*inclusive => after(base, &scan),
                Some(_) => {
                    let xid = scan.parent.unwrap_or(*xid);
                    vec![("recovery_target_xid", xid.to_string()), inclusion(true)]
                }
                None => return Err(self.unknown_transaction(base, &scan)),
            },
            Self::Lsn(lsn) => match (&scan.next, scan.end) {
                (Some(_), _) => vec![("recovery_target_lsn", lsn.to_string()), inclusion(false)],
                (None, Some(end)) if end >= *lsn => vec![], // no transaction ended after it
                _ => return Err(self.late(base, &scan, sure)),
            },
            Self::Name(name) if scan.hit.is_some() => vec![("recovery_target_name", name.clone())],
            Self::Name(_) => return Err(self.unknown_name(&scan)),
        };
        Ok(ResolvedTarget { settings, before: scan.before, next: scan.next })
    }

    fn refuse(&self, why: impl fmt::Display, nearest: String) -> Error {
        Error::new(format!("cannot restore {self}"), why).kind(ErrorKind::NotFound).hint(nearest)
    }

    /// That it is before what the base backup can be taken to.
    pub fn early(&self, base: &BaseRecord) -> Error {
        let why = format!("the base backup was being taken from {} to {}", base.began, base.ended);
        self.refuse(why, format!("take an earlier base backup; of this one, the earliest state is {}", base.ended))
    }

    fn late(&self, base: &BaseRecord, scan: &Scan, sure: Option<Timestamp>) -> Error {
        let last = scan.last.as_ref().map_or(base.ended, |last| last.at);
        let newest = sure.map_or(last, |sure| sure.max(last));
        let transaction = scan.last.as_ref().map(|last| format!(", with transaction {}", last.xid)).unwrap_or_default();
        self.refuse(
            format!("the log ends before it, at {newest}"),
            format!("the newest state is that of {last}{transaction}"),
        )
    }

    fn unknown_transaction(&self, base: &BaseRecord, scan: &Scan) -> Error {
        let near: Vec<String> = [scan.near.0, scan.near.1].into_iter().flatten().map(|xid| xid.to_string()).collect();
        let span = match (&scan.first, &scan.last) {
            (Some(first), Some(last)) => format!("from {} to {}", first.at, last.at),
            _ => format!("from {} on", base.ended),
        };
        let nearest =
            if near.is_empty() { "none was committed".into() } else { format!("nearest: {}", near.join(", ")) };
        self.refuse(format!("it was not committed in the log {span}"), nearest)
    }

    fn unknown_name(&self, scan: &Scan) -> Error {
        let names: Vec<String> = scan.points.iter().rev().take(5).map(|name| format!("`{name}`")).collect();
        let known =
            if names.is_empty() { "the log has no named point".into() } else { format!("known: {}", names.join(", ")) };
        self.refuse("the log after the base backup has no such point", known)
    }
}

fn inclusion(inclusive: bool) -> (&'static str, String) {
    ("recovery_target_inclusive", if inclusive { "on" } else { "off" }.to_owned())
}

/// Right after the last transaction in front of the target. Not up to the time or the next commit: `DROP DATABASE` removes
/// the files before it commits, so that such a recovery would remove them too.
fn after(base: &BaseRecord, scan: &Scan) -> Vec<(&'static str, String)> {
    match scan.before.as_ref().filter(|before| before.lsn >= base.stop) {
        Some(before) => vec![("recovery_target_xid", before.xid.to_string()), inclusion(true)],
        None => vec![("recovery_target", "immediate".to_owned())], // nothing ended since the base backup
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::Lsn;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-28T{text}Z").parse().unwrap()
    }

    fn base() -> BaseRecord {
        let (start, stop, began, ended) = (Lsn(100), Lsn(200), at("01:00:00"), at("01:00:10"));
        BaseRecord { timeline: 1, start, stop, began, ended, ..BaseRecord::sample() }
    }

    fn end(lsn: u64, xid: u32, time: &str) -> TransactionEnd {
        TransactionEnd { lsn: Lsn(lsn), xid, at: at(time), committed: true }
    }

    fn time_at(text: &str) -> LogTarget {
        LogTarget::Time { at: at(text), inclusive: true }
    }

    #[test]
    fn a_time_counts_as_reached_only_if_a_later_commit_or_the_receiver_says_so() {
        let later =
            || Scan { before: Some(end(300, 5, "01:01:00")), next: Some(end(400, 6, "01:03:00")), ..Scan::default() };
        let resolved = time_at("01:02:00").resolve(&base(), later(), None).unwrap();
        assert_eq!(resolved.settings[0], ("recovery_target_xid", "5".to_owned()), "not by the time");
        let none =
            || Scan { before: Some(end(300, 5, "01:01:00")), last: Some(end(300, 5, "01:01:00")), ..Scan::default() };
        let error = time_at("01:02:00").resolve(&base(), none(), None).unwrap_err();
        assert_eq!(error.why, "the log ends before it, at 2026-11-28T01:01:00Z");
        assert_eq!(error.hint.unwrap(), "the newest state is that of 2026-11-28T01:01:00Z, with transaction 5");
        assert!(time_at("01:02:00").resolve(&base(), none(), Some(at("01:01:59"))).is_err());
        let sure = time_at("01:02:00").resolve(&base(), none(), Some(at("01:02:00"))).unwrap();
        assert_eq!(sure.settings, [], "the end of the log is the state of that time");
    }

    #[test]
    fn the_newest_state_before_a_time_is_right_after_its_last_transaction_however_early_the_log_ends() {
        let newest = |scan| {
            let at = LogTarget::Newest { at: at("01:02:00"), inclusive: false };
            at.resolve(&base(), scan, None).map(|resolved| resolved.settings)
        };
        let after_5 = [("recovery_target_xid", "5".to_owned()), ("recovery_target_inclusive", "on".to_owned())];
        let (before, next) = (end(300, 5, "01:01:00"), end(400, 6, "01:03:00"));
        let both = Scan { before: Some(before.clone()), next: Some(next), ..Scan::default() };
        assert_eq!(newest(both).unwrap(), after_5);
        assert_eq!(newest(Scan { before: Some(before), ..Scan::default() }).unwrap(), after_5);
        let immediate = [("recovery_target", "immediate".to_owned())];
        assert_eq!(newest(Scan::default()).unwrap(), immediate);
        let within = Scan { before: Some(end(150, 5, "01:00:06")), ..Scan::default() };
        assert_eq!(newest(within).unwrap(), immediate, "what ended while the base backup was being taken is in it");
        let late = Scan { next: Some(end(150, 5, "01:02:06")), ..Scan::default() };
        assert!(newest(late).is_err(), "the base backup holds something later");
    }

    #[test]
    fn the_state_before_a_transaction_is_that_after_the_one_in_front_of_it() {
        let before_6 = LogTarget::Transaction { xid: 6, inclusive: false };
        let (before, next) = (end(300, 5, "01:01:00"), end(400, 6, "01:03:00"));
        let scan = Scan { before: Some(before), next: Some(next), hit: Some(Lsn(400)), ..Scan::default() };
        let settings = before_6.resolve(&base(), scan, None).unwrap().settings;
        assert_eq!(settings, [("recovery_target_xid", "5".to_owned()), ("recovery_target_inclusive", "on".to_owned())]);
    }

    #[test]
    fn what_is_before_the_base_backup_is_refused_with_the_earliest_state() {
        for target in [time_at("00:59:00"), LogTarget::Lsn(Lsn(150))] {
            let error = target.check(&base()).unwrap_err();
            assert!(error.hint.unwrap().ends_with("the earliest state is 2026-11-28T01:00:10Z"), "{target}");
        }
        let within = Scan { next: Some(end(150, 5, "01:00:06")), ..Scan::default() };
        assert!(time_at("01:00:05").resolve(&base(), within, None).is_err(), "while it was being taken");
        let within = Scan { hit: Some(Lsn(150)), ..Scan::default() };
        let transaction = LogTarget::Transaction { xid: 5, inclusive: false };
        assert!(transaction.resolve(&base(), within, None).is_err());
    }

    #[test]
    fn what_the_log_does_not_hold_is_refused_with_its_neighbours() {
        let transaction = LogTarget::Transaction { xid: 735, inclusive: false };
        let scan = Scan { near: (Some(729), Some(740)), ..Scan::default() };
        assert_eq!(transaction.resolve(&base(), scan, None).unwrap_err().hint.unwrap(), "nearest: 729, 740");
        let scan = Scan { points: vec!["a".into(), "b".into()], ..Scan::default() };
        assert_eq!(
            LogTarget::Name("c".into()).resolve(&base(), scan, None).unwrap_err().hint.unwrap(),
            "known: `b`, `a`"
        );
    }
}
