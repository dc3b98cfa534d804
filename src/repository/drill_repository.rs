//! A repository that a fault or step names: one of the drill's own, found while planning.
//!
//! Apart because faults and steps are read before anybody knows the drill that they will be in.

use super::RepositorySettings;
use crate::client::Error;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::sync::OnceLock;

/// The name of a repository of the drill's, and, once the drill is planned, which one that is.
#[derive(Debug)]
pub struct DrillRepository {
    name: String,
    settings: OnceLock<RepositorySettings>,
}

impl DrillRepository {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This is the repository of that name. The first one counts.
    pub fn is(&self, settings: &RepositorySettings) {
        let _ = self.settings.set(settings.clone());
    }

    /// Where it is; nothing as long as nobody has said so.
    pub fn location(&self) -> Option<String> {
        self.settings.get().map(|settings| settings.kind.location())
    }

    /// What a file says of it.
    ///
    /// # Errors
    /// When nobody has said which one it is.
    pub fn settings(&self) -> Result<&RepositorySettings, Error> {
        let unknown = || Error::new(format!("the repository `{}`", self.name), "the drill has none of this name");
        self.settings.get().ok_or_else(unknown)
    }
}

impl<'de> Deserialize<'de> for DrillRepository {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self { name: String::deserialize(d)?, settings: OnceLock::new() })
    }
}

impl JsonSchema for DrillRepository {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DrillRepository".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "The name of a repository in the drill's `protect`." })
    }
}
