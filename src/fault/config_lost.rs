//! The fault that deletes a secret or a config map, or gives one of its keys another value.
//!
//! Running pods do not notice: they read it when they start. A scenario that wants an outage ends them too.

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::client::kubernetes::{NamespaceClient, cannot, why};
use crate::environment::{Asset, AssetUnder, Inventory, Permission, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// `config-lost: { secret: mlflow }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "config-lost",
    about: "Deletes a secret or a config map, or gives a key of it another value.",
    example: "config-lost: { secret: mlflow }",
    schema: |g| g.subschema_for::<ConfigLostFile>(),
    parse: |n, p| read::<ConfigLost>(n, p).map(|k| Box::new(k) as _),
};

/// Deletes or alters a secret or a config map.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConfigLost")]
struct ConfigLostFile {
    /// The secret; this or `config_map`.
    secret: Option<String>,
    /// The config map.
    config_map: Option<String>,
    /// The key that gets another value; with none, the whole of it is deleted.
    key: Option<String>,
    /// The wrong value it gets.
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "ConfigLostFile")]
struct ConfigLost {
    kind: ConfigKind,
    name: String,
    change: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ConfigKind {
    Secret,
    ConfigMap,
}

impl TryFrom<ConfigLostFile> for ConfigLost {
    type Error = String;

    fn try_from(written: ConfigLostFile) -> Result<Self, String> {
        let (kind, name) = match (written.secret, written.config_map) {
            (Some(secret), None) => (ConfigKind::Secret, secret),
            (None, Some(config_map)) => (ConfigKind::ConfigMap, config_map),
            _ => return Err("exactly one of `secret` and `config_map` says what is lost".into()),
        };
        match (written.key, written.value) {
            (Some(key), Some(value)) => Ok(Self { kind, name, change: Some((key, value)) }),
            (None, None) => Ok(Self { kind, name, change: None }),
            _ => Err("`key` and `value` go together: name both or neither".into()),
        }
    }
}

impl ConfigKind {
    /// In words, as inventories say it.
    fn words(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::ConfigMap => "config map",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
        }
    }

    fn api(self, namespace: &NamespaceClient) -> Api<DynamicObject> {
        let resource = match self {
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
        };
        namespace.dynamic(&resource)
    }
}

/// What was lost, as it was; no value of it.
#[derive(Debug, Serialize, Deserialize)]
struct LostConfig {
    kind: ConfigKind,
    name: String,
    uid: String,
    version: String,
    altered: Option<String>,
}

#[async_trait]
impl Fault for ConfigLost {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        vec![Asset::Resources.into()]
    }
    fn permissions(&self) -> Vec<Permission> {
        let act = if self.change.is_some() { "patch" } else { "delete" };
        ["get", act].map(|verb| Permission::within(verb, "", self.kind.plural())).to_vec()
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let key = self.change.as_ref().map(|(key, _)| format!("the key `{key}` of ")).unwrap_or_default();
        let its = inventory.kind(self.kind.words()).filter(|thing| thing.name == self.name);
        its.map(|thing| format!("{key}the {} {}", thing.kind, thing.name)).collect()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let what = format!("cannot lose the {} `{}`", self.kind.words(), self.name);
        let api = self.kind.api(platform.cluster()?.namespace());
        let there = api.get_metadata(&self.name).await.map_err(cannot(&what))?;
        if let Some((key, value)) = &self.change {
            let now = api.get(&self.name).await.map_err(cannot(&what))?;
            if now.data.pointer("/data").and_then(|data| data.get(key)).is_none() {
                return Err(Error::new(what, format!("it has no key `{key}`")));
            }
            if holds(self.kind, &now, key, value) {
                return Err(Error::new(what, format!("`{key}` has that value already")));
            }
        }
        let (uid, version) = (there.uid().unwrap_or_default(), there.resource_version().unwrap_or_default());
        let altered = self.change.as_ref().map(|(key, _)| key.clone());
        Ok(Receipt(json!(LostConfig { kind: self.kind, name: self.name.clone(), uid, version, altered })))
    }
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        let (before, there) = (recall::<LostConfig>(bound)?, recall::<LostConfig>(&now)?);
        if before.uid == there.uid {
            return Ok(now);
        }
        let what = format!("cannot lose the {} `{}`", self.kind.words(), self.name);
        Err(Error::new(what, "it is another than when the platform stood"))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let lost = recall::<LostConfig>(receipt)?;
        let api = lost.kind.api(platform.cluster()?.namespace());
        let what = format!("cannot lose the {} `{}`", lost.kind.words(), lost.name);
        let Some((key, value)) = &self.change else {
            let this = Preconditions { uid: Some(lost.uid), resource_version: None };
            let deleted = api.delete(&lost.name, &DeleteParams::default().preconditions(this)).await;
            return deleted.map(drop).map_err(cannot(what));
        };
        let data = if lost.kind == ConfigKind::Secret { "stringData" } else { "data" };
        // With the version the API refuses if somebody else has changed it meanwhile.
        let patch = json!({ "metadata": { "resourceVersion": lost.version }, data: { key: value } });
        let patched = api.patch(&lost.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(cannot(what))
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let (cluster, lost) = match (platform.cluster(), recall::<LostConfig>(receipt)) {
            (Ok(cluster), Ok(lost)) => (cluster, lost),
            (Err(error), _) | (_, Err(error)) => return Finding::unknown(error.to_string()),
        };
        let named = format!("the {} `{}`", lost.kind.words(), lost.name);
        match lost.kind.api(cluster.namespace()).get_metadata_opt(&lost.name).await {
            Err(error) => Finding::unknown(format!("cannot read {named}: {}", why(&error))),
            Ok(None) => Finding::met(),
            Ok(Some(now)) if now.uid().as_ref() != Some(&lost.uid) => Finding::met(),
            Ok(Some(now)) if now.resource_version().as_ref() == Some(&lost.version) => {
                Finding::missed(format!("{named} is as it was"))
            }
            Ok(Some(_)) => self.altered(&lost.kind.api(cluster.namespace()), &lost.name, &named).await,
        }
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

impl ConfigLost {
    /// Is another version of it the fault's own? A change of somebody else's is not its effect.
    async fn altered(&self, api: &Api<DynamicObject>, name: &str, named: &str) -> Finding {
        let foreign = || Finding::unknown(format!("somebody else has changed {named}: it is not the fault's effect"));
        let Some((key, value)) = &self.change else { return foreign() };
        match api.get(name).await {
            Ok(now) if holds(self.kind, &now, key, value) => Finding::met(),
            Ok(_) => foreign(),
            Err(error) => Finding::unknown(format!("cannot read {named}: {}", why(&error))),
        }
    }
}

/// Has a key this value? Those of secrets are encoded.
fn holds(kind: ConfigKind, object: &DynamicObject, key: &str, value: &str) -> bool {
    let expected = match kind {
        ConfigKind::Secret => json!(ByteString(value.as_bytes().to_vec())),
        ConfigKind::ConfigMap => json!(value),
    };
    object.data.pointer("/data").and_then(|data| data.get(key)) == Some(&expected)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::Thing;

    #[test]
    fn only_the_value_that_the_fault_wrote_is_its_effect() {
        let object = |value: &str| -> DynamicObject {
            serde_json::from_value(json!({ "metadata": { "name": "a" }, "data": { "key": value } })).unwrap()
        };
        assert!(holds(ConfigKind::ConfigMap, &object("wrong"), "key", "wrong"));
        assert!(!holds(ConfigKind::ConfigMap, &object("somebody's"), "key", "wrong"));
        assert!(!holds(ConfigKind::ConfigMap, &object("wrong"), "other", "wrong"));
        assert!(holds(ConfigKind::Secret, &object("d3Jvbmc="), "key", "wrong"), "a secret's value is encoded");
        assert!(!holds(ConfigKind::Secret, &object("wrong"), "key", "wrong"));
    }

    fn lost(text: &str) -> Result<ConfigLost, String> {
        let mut problems = vec![];
        let read = read::<ConfigLost>(&crate::node::parse(text).unwrap(), &mut problems);
        read.ok_or_else(|| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_thing_is_lost_and_a_key_needs_a_value() {
        for (text, said) in [
            ("{ secret: a, config_map: b }", "exactly one of"),
            ("{}", "exactly one of"),
            ("{ secret: a, key: b }", "go together"),
            ("{ config_map: a, value: b }", "go together"),
        ] {
            assert!(lost(text).unwrap_err().contains(said), "{text}");
        }
    }

    #[test]
    fn only_what_is_there_can_be_lost() {
        let thing = |kind: &str| Thing { kind: kind.into(), name: "mlflow".into(), ..Thing::default() };
        let inventory = Inventory { things: vec![thing("secret"), thing("pod")], ..Inventory::default() };
        let aims = |text| lost(text).unwrap().targets(&inventory);
        assert_eq!(aims("{ secret: mlflow }"), ["the secret mlflow"]);
        assert_eq!(aims("{ secret: mlflow, key: password, value: x }"), ["the key `password` of the secret mlflow"]);
        assert!(aims("{ secret: other }").is_empty());
        assert!(aims("{ config_map: mlflow }").is_empty());
    }

    #[test]
    fn a_place_is_asked_for_no_more_than_is_done() {
        let verbs = |text| lost(text).unwrap().permissions().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(verbs("{ secret: a }"), ["get secrets", "delete secrets"]);
        assert_eq!(verbs("{ config_map: a, key: b, value: c }"), ["get configmaps", "patch configmaps"]);
    }
}
