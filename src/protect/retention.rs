//! Which points stay, and why: pure, from their times alone.
//!
//! A database's point holds all classes of data, so it is thinned as it ages: every point, then one of each day, of each
//! week and of each month, each for the time of its class (grandfather, father, son).

use crate::model::Period;
use crate::spec::Keep;
use jiff::Timestamp;
use jiff::civil::ISOWeekDate;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::fmt;

/// Why a point stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptAs {
    /// Every point of its age stays.
    Every,
    /// It is the newest of its day (UTC).
    Daily,
    /// It is the newest of its week, from Monday.
    Weekly,
    /// It is the newest of its month.
    Monthly,
    /// It is the newest of all, or the newest that can be restored.
    Last,
    /// It cannot be deleted until then.
    Locked(Timestamp),
}

impl fmt::Display for KeptAs {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Every => "every point of its age",
            Self::Daily => "newest of its day",
            Self::Weekly => "newest of its week",
            Self::Monthly => "newest of its month",
            Self::Last => "last good point",
            Self::Locked(until) => return write!(f, "locked until {}", until.strftime("%F %T")),
        })
    }
}

/// Why each point of these times stays; nothing for those that go. One from the future stays, as every new one.
pub fn retained(times: &[Timestamp], keep: &Keep, repository: &str, now: Timestamp) -> Vec<Option<KeptAs>> {
    let longest = keep.repositories.get(repository);
    let within = |time: Timestamp, period: &Period| now.duration_since(time).unsigned_abs() <= period.0 || time > now;
    let newest = [newest_of_each(times, day), newest_of_each(times, week), newest_of_each(times, month)];
    let kept = |index: usize, time: Timestamp| {
        if longest.is_some_and(|longest| !within(time, longest)) {
            return None;
        }
        let classes = [
            (keep.incremental, KeptAs::Every, true),
            (keep.full, KeptAs::Daily, newest[0][index]),
            (keep.artifacts, KeptAs::Weekly, newest[1][index]),
            (keep.registry, KeptAs::Monthly, newest[2][index]),
        ];
        let mut stays =
            classes.iter().filter(|(period, _, chosen)| *chosen && period.is_some_and(|it| within(time, &it)));
        stays.next().map(|(_, why, _)| *why)
    };
    let mut kept: Vec<_> = times.iter().enumerate().map(|(index, time)| kept(index, *time)).collect();
    if let Some((last, _)) = times.iter().enumerate().max_by_key(|(_, time)| **time) {
        kept[last].get_or_insert(KeptAs::Last);
    }
    kept
}

/// For each time, whether it is the newest of its day, week or month.
fn newest_of_each<K: Ord>(times: &[Timestamp], part: fn(Timestamp) -> K) -> Vec<bool> {
    let mut newest = BTreeMap::new();
    for (index, time) in times.iter().enumerate() {
        let best = newest.entry(part(*time)).or_insert(index);
        if *time >= times[*best] {
            *best = index;
        }
    }
    times.iter().enumerate().map(|(index, time)| newest.get(&part(*time)) == Some(&index)).collect()
}

fn day(time: Timestamp) -> (i16, i16) {
    let date = time.to_zoned(TimeZone::UTC).date();
    (date.year(), date.day_of_year())
}

fn week(time: Timestamp) -> (i16, i8) {
    let week: ISOWeekDate = time.to_zoned(TimeZone::UTC).date().iso_week_date();
    (week.year(), week.week())
}

fn month(time: Timestamp) -> (i16, i8) {
    let date = time.to_zoned(TimeZone::UTC).date();
    (date.year(), date.month())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn now() -> Timestamp {
        "2026-11-28T12:30:00Z".parse().unwrap()
    }

    /// A point of every full hour of the last `days`, the oldest first.
    fn hourly(days: i64) -> Vec<Timestamp> {
        let last: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        (0..days * 24).rev().map(|hours| last - SignedDuration::from_hours(hours)).collect()
    }

    fn days(days: u64) -> Period {
        Period::seconds(days * DAY)
    }

    fn kept_for(each: [u64; 4]) -> Keep {
        let [incremental, full, artifacts, registry] = each.map(|it| Some(days(it)));
        Keep { incremental, full, artifacts, registry, ..Keep::default() }
    }

    fn staying(times: &[Timestamp], keep: &Keep, repository: &str) -> Vec<(String, KeptAs)> {
        let kept = retained(times, keep, repository, now());
        let told = times.iter().zip(kept).filter_map(|(time, why)| Some((time.strftime("%F %H").to_string(), why?)));
        told.collect()
    }

    #[test]
    fn points_are_thinned_as_they_age() {
        let keep = kept_for([2, 5, 21, 100]);
        let stays = staying(&hourly(120), &keep, "far");
        let of = |why: KeptAs| stays.iter().filter(|(_, it)| *it == why).map(|(at, _)| at.as_str()).collect::<Vec<_>>();
        assert_eq!(of(KeptAs::Every).len(), 48);
        assert_eq!(of(KeptAs::Daily), ["2026-11-23 23", "2026-11-24 23", "2026-11-25 23"]);
        assert_eq!(of(KeptAs::Weekly), ["2026-11-08 23", "2026-11-15 23", "2026-11-22 23"], "Sundays");
        assert_eq!(of(KeptAs::Monthly), ["2026-08-31 23", "2026-09-30 23", "2026-10-31 23"]);
        assert_eq!(of(KeptAs::Last), Vec::<&str>::new());
    }

    #[test]
    fn pruning_every_day_leaves_what_one_prune_at_the_end_would_leave() {
        let keep = kept_for([2, 6, 30, 90]);
        let all = hourly(120);
        let mut there: Vec<Timestamp> = vec![];
        for (index, time) in all.iter().enumerate() {
            there.push(*time);
            if index % 24 == 7 {
                let kept = retained(&there, &keep, "far", *time);
                there = there.iter().zip(kept).filter(|(_, why)| why.is_some()).map(|(time, _)| *time).collect();
            }
        }
        let at_once = staying(&all, &keep, "far");
        assert_eq!(staying(&there, &keep, "far"), at_once);
    }

    #[test]
    fn a_repository_keeps_nothing_longer_than_it_may_but_the_newest() {
        let keep = Keep {
            incremental: Some(days(7)),
            registry: Some(days(365)),
            repositories: [("near".into(), Period::seconds(DAY))].into(),
            ..Keep::default()
        };
        assert_eq!(staying(&hourly(60), &keep, "near").len(), 24);
        assert_eq!(staying(&hourly(60), &keep, "far").len(), 7 * 24 + 2, "and those of September and October");
        let old = &hourly(60)[..10];
        assert_eq!(staying(old, &keep, "near"), [("2026-09-29 22".to_owned(), KeptAs::Last)]);
    }

    #[test]
    fn a_point_from_the_future_stays_and_no_points_are_none() {
        let keep = Keep { full: Some(days(1)), ..Keep::default() };
        let ahead = [now() + SignedDuration::from_hours(400)];
        assert_eq!(retained(&ahead, &keep, "far", now()), [Some(KeptAs::Daily)]);
        assert_eq!(retained(&[], &keep, "far", now()), []);
        let twins = [now(), now()];
        assert_eq!(retained(&twins, &keep, "far", now()), [None, Some(KeptAs::Daily)], "one of a day");
    }
}
