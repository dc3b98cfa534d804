//! What can be lost of a platform and brought back: faults say what they take, engines and steps what they bring back.
//!
//! Apart because a plan compares the two: on a standing platform nothing is taken that nothing brings back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of the platform that holds state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Asset {
    /// The rows of MLflow's database.
    Database,
    /// The objects of the bucket.
    Artifacts,
    /// The objects of the namespace: secrets, config maps, services and workloads.
    Resources,
    /// Registered models, each with its rows and artifacts.
    Models,
    /// The recovery points of a repository. No engine covers them.
    #[serde(skip)]
    Backups,
}

/// How what is lost was lost: what brings it back depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, strum::EnumIter)]
pub enum LossKind {
    /// It is gone; where versions are kept, those of before are there.
    #[default]
    Removed,
    /// It holds something else; where versions are kept, those of before are there.
    Overwritten,
    /// It is gone with all its versions.
    Purged,
}

/// An asset, or of the artifacts those under a prefix, or one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetUnder {
    /// Which.
    pub asset: Asset,
    /// As MLflow names artifacts, or a model's name; empty for all.
    pub prefix: String,
}

impl From<Asset> for AssetUnder {
    fn from(asset: Asset) -> Self {
        Self { asset, prefix: String::new() }
    }
}

impl AssetUnder {
    /// Is all of the other in it?
    pub fn holds(&self, other: &Self) -> bool {
        let same = self.prefix.is_empty() || self.prefix == other.prefix;
        let under = self.asset != Asset::Models && other.prefix.starts_with(&self.prefix);
        self.asset == other.asset && (same || under)
    }
}

impl std::fmt::Display for AssetUnder {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.prefix.as_str() {
            "" => write!(f, "{}", self.asset),
            name if self.asset == Asset::Models => write!(f, "model `{name}`"),
            prefix => write!(f, "{} under `{prefix}`", self.asset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_artifacts_is_in_the_whole_and_not_the_other_way_round() {
        let under = |prefix: &str| AssetUnder { asset: Asset::Artifacts, prefix: prefix.into() };
        assert!(under("").holds(&under("1/")) && under("1/").holds(&under("1/")));
        assert!(!under("1/").holds(&under("")) && !under("1/").holds(&under("2/")));
        assert!(!under("").holds(&Asset::Database.into()));
    }

    #[test]
    fn a_model_is_not_in_another_whose_name_begins_its_own() {
        let model = |name: &str| AssetUnder { asset: Asset::Models, prefix: name.into() };
        assert!(AssetUnder::from(Asset::Models).holds(&model("churn")) && model("churn").holds(&model("churn")));
        assert!(!model("churn").holds(&model("churn-2")) && !model("churn").holds(&Asset::Models.into()));
        assert_eq!(model("churn").to_string(), "model `churn`");
    }
}
