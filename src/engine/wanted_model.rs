//! One registered model of a recovery point, as steps and commands name it: `NAME`, `NAME/3` or `NAME/latest`.
//!
//! As in MLflow's own `models:/NAME/3`. Not `NAME@3`: MLflow writes aliases so, and a name may have an `@` in it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Which model, and which versions of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedModel {
    /// The registered model's name.
    pub name: String,
    /// The versions.
    pub versions: WantedVersions,
}

/// Which versions of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedVersions {
    /// All that the point has.
    All,
    /// The one with the highest number.
    Latest,
    /// The one with this number.
    Number(i32),
}

/// How one model is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRestore {
    /// Which.
    pub model: WantedModel,
    /// Also what is there and differs: its rows and objects are put back as they were in the point.
    pub replace: bool,
    /// Only find out what would be put back.
    pub dry_run: bool,
    /// Into another tracking server than the point is of: experiments have numbers of their own there.
    pub elsewhere: bool,
}

impl FromStr for WantedModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = text.split_once('/').map_or((text, None), |(name, version)| (name, Some(version)));
        if name.trim().is_empty() || name.contains(':') {
            return Err(format!("`{text}` names no model, such as `churn`, `churn/3` or `churn/latest`"));
        }
        let versions = match version {
            None => WantedVersions::All,
            Some("latest") => WantedVersions::Latest,
            Some(number) => match number.parse() {
                Ok(number) if number > 0 => WantedVersions::Number(number),
                _ => return Err(format!("`{number}` is no version of `{name}`: write its number, or `latest`")),
            },
        };
        Ok(Self { name: name.to_owned(), versions })
    }
}

impl fmt::Display for WantedModel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = &self.name;
        match self.versions {
            WantedVersions::All => write!(f, "the model `{name}`"),
            WantedVersions::Latest => write!(f, "the latest version of the model `{name}`"),
            WantedVersions::Number(number) => write!(f, "version {number} of the model `{name}`"),
        }
    }
}

impl<'de> Deserialize<'de> for WantedModel {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for WantedModel {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "WantedModel".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A registered model: NAME, or one version: NAME/3, NAME/latest" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_alone_or_with_one_version() {
        let read = |text: &str| text.parse::<WantedModel>();
        let of = |text: &str| read(text).unwrap().versions;
        assert_eq!((of("churn"), of("churn/latest")), (WantedVersions::All, WantedVersions::Latest));
        assert_eq!(read("a@b/3").unwrap().to_string(), "version 3 of the model `a@b`");
        for wrong in ["", "/3", "models:/churn/3"] {
            assert!(read(wrong).unwrap_err().contains("names no model"), "{wrong}");
        }
        for wrong in ["churn/0", "churn/-1", "churn/champion", "churn/3/4"] {
            assert!(read(wrong).unwrap_err().contains("is no version of `churn`"), "{wrong}");
        }
    }
}
