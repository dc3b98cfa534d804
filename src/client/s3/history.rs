//! All that a bucket keeps of one key: its versions and delete markers, newest first.
//!
//! Apart from the listing because servers differ in the times they give, and every decision rests on that order.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{DeleteMarkerEntry, ObjectVersion};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use ulid::Ulid;

/// The id of what was written while the bucket kept no versions. Not every server can be asked for it while it is what
/// clients see: `VersityGW` 1.8 knows no such version then.
pub const NO_VERSION: &str = "null";

/// One version of an object, or a marker that it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Version {
    /// The object's key.
    pub key: String,
    /// The version's id; [`NO_VERSION`] for what was written while the bucket kept no versions.
    pub id: String,
    /// Is it a delete marker?
    pub marker: bool,
    /// Is it what a client sees who asks for no version?
    pub latest: bool,
    /// When it was made at the earliest, by the server's clock.
    pub from: Timestamp,
    /// When it was made at the latest: servers may give whole seconds.
    pub to: Timestamp,
    /// Bytes; 0 of a marker.
    pub size: u64,
    /// What the server calls its content, without quotes; empty of a marker.
    pub etag: String,
}

impl S3Version {
    /// From the list of versions; nothing if the server left out what identifies it.
    pub(super) fn of_version(entry: ObjectVersion) -> Option<Self> {
        let (id, latest) = (entry.version_id?, entry.is_latest == Some(true));
        let (from, to) = made(&id, entry.last_modified?)?;
        let size = entry.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let etag = entry.e_tag.unwrap_or_default().trim_matches('"').to_owned();
        Some(Self { key: entry.key?, id, marker: false, latest, from, to, size, etag })
    }

    /// From the list of delete markers.
    pub(super) fn of_marker(entry: DeleteMarkerEntry) -> Option<Self> {
        let (id, latest) = (entry.version_id?, entry.is_latest == Some(true));
        let (from, to) = made(&id, entry.last_modified?)?;
        Some(Self { key: entry.key?, id, marker: true, latest, from, to, size: 0, etag: String::new() })
    }

    /// Is its content surely that of the other? An entity tag is the same only for the same bytes; that of a multipart
    /// upload changes when it is copied, so another tag proves nothing.
    pub fn same_content(&self, etag: &str, size: u64) -> bool {
        !self.marker && self.size == size && !etag.is_empty() && self.etag == etag
    }
}

/// What a bucket keeps of one key: at least one entry, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3History {
    /// The key.
    pub key: String,
    /// Versions and markers, newest first.
    pub entries: Vec<S3Version>,
}

impl S3History {
    /// Puts a key's entries in their order. A server's `LastModified` may have whole seconds; then the one that is the
    /// latest goes first, and the others keep the order of the server.
    ///
    /// Where ids are ULIDs, an entry `null` is from before the bucket kept versions: it is the oldest, whatever its time
    /// is (`VersityGW` gives a version that is hidden the time at which that happened).
    pub fn new(key: String, mut entries: Vec<S3Version>) -> Self {
        let dated = |it: &S3Version| Ulid::from_string(&it.id).is_ok();
        if entries.iter().any(dated) {
            for entry in entries.iter_mut().filter(|it| it.id == NO_VERSION && !it.latest) {
                (entry.from, entry.to) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
            }
        }
        entries.sort_by(|one, other| {
            let tie = if dated(one) && dated(other) { other.id.cmp(&one.id) } else { std::cmp::Ordering::Equal };
            let order = |it: &S3Version| (Reverse(it.latest), Reverse(it.from));
            order(one).cmp(&order(other)).then(tie)
        });
        Self { key, entries }
    }

    /// What a client sees who asks for no version; nothing if the key is deleted.
    pub fn visible(&self) -> Option<&S3Version> {
        self.entries.first().filter(|newest| !newest.marker)
    }
}

/// When a version was made. Where ids are ULIDs they hold the time, and VersityGW's `LastModified` does not: a marker
/// takes over that of the object it hides, while the hidden version gets the time of the deletion.
fn made(id: &str, modified: DateTime) -> Option<(Timestamp, Timestamp)> {
    if let Ok(id) = Ulid::from_string(id) {
        let from = Timestamp::from_millisecond(i64::try_from(id.timestamp_ms()).ok()?).ok()?;
        return Some((from, from + SignedDuration::from_millis(1)));
    }
    let nanoseconds = i32::try_from(modified.subsec_nanos()).ok()?;
    let from = Timestamp::new(modified.secs(), nanoseconds).ok()?;
    let precision = if nanoseconds == 0 { SignedDuration::from_secs(1) } else { SignedDuration::from_millis(1) };
    Some((from, from + precision))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_version_id_that_holds_a_time_goes_before_the_time_of_the_object() {
        let modified = DateTime::from_secs(1_000);
        let (from, to) = made("01ARYZ6S41TSV4RRFFQ69G5FAV", modified).unwrap();
        assert_eq!((from.as_millisecond(), to.as_millisecond()), (1_469_918_176_385, 1_469_918_176_386));
        for id in ["null", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo"] {
            assert_eq!(made(id, modified).unwrap().0.as_second(), 1_000, "{id}");
        }
    }

    #[test]
    fn a_time_in_whole_seconds_may_be_any_within() {
        let precision = |modified| made("null", modified).map(|(from, to)| to.duration_since(from)).unwrap();
        assert_eq!(precision(DateTime::from_secs(5)), SignedDuration::from_secs(1));
        assert_eq!(precision(DateTime::from_millis(5_250)), SignedDuration::from_millis(1));
    }

    fn entry(id: &str, second: i64, latest: bool) -> S3Version {
        let at = Timestamp::from_second(second).unwrap();
        let (key, etag) = ("k".to_owned(), "e".to_owned());
        S3Version { key, id: id.into(), marker: false, latest, from: at, to: at, size: 1, etag }
    }

    #[test]
    fn entries_of_one_second_begin_with_the_latest_and_keep_the_servers_order() {
        let history = S3History::new("k".into(), vec![entry("b", 5, false), entry("c", 5, false), entry("a", 5, true)]);
        let ids: Vec<_> = history.entries.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
    }

    #[test]
    fn a_null_version_beside_dated_ids_is_the_oldest_whatever_its_time_says() {
        let dated = "01ARYZ6S41TSV4RRFFQ69G5FAV";
        let history = S3History::new("k".into(), vec![entry("null", 9_000_000_000, false), entry(dated, 1, true)]);
        assert_eq!(history.entries[1].id, "null");
        assert_eq!(history.entries[1].from, Timestamp::UNIX_EPOCH);
    }
}
