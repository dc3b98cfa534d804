//! The images of the platform's components: the projects' own, those that `make images` builds, or anybody's.
//!
//! Apart so that every environment which runs images runs the same ones.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
use std::fmt;

/// The projects' own images by component, pinned by version and, where one is published, by the digest of the list of
/// platforms behind the tag.
///
/// MLflow's plain image has neither PostgreSQL's driver nor an S3 client; its `-full` one (since 3.9) has both. No
/// published digest of that one was found, so it is pinned by its full version alone: who needs more names the image
/// with its digest.
const OFFICIAL: [(&str, &str); 3] = [
    ("postgres", "postgres:15.19@sha256:9b1d34adbce1dd07ee6e94b4a2cf698884b89bd44a6c9c12f5da8f3acbfe4957"),
    ("s3", "ghcr.io/versity/versitygw:v1.8.0@sha256:30292fc2eeacc67a36993b01f7a7a5e3361a19cced0e80c1d71cfa2a4b0a2499"),
    ("mlflow", "ghcr.io/mlflow/mlflow:v3.17.0-full"),
];

/// What `make images` builds, without any registry.
const BUILT: [(&str, &str); 3] =
    [("postgres", "lifeboat/postgres:15"), ("s3", "lifeboat/versitygw:1.8.0"), ("mlflow", "lifeboat/mlflow:3.17.2")];

/// Which images the components run: `official`, `built`, or images by component.
///
/// Each must be used as the official one is: PostgreSQL's takes `PGDATA`, `POSTGRES_USER`, `POSTGRES_PASSWORD_FILE` and
/// `POSTGRES_INITDB_ARGS`, runs its server as `postgres` and has its programs and `bash` on its path; the S3 server's
/// entrypoint is `versitygw`; MLflow's has `mlflow` on its path, with `psycopg2` and `boto3`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Images {
    /// A set by its name.
    Set(ImageSet),
    /// Images by component; the official one where none is named.
    Named(ImageNames),
}

/// Images that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageSet {
    /// The projects' own, from their registries.
    Official,
    /// Those that `make images` builds on this machine.
    Built,
}

/// Images by component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageNames {
    /// PostgreSQL's.
    #[serde(default)]
    postgres: Option<String>,
    /// The S3 server VersityGW's.
    #[serde(default)]
    s3: Option<String>,
    /// MLflow's, with `psycopg2` and `boto3`.
    #[serde(default)]
    mlflow: Option<String>,
}

impl Images {
    /// The image of a component; empty for a component that the platform does not have.
    pub fn of(&self, component: &str) -> String {
        let named = match self {
            Self::Set(_) => None,
            Self::Named(named) => match component {
                "postgres" => named.postgres.clone(),
                "s3" => named.s3.clone(),
                "mlflow" => named.mlflow.clone(),
                _ => None,
            },
        };
        let set = if *self == Self::Set(ImageSet::Built) { BUILT } else { OFFICIAL };
        let found = || set.iter().find(|(name, _)| *name == component).map(|(_, image)| (*image).to_owned());
        named.or_else(found).unwrap_or_default()
    }
}

impl Default for Images {
    fn default() -> Self {
        Self::Set(ImageSet::Official)
    }
}

impl<'de> Deserialize<'de> for Images {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ImagesVisitor)
    }
}

/// Reads either form; serde's own way for that would swallow what is wrong inside of it.
struct ImagesVisitor;

impl<'de> Visitor<'de> for ImagesVisitor {
    type Value = Images;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("`official`, `built` or images by component")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Images, E> {
        ImageSet::deserialize(text.into_deserializer()).map(Images::Set)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Images, A::Error> {
        ImageNames::deserialize(MapAccessDeserializer::new(map)).map(Images::Named)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stack::COMPONENTS;
    use super::*;
    use crate::node;

    fn read(text: &str) -> Result<Images, Vec<node::Problem>> {
        let mut problems = vec![];
        node::read(&node::parse(text).unwrap(), &mut problems).ok_or(problems)
    }

    #[test]
    fn each_set_has_an_image_for_each_component() {
        for set in ["official", "built"] {
            let images = read(set).unwrap();
            for component in COMPONENTS {
                let image = images.of(component);
                assert!(image.contains(':') && !image.ends_with(":latest"), "{set} {component}: {image}");
            }
        }
        assert_eq!(read("official").unwrap(), Images::default());
    }

    #[test]
    fn a_named_image_stands_in_for_the_official_one_and_a_wrong_name_is_told() {
        let images = read("{ mlflow: example.org/mlflow:1 }").unwrap();
        assert_eq!(images.of("mlflow"), "example.org/mlflow:1");
        assert_eq!(images.of("s3"), Images::default().of("s3"));
        let said = |text| format!("{:?}", read(text).unwrap_err());
        assert!(said("{ minio: x }").contains("minio"), "{}", said("{ minio: x }"));
        assert!(said("bult").contains("built"), "{}", said("bult"));
        assert!(said("[1]").contains("images by component"), "{}", said("[1]"));
    }
}
