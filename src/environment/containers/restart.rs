//! Whether the engine starts a component again whose first process has ended by itself.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use std::fmt;
use testcontainers::bollard::models::RestartPolicyNameEnum;

/// Does the engine start a container again that ended by itself? One that was killed, stopped or removed through the
/// engine, as the faults `kill` and `removed` and the step `stop` do it, stays down in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Restart {
    /// It does, unless it was stopped before.
    #[default]
    UnlessStopped,
    /// It does, and when the engine itself starts again, even if it was stopped before.
    Always,
    /// It never does.
    No,
}

impl From<Restart> for RestartPolicyNameEnum {
    fn from(restart: Restart) -> Self {
        match restart {
            Restart::UnlessStopped => Self::UNLESS_STOPPED,
            Restart::Always => Self::ALWAYS,
            Restart::No => Self::NO,
        }
    }
}

impl<'de> Deserialize<'de> for Restart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RestartVisitor)
    }
}

/// Reads its words; a plain `no` is read as the opposite of true.
struct RestartVisitor;

impl Visitor<'_> for RestartVisitor {
    type Value = Restart;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("`unless-stopped`, `always` or `no`")
    }

    fn visit_bool<E: Error>(self, restart: bool) -> Result<Restart, E> {
        if restart { Err(E::invalid_value(Unexpected::Bool(restart), &self)) } else { Ok(Restart::No) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Restart, E> {
        match text {
            "unless-stopped" => Ok(Restart::UnlessStopped),
            "always" => Ok(Restart::Always),
            "no" => Ok(Restart::No),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node;

    #[test]
    fn each_word_is_read_with_and_without_quotes_and_no_other() {
        let read = |text: &str| node::read::<Restart>(&node::parse(text).unwrap(), &mut vec![]);
        assert_eq!(read("unless-stopped"), Some(Restart::UnlessStopped));
        assert_eq!(read("always"), Some(Restart::Always));
        assert_eq!(read("no"), Some(Restart::No));
        assert_eq!(read("'no'"), Some(Restart::No));
        for wrong in ["yes", "on-failure", "1", "{ no: 1 }"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
