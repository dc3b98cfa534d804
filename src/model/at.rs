//! When a fault strikes, as users write it: `disaster`, `disaster+2s`, `recovery+5s`.
//!
//! Apart from spans because it counts from the beginning of a phase, and only two phases may be named.

use super::span::Quantity;
use super::{Phase, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A time after the beginning of the disaster or of the recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The phase from whose beginning it counts.
    pub phase: Phase,
    /// So long after it.
    pub after: Span,
}

impl Default for At {
    fn default() -> Self {
        Self { phase: Phase::Disaster, after: Span(Duration::ZERO) }
    }
}

impl std::str::FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time for a fault; write such as disaster, disaster+2s or recovery+5s");
        let (phase, after) = text.split_once('+').unwrap_or((text, "0s"));
        let phase = match phase {
            "disaster" => Phase::Disaster,
            "recovery" => Phase::Recovery,
            _ => return Err(wrong()),
        };
        Ok(Self { phase, after: after.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.after.0 {
            Duration::ZERO => self.phase.fmt(f),
            _ => f.pad(&format!("{}+{}", self.phase, self.after)),
        }
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Quantity::new("a time such as disaster+2s", "s"))
    }
}

impl JsonSchema for At {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "At".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(disaster|recovery)(\\+([0-9]+(d|h|m|s|ms))+)?$" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_was_read() {
        for text in ["disaster", "disaster+2s", "recovery", "recovery+500ms"] {
            assert_eq!(text.parse::<At>().unwrap().to_string(), text);
        }
        assert_eq!("disaster+0s".parse::<At>(), Ok(At::default()));
    }

    #[test]
    fn only_two_phases_and_only_what_comes_after_their_beginning() {
        for text in ["soon", "verify+1s", "recovery-5s", "recovery+-5s", "disaster+5", "disaster+", "+5s", ""] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_strikes_earlier_is_less() {
        let at = |text: &str| text.parse::<At>().unwrap();
        assert!(at("disaster") < at("disaster+2s") && at("disaster+1h") < at("recovery"));
    }
}
