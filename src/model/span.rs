//! Durations and rates as users write them: with units.
//!
//! Apart from the standard library's because these are read and shown as people write them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

/// A duration with its units: `100ms`, `5s`, `2m30s`, `4h`, `7d`, `1y`. A year has 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// A whole number of milliseconds.
    pub const fn milliseconds(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// A whole number of seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// In seconds.
    pub fn as_seconds(self) -> f64 {
        self.0.as_secs_f64()
    }
}

/// The largest first, as they are written one behind the other.
const UNITS: [(&str, u64); 6] =
    [("y", 31_536_000_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || match text.parse::<u64>() {
            Ok(_) => format!("`{text}` has no unit; did you mean `{text}s`?"),
            Err(_) => format!("`{text}` is not a duration; write such as 100ms, 30s, 2m30s, 4h"),
        };
        let (mut rest, mut units, mut total) = (text, UNITS.iter(), 0u64);
        while !rest.is_empty() || text.is_empty() {
            let letters = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (digits, behind) = rest.split_at(letters);
            let (unit, behind) =
                behind.split_at(behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len()));
            let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let n: u64 = digits.parse().map_err(|_| wrong())?;
            total = n.checked_mul(*factor).and_then(|n| total.checked_add(n)).ok_or_else(wrong)?;
            rest = behind;
        }
        Ok(Self::milliseconds(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let mut text = String::new();
        for (unit, factor) in UNITS.iter().filter(|_| !self.0.is_zero()) {
            if rest >= *factor {
                write!(text, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Quantity::new("a duration such as 30s", "s"))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let about = "A duration: 100ms, 5s, 2m30s, 4h, 7d, 1y";
        json_schema!({ "type": "string", "pattern": "^([0-9]+(y|d|h|m|s|ms))+$", "description": about })
    }
}

/// A duration that is longer than no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Period {
    span: Span,
}

impl Period {
    /// A whole number of milliseconds.
    ///
    /// # Panics
    /// When there are none.
    pub const fn milliseconds(n: u64) -> Self {
        assert!(n > 0, "a period is longer than no time");
        Self { span: Span::milliseconds(n) }
    }

    /// A whole number of seconds.
    ///
    /// # Panics
    /// When there are none.
    pub const fn seconds(n: u64) -> Self {
        Self::milliseconds(n * 1000)
    }

    /// As a duration that might have been none.
    pub const fn span(self) -> Span {
        self.span
    }
}

impl std::ops::Deref for Period {
    type Target = Span;
    fn deref(&self) -> &Span {
        &self.span
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.span.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let span = Span::deserialize(d)?;
        if span.0.is_zero() {
            return Err(D::Error::custom(format!("`{span}` is no time at all; write a duration such as 5s")));
        }
        Ok(Self { span })
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }
    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        let mut schema = Span::json_schema(g);
        schema.insert("description".into(), "A duration longer than no time: 100ms, 5s, 2m30s, 4h, 7d".into());
        schema
    }
}

/// Reads a quantity that is written as a text with its unit; of a number it says which unit is missing.
pub(super) struct Quantity<T> {
    what: &'static str,
    unit: &'static str,
    read: PhantomData<T>,
}

impl<T> Quantity<T> {
    pub(super) fn new(what: &'static str, unit: &'static str) -> Self {
        Self { what, unit, read: PhantomData }
    }

    fn bare<E: Error>(&self, number: f64) -> E {
        E::custom(match self.unit {
            unit if (0.0..1e9).contains(&number) && number.fract() == 0.0 => {
                format!("`{number}` has no unit; did you mean `{number}{unit}`?")
            }
            _ => format!("a bare number cannot stand here; write {}", self.what),
        })
    }
}

impl<T: FromStr<Err = String>> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.what)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
    #[allow(clippy::cast_precision_loss)] // only small ones are shown
    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Err(self.bare(number as f64))
    }
    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Err(self.bare(number as f64))
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Err(self.bare(number))
    }
}

/// So many per second: `5/s`, or `30/m`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Per second.
    pub per_second: f64,
}

impl Rate {
    /// The time from one to the next; none if the rate is zero.
    pub fn interval(self) -> Option<Duration> {
        (self.per_second > 0.0).then(|| Duration::from_secs_f64(1.0 / self.per_second))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || match text.parse::<u64>() {
            Ok(_) => format!("`{text}` has no unit; did you mean `{text}/s`?"),
            Err(_) => format!("`{text}` is not a rate; write such as 5/s or 30/m"),
        };
        let (n, unit) = text.split_once('/').ok_or_else(wrong)?;
        let n: f64 = n.trim().parse().map_err(|_| wrong())?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        if n.is_finite() && n >= 0.0 { Ok(Self { per_second: n / seconds }) } else { Err(wrong()) }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{}/s", self.per_second))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Quantity::new("a rate such as 5/s", "/s"))
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9.]+/(s|m|h)$", "description": "A rate: 5/s, 30/m" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_it_was_read() {
        for text in ["100ms", "5s", "2m", "4h", "7d", "0s", "5m3s", "1h30m", "1d2h3m4s5ms", "1s500ms"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for (text, shown) in [("303s", "5m3s"), ("90m", "1h30m"), ("1000ms", "1s"), ("0ms", "0s"), ("60m", "1h")] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["soon", "5", "5 s", "-1s", "1.5s", "", "s", "3s5m", "5m5m", "5mm", "1h-5m"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_without_unit_is_told_which_it_may_be() {
        let told = |json: &str| serde_json::from_str::<Span>(json).unwrap_err().to_string();
        assert!(told("60").contains("`60` has no unit; did you mean `60s`?"), "{}", told("60"));
        assert!(told("\"60\"").contains("did you mean `60s`?"));
        assert!(serde_json::from_str::<Rate>("5").unwrap_err().to_string().contains("did you mean `5/s`?"));
    }

    #[test]
    fn a_period_is_not_zero() {
        let told = serde_json::from_str::<Period>("\"0ms\"").unwrap_err().to_string();
        assert!(told.contains("`0s` is no time at all; write a duration"), "{told}");
        assert_eq!(serde_json::from_str::<Period>("\"2m\"").unwrap(), Period::seconds(120));
    }

    #[test]
    fn a_rate_needs_its_unit() {
        assert!(("30/m".parse::<Rate>().unwrap().per_second - 0.5).abs() < 1e-9);
        assert!("5".parse::<Rate>().is_err() && "-1/s".parse::<Rate>().is_err());
    }
}
