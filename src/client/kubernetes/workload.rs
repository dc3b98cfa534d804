//! The Kubernetes object that keeps a component's pods, a `Deployment` or a `StatefulSet`, and whether its rollout is over.

use super::call::cannot;
use super::namespace::{NamespaceClient, of_component};
use crate::client::Error;
use crate::clock;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

/// The sort of object that keeps a component's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadKind {
    /// Any number of equal pods.
    Deployment,
    /// Numbered pods, with a disk each.
    StatefulSet,
}

impl std::fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.pad(match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
        })
    }
}

/// The object that keeps a component's pods.
pub struct WorkloadResource {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    api: Api<DynamicObject>,
}

impl WorkloadResource {
    /// The one workload that carries the component's label.
    pub async fn of(namespace: &NamespaceClient, component: &str) -> Result<Self, Error> {
        let what = || format!("the workload of `{component}`");
        let mut found = vec![];
        for (kind, resource) in [
            (WorkloadKind::Deployment, ApiResource::erase::<Deployment>(&())),
            (WorkloadKind::StatefulSet, ApiResource::erase::<StatefulSet>(&())),
        ] {
            let api = namespace.dynamic(&resource);
            let listed =
                api.list(&ListParams::default().labels(&of_component(component))).await.map_err(cannot(what()))?;
            found.extend(listed.items.iter().map(|it| Self { kind, name: it.name_any(), api: api.clone() }));
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Error::new(what(), format!("nothing in `{}` has its label", namespace.name))),
            n => Err(Error::new(what(), format!("{n} workloads have its label"))),
        }
    }

    /// The object as it is now.
    pub async fn read(&self) -> Result<DynamicObject, Error> {
        self.api.get(&self.name).await.map_err(cannot(format!("cannot read {self}")))
    }

    /// Changes parts of it, like `kubectl patch --type merge`.
    pub async fn patch(&self, patch: Value) -> Result<(), Error> {
        let patched = self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).map_err(cannot(format!("cannot change {self}")))
    }

    /// Replaces all its pods, like `kubectl rollout restart`.
    pub async fn restart(&self) -> Result<(), Error> {
        let now = json!({ "kubectl.kubernetes.io/restartedAt": clock::wall().to_string() });
        self.patch(json!({ "spec": { "template": { "metadata": { "annotations": now } } } })).await
    }
}

impl std::fmt::Display for WorkloadResource {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "`{}/{}`", self.kind, self.name)
    }
}

/// Is its rollout over? If not, what is missing.
pub fn rolled_out(workload: &DynamicObject) -> Result<(), String> {
    let at = |path: &str| workload.data.pointer(path).and_then(Value::as_i64).unwrap_or_default();
    let generation = workload.metadata.generation.unwrap_or_default();
    if at("/status/observedGeneration") < generation {
        return Err("its controller has not seen the change yet".into());
    }
    let wanted = workload.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let (all, updated) = (at("/status/replicas"), at("/status/updatedReplicas"));
    let ready = at("/status/readyReplicas");
    if updated != wanted || all != wanted {
        return Err(format!("{updated} of {wanted} pods are new, {all} are there"));
    }
    if ready == wanted { Ok(()) } else { Err(format!("{ready} of {wanted} pods are ready")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn workload(generation: i64, spec: &Value, status: &Value) -> DynamicObject {
        let object = json!({ "metadata": { "name": "x", "generation": generation }, "spec": spec, "status": status });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_rollout_is_over_when_every_pod_is_new_and_ready_and_no_old_one_is_left() {
        let whole = json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2 });
        let two = json!({ "replicas": 2 });
        assert_eq!(rolled_out(&workload(2, &two, &whole)), Ok(()));
        assert!(rolled_out(&workload(3, &two, &whole)).unwrap_err().contains("not seen"));
        for (key, value, said) in [
            ("replicas", 3, "3 are there"),
            ("updatedReplicas", 1, "1 of 2 pods are new"),
            ("readyReplicas", 1, "1 of 2 pods are ready"),
        ] {
            let mut status = whole.clone();
            status[key] = value.into();
            assert!(rolled_out(&workload(2, &two, &status)).unwrap_err().contains(said), "{key}");
        }
    }

    #[test]
    fn none_wanted_is_over_when_none_is_there_and_one_is_wanted_if_nothing_is_said() {
        let none = json!({ "observedGeneration": 1 });
        assert_eq!(rolled_out(&workload(1, &json!({ "replicas": 0 }), &none)), Ok(()));
        assert!(rolled_out(&workload(1, &json!({}), &none)).is_err());
    }
}
