//! What a platform has and what it allows: a survey asks, `lifeboat plan` shows it, faults choose from it.

use super::Asset;
use crate::client::kubernetes::COMPONENT;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a platform has that a fault can hit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// Its components.
    pub components: Vec<String>,
    /// What else it has, by kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub things: Vec<Thing>,
}

/// One thing of a platform: a pod, a node, a config map.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// What it is, one word or two in small letters: `pod`, `node`, `config map`, `secret`, `disk`, `database`, `bucket`.
    pub kind: String,
    /// Its name; for what does not exist yet, what it will be called as far as that is known.
    pub name: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Thing {
    /// A component's disk.
    pub fn disk(name: &str, component: &str) -> Self {
        Self::of("disk", name, component)
    }

    /// The database that a component holds.
    pub fn database(name: &str, component: &str) -> Self {
        Self::of("database", name, component)
    }

    /// The bucket that a component holds.
    pub fn bucket(name: &str, component: &str) -> Self {
        Self::of("bucket", name, component)
    }

    fn of(kind: &str, name: &str, component: &str) -> Self {
        let labels = [(COMPONENT.to_owned(), component.to_owned())].into();
        Self { kind: kind.into(), name: name.into(), labels }
    }
}

impl Inventory {
    /// Nothing but components.
    pub fn of<S: Into<String>>(components: impl IntoIterator<Item = S>) -> Self {
        Self { components: components.into_iter().map(Into::into).collect(), things: vec![] }
    }

    /// The component of this name, as a list of targets; empty if there is none.
    pub fn component(&self, name: &str) -> Vec<String> {
        self.components.iter().filter(|component| *component == name).cloned().collect()
    }

    /// The disks of a component, as a list of targets; empty if it has none.
    pub fn disks(&self, component: &str) -> Vec<String> {
        self.held("disk", component).map(|disk| format!("the disk {} of {component}", disk.name)).collect()
    }

    /// The databases of a component, as a list of targets; empty if it holds none.
    pub fn databases(&self, component: &str) -> Vec<String> {
        let its = self.held("database", component);
        its.map(|database| format!("the database {} of {component}", database.name)).collect()
    }

    /// What is lost with a component's disks.
    pub fn assets(&self, component: &str) -> Vec<Asset> {
        let database = self.held("database", component).map(|_| Asset::Database);
        database.chain(self.held("bucket", component).map(|_| Asset::Artifacts)).collect()
    }

    fn held<'a>(&'a self, kind: &'a str, component: &'a str) -> impl Iterator<Item = &'a Thing> {
        self.kind(kind).filter(move |thing| thing.labels.get(COMPONENT).is_some_and(|of| of == component))
    }

    /// The things of a kind.
    pub fn kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Thing> {
        self.things.iter().filter(move |thing| thing.kind == kind)
    }
}

/// What was found when an environment was asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Survey {
    /// What stands against the drill; each with a hint. Any is a plan error.
    pub problems: Vec<String>,
    /// What forbids the drill here: it is not the platform that was opted in. Any is a refusal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<String>,
    /// What is there: name and value, for `lifeboat plan`.
    pub facts: BTreeMap<String, String>,
    /// Why deleted artifacts could not be brought back by their versions, where the platform stands already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_undelete: Option<String>,
    /// What can be hit, where the platform stands already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
}
