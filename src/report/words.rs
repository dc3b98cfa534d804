//! Numbers, times and verdicts in the words that people read.
//!
//! Apart so that a time looks the same wherever it is shown: `340 ms`, `3.21 s`, `13.1 s`, `5m3s`, `2h10m`.

use crate::model::report::{Measurement, WriteTimes};
use crate::model::{Span, Verdict};
use anstyle::{AnsiColor, Style};
use std::time::Duration;

/// A time for people.
pub fn time(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let s = seconds.abs();
    let text = match s {
        s if s < 9.995 => format!("{s:.2} s"),
        s if s < 59.95 => format!("{s:.1} s"),
        s if s < 3599.5 => whole(s, 60, "m", "s"),
        s => whole(s / 60.0, 60, "h", "m"),
    };
    format!("{sign}{text}")
}

/// A time in whole seconds, for what goes on and is shown again and again.
pub fn rough(seconds: f64) -> String {
    let s = seconds.max(0.0);
    if s < 59.5 { format!("{s:.0} s") } else { time(s) }
}

/// A time that is evidence: with a tenth of a second even where it is long.
pub fn exact(seconds: f64) -> String {
    if seconds.abs() < 59.995 {
        return format!("{seconds:.2} s");
    }
    let (minutes, rest) = ((seconds / 60.0).floor(), (seconds % 60.0 * 10.0).floor() / 10.0);
    format!("{minutes:.0}m{rest:.1}s")
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // not negative, and shorter than an age
fn whole(value: f64, factor: u64, large: &str, small: &str) -> String {
    let value = value.round() as u64;
    match value % factor {
        0 => format!("{}{large}", value / factor),
        rest => format!("{}{large}{rest}{small}", value / factor),
    }
}

/// A time for people, or a dash.
pub fn time_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), time)
}

/// How long writes took.
pub fn write_times(times: &WriteTimes) -> String {
    let WriteTimes { median_ms, p99_ms } = times;
    format!("Before the onset a write was acknowledged in {median_ms:.1} ms (median), {p99_ms:.1} ms (p99).")
}

/// What was promised, as it is written in files: `2m`, or a dash.
pub fn promised(seconds: Option<f64>) -> String {
    let span = |s: f64| Duration::try_from_secs_f64(s).map_or_else(|_| time(s), |d| Span(d).to_string());
    seconds.map_or_else(|| "–".to_owned(), span)
}

/// A measured time without its band: `13.1 s`, `at least 1m2s`, or `unknown`.
pub fn at_least(value: &Measurement) -> String {
    match (value.seconds, value.low) {
        (Some(seconds), _) => time(seconds),
        (None, Some(low)) => low_end(low),
        (None, None) => "unknown".to_owned(),
    }
}

/// Where only the low end is known; it is not rounded up.
pub fn low_end(low: f64) -> String {
    let floored = if low < 59.95 { (low * 10.0).floor() / 10.0 } else { low.floor() };
    format!("at least {}", time(floored))
}

/// A measured time with its band: `3.21 s (3.16 to 3.26)`.
pub fn with_band(value: &Measurement) -> String {
    let short = |s: f64| if s < 59.995 { format!("{s:.2}") } else { exact(s) };
    let end = |end: Option<f64>, open: &str| end.map_or_else(|| open.to_owned(), short);
    match (value.seconds, value.low, value.high) {
        (None, None, _) => "not measured".to_owned(),
        (None, Some(low), _) => low_end(low),
        (Some(s), low, high) => format!("{} ({} to {})", exact(s), end(low, "?"), end(high, "open")),
    }
}

/// A verdict for people, or a dash where nothing was promised.
pub fn verdict(verdict: Option<Verdict>) -> String {
    verdict.map_or_else(|| "–".to_owned(), |verdict| verdict.to_string())
}

/// A count for people, or what it means that there is none.
pub fn count(count: Option<u64>) -> String {
    count.map_or_else(|| "unknown".to_owned(), |count| count.to_string())
}

/// A number of things: `1 write`, `2 writes`.
pub fn things(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A date and time of day in UTC, without fractions of a second: `2026-03-04 05:06:07`; as it is, if it is none.
pub fn date(text: &str) -> String {
    let read = text.parse::<jiff::Timestamp>();
    read.map_or_else(|_| text.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A number of bytes for people: `1.5 MB`.
#[allow(clippy::cast_precision_loss)] // it is shown with three digits
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// The colour of a verdict's word, if the text begins with one.
pub fn colour(text: &str) -> Option<AnsiColor> {
    match text.split([':', ' ', ',']).next()?.to_ascii_lowercase().as_str() {
        "met" => Some(AnsiColor::Green),
        "missed" => Some(AnsiColor::Red),
        "unknown" => Some(AnsiColor::Yellow),
        _ => None,
    }
}

/// A verdict's word in its colour.
pub fn painted(word: &str) -> String {
    let Some(colour) = colour(word) else { return word.to_owned() };
    let style = Style::new().fg_color(Some(colour.into())).bold();
    format!("{style}{word}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_people_read_it() {
        for (seconds, text) in [
            (0.0, "0.00 s"),
            (3.214, "3.21 s"),
            (13.14, "13.1 s"),
            (59.97, "1m"),
            (303.2, "5m3s"),
            (120.0, "2m"),
            (7800.0, "2h10m"),
            (-2.5, "-2.50 s"),
        ] {
            assert_eq!(time(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn what_was_promised_is_told_as_it_is_written() {
        assert_eq!(promised(Some(120.0)), "2m");
        assert_eq!(promised(Some(0.5)), "500ms");
        assert_eq!(promised(None), "–");
    }

    #[test]
    fn a_low_end_alone_is_told_and_never_rounded_up() {
        let low = Measurement { low: Some(62.96), ..Measurement::default() };
        assert_eq!(at_least(&low), "at least 1m2s");
        assert_eq!(at_least(&Measurement::default()), "unknown");
        let long = Measurement { seconds: Some(63.04), low: Some(62.96), high: None, ..Measurement::default() };
        assert_eq!(with_band(&long), "1m3.0s (1m2.9s to open)");
    }

    #[test]
    fn one_write_is_no_plural_and_a_date_has_no_nanoseconds() {
        assert_eq!((things(1, "write"), things(2, "write")), ("1 write".into(), "2 writes".into()));
        assert_eq!(date("2026-03-04T05:06:07.123456789Z"), "2026-03-04 05:06:07");
    }
}
