//! The rows of `make bench-engine`: medians, ratios, limits, and the names in `reports/bench/engine.json`.

use crate::rows::{Load, Round, Row, median, table};

fn rounds(seconds: &[f64], bytes: u64, load: &Load) -> Vec<Round> {
    let round = |(at, seconds): (usize, &f64)| {
        let peak = 1_000_000 * (at as u64 + 1);
        Round { seconds: *seconds, peak, bytes: Some(bytes), load: load.clone() }
    };
    seconds.iter().enumerate().map(round).collect()
}

fn load(busy: f64, client: f64, server: f64, disk: f64, on: &'static str) -> Load {
    Load { processors: 2.0, busy, client, server, disk: Some(disk), single: 0.0, on }
}

#[test]
fn a_row_has_the_medians_of_both_sides_and_their_ratio() {
    let ours = rounds(&[4.0, 2.0, 1.0], 5, &load(1.0, 0.5, 0.5, 0.1, "store"));
    let theirs = rounds(&[3.0, 9.0, 5.0], 7, &Load::default());
    let row = Row::of("work", ("peer", "1.2"), &ours, &theirs).unwrap();
    assert_eq!((row.ours_s, row.peer_s, row.ratio), (2.0, 5.0, 2.5));
    assert_eq!((row.ours_peak_mb, row.peer_peak_mb), (3.0, 3.0), "the highest of all rounds");
    let row = serde_json::to_value(row).unwrap();
    let names: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let promised = [
        "work",
        "peer",
        "peer_version",
        "ours_s",
        "peer_s",
        "ratio",
        "ours_bytes",
        "peer_bytes",
        "limit",
        "ours_peak_mb",
        "peer_peak_mb",
    ];
    promised.iter().for_each(|name| assert!(names.contains(name), "{name}"));
    assert_eq!((&row["ours_bytes"], &row["peer_bytes"]), (&5.into(), &7.into()));
}

#[test]
fn two_rounds_make_no_row() {
    let (two, three) = (rounds(&[1.0, 1.0], 1, &Load::default()), rounds(&[1.0; 3], 1, &Load::default()));
    assert!(Row::of("work", ("peer", "1"), &two, &three).is_none());
    assert!(Row::of("work", ("peer", "1"), &three, &two).is_none());
    assert_eq!(median([1.0, 4.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median([]), None);
}

#[test]
fn parts_make_a_whole() {
    let part = |seconds, bytes| Round { seconds, peak: 7, bytes, load: load(1.0, 0.5, 0.25, 0.1, "store") };
    let whole = part(1.0, Some(2)).then(&part(2.0, None)).then(&part(3.0, Some(3)));
    assert_eq!((whole.seconds, whole.bytes, whole.peak), (6.0, Some(5), 7));
    assert_eq!((whole.load.busy, whole.load.server), (3.0, 0.75));
}

#[test]
fn the_limit_is_what_had_no_time_left() {
    let limit = |load: Load| load.limit(10.0);
    assert!(limit(load(19.0, 10.0, 8.0, 1.0, "store")).starts_with("cpu ("));
    assert!(limit(load(19.0, 2.0, 16.0, 1.0, "store")).starts_with("cpu of the server ("));
    assert!(limit(load(19.0, 2.0, 4.0, 1.0, "store")).starts_with("cpu, most of it other programs' ("));
    assert!(limit(load(5.0, 2.0, 2.0, 9.5, "postgres")).starts_with("disk ("));
    assert!(limit(load(9.0, 2.0, 2.0, 1.0, "store")).starts_with("store ("));
    let single = Load { single: 9.0, ..load(11.0, 2.0, 9.0, 1.0, "postgres") };
    assert_eq!(limit(single), "cpu, one process of one thread (processors 55 %: ours 10 %, postgres 45 %, disk 10 %)");
}

#[test]
fn the_table_has_a_line_for_each_row() {
    let three = rounds(&[1.0; 3], 3_000_000, &Load::default());
    let row = Row::of("copies", ("rclone", "1"), &three, &three).unwrap();
    let table = table(&[row.clone(), row]);
    assert_eq!(table.lines().filter(|line| line.contains("copies") && line.contains("1.00")).count(), 2, "{table}");
}
