//! A repository as written in a file: its name, its kind, its password and its lock.
//!
//! Apart from the kinds because password and lock stand beside every one of them.

use super::{Patience, Place, REPOSITORIES, Repository, SecretFrom};
use crate::client::Error;
use crate::kind::{Chosen, pick_beside};
use crate::model::Period;
use crate::node::{Node, Problem, read};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const BESIDE: &[&str] = &["password", "lock"];

/// How files are locked against deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Who has the right to bypass the lock can delete them.
    Governance,
    /// Nobody can delete them.
    Compliance,
}

/// For how long files are locked against deletion. What a newer point still needs is locked anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// `governance` or `compliance`.
    pub mode: LockMode,
    /// From the moment a point is complete.
    #[serde(rename = "for")]
    pub period: Period,
}

/// What stands beside the kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    password: SecretFrom,
    #[serde(default)]
    lock: Option<Lock>,
}

/// A repository as a file describes it.
#[derive(Debug, Clone)]
pub struct RepositorySettings {
    /// The name that the file gives it.
    pub name: String,
    /// Where it is.
    pub kind: Chosen<dyn Repository>,
    /// Where its password stands.
    pub password: SecretFrom,
    /// How its files are locked.
    pub lock: Option<Lock>,
}

/// As it is read again.
impl Serialize for RepositorySettings {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct WrittenRepository<'a> {
            #[serde(flatten)]
            kind: &'a Chosen<dyn Repository>,
            password: &'a SecretFrom,
            #[serde(skip_serializing_if = "Option::is_none")]
            lock: Option<Lock>,
        }
        s.collect_map([(&self.name, WrittenRepository { kind: &self.kind, password: &self.password, lock: self.lock })])
    }
}

impl RepositorySettings {
    /// Reads what stands behind the name of a repository: one kind, `password`, and perhaps `lock`.
    pub fn read(name: &str, node: &Node, problems: &mut Vec<Problem>) -> Option<Self> {
        let kind = pick_beside("repository", REPOSITORIES, BESIDE, node, problems);
        let beside = read::<Beside>(&node.only(|key| BESIDE.contains(&key)), problems);
        let (kind, beside) = (kind?, beside?);
        if beside.lock.is_some() && !kind.locks() {
            let text = format!("a repository of the kind `{}` cannot be locked", kind.name);
            problems.push(Problem::new(node.at(&["lock"]), text).hint("remove `lock`, or keep it in `s3`"));
            return None;
        }
        Some(Self { name: name.to_owned(), kind, password: beside.password, lock: beside.lock })
    }

    /// The place of its files.
    ///
    /// # Errors
    /// When a secret that it names cannot be read.
    pub async fn place(&self, patience: Patience) -> Result<Arc<dyn Place>, Error> {
        self.kind.place(self.lock, patience).await
    }
}

/// The JSON Schema of a list of repositories, each behind its name.
pub fn list_schema(generator: &mut SchemaGenerator) -> Schema {
    let one = schema(generator);
    let named = json_schema!({ "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": one });
    json_schema!({ "type": "array", "minItems": 1, "items": named })
}

/// Of what stands behind the name of one.
fn schema(generator: &mut SchemaGenerator) -> Schema {
    let kinds: Vec<_> = REPOSITORIES
        .iter()
        .map(|kind| {
            let mut properties = serde_json::Map::new();
            properties.insert(kind.name.into(), (kind.schema)(generator).to_value());
            properties.insert("password".into(), generator.subschema_for::<SecretFrom>().to_value());
            properties.insert("lock".into(), generator.subschema_for::<Lock>().to_value());
            json_schema!({
                "type": "object", "description": kind.about, "properties": properties,
                "required": [kind.name, "password"], "additionalProperties": false,
            })
        })
        .collect();
    json_schema!({ "oneOf": kinds })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;

    fn settings(text: &str) -> Result<RepositorySettings, Vec<String>> {
        let mut problems = vec![];
        let read = RepositorySettings::read("near", &parse(text).unwrap(), &mut problems);
        read.ok_or_else(|| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_kind_stands_beside_its_password_and_its_lock() {
        let near = settings("{ directory: /backups, password: { file: /run/secrets/password } }").unwrap();
        assert_eq!((near.kind.name, near.lock), ("directory", None));
        let far = "{ s3: { bucket: backups, region: eu-central-1, credentials: { access: { env: A }, secret: { env: B } } }, \
                   password: { env: PASSWORD }, lock: { mode: compliance, for: 30d } }";
        let far = settings(far).unwrap();
        assert_eq!(far.lock, Some(Lock { mode: LockMode::Compliance, period: Period::seconds(30 * 86_400) }));
        assert_eq!(far.password, SecretFrom::Env("PASSWORD".into()));
    }

    #[test]
    fn every_problem_is_said() {
        let problems = settings("{ directroy: /backups, lock: { mode: strict, for: 30d } }").unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:#?}");
        assert!(problems[0].contains("did you mean `directory`?"), "{problems:#?}");
        assert!(problems[1].contains("known: governance, compliance"), "{problems:#?}");
        let problems = settings("{ directory: /backups }").unwrap_err();
        assert!(problems[0].contains("`password` is missing"), "{problems:#?}");
        let text = "{ directory: /backups, password: { env: A }, lock: { mode: governance, for: 1d } }";
        let problems = settings(text).unwrap_err();
        assert!(problems[0].contains("`directory` cannot be locked"), "{problems:#?}");
    }

    #[test]
    fn a_secret_in_the_file_itself_is_refused() {
        assert!(settings("{ directory: /backups, password: sesame }").is_err());
    }
}
