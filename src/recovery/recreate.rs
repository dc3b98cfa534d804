//! The step that recreates the platform's namespace, or what is missing in it, from the environment's manifests.
//!
//! It restores no data: databases come back empty, and a server that finds its database empty may fill it and serve
//! it as if it were whole (MLflow does, seen with 3.17). A component that must not serve before the restore is held back.

use super::rollout::{LOOK, rolled_out, two_minutes};
use super::{Step, StepContext};
use crate::client::kubernetes::{COMPONENT, NamespaceClient, WorkloadResource, says, why};
use crate::client::{Error, until};
use crate::clock::Stopwatch;
use crate::environment::{Cluster, Permission, Power};
use crate::kind::Kind;
use crate::model::{Finding, Span};
use crate::node::read;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// `recreate-namespace: { hold: [mlflow] }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "recreate-namespace",
    about: "Recreates the platform's namespace, or what is missing in it, without its data, and waits until it is ready.",
    example: "recreate-namespace: { hold: [mlflow] }",
    schema: |g| g.subschema_for::<RecreateNamespace>(),
    parse: |n, p| read::<RecreateNamespace>(n, p).map(|k| Box::new(k) as _),
};

/// Recreates the namespace. What exists is kept and corrected, so this also brings back a lost secret. Its outputs are
/// the times of its parts, so that deletion, creation and start can be told apart:
/// `seconds_waiting_for_deletion`, `seconds_creating` and `seconds_until_ready`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RecreateNamespace {
    /// Components that get no pods yet, so that they do not serve before the restore; `start` or `scale` starts them.
    #[serde(default)]
    hold: Vec<String>,
    /// How long to wait for the old one's end, and again for the readiness of the new one; 2 minutes each by
    /// default.
    #[serde(default = "two_minutes")]
    within: Span,
}

#[async_trait]
impl Step for RecreateNamespace {
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn permissions(&self) -> Vec<Permission> {
        let core = ["secrets", "configmaps", "persistentvolumeclaims", "services"].map(|kind| ("", kind));
        let kinds = core.into_iter().chain([("apps", "deployments"), ("apps", "statefulsets")]);
        let made = ["create", "patch"];
        let of = |(group, kind)| made.map(|verb| Permission::within(verb, group, kind));
        let mut all: Vec<_> = kinds.flat_map(of).collect();
        all.extend(["get", "create", "patch"].map(|verb| Permission::everywhere(verb, "", "namespaces")));
        for verb in ["get", "list"] {
            all.extend(["deployments", "statefulsets"].map(|kind| Permission::within(verb, "apps", kind)));
        }
        all
    }
    fn outputs(&self) -> &'static [&'static str] {
        &["seconds_waiting_for_deletion", "seconds_creating", "seconds_until_ready"]
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let cluster = match context.platform.cluster() {
            Ok(cluster) => cluster,
            Err(error) => return Finding::unknown(error.to_string()),
        };
        if cluster.manifests().is_empty() {
            let why = "only its owner has the manifests of a standing platform: apply them in a `command` step";
            return Finding::missed(why);
        }
        let known = |held: &&String| cluster.manifests().iter().any(|it| workload_of(it) == Some(held.as_str()));
        if let Some(held) = self.hold.iter().find(|held| !known(held)) {
            return Finding::missed(format!("there is no workload of `{held}` that could be held back"));
        }
        let mut laps = vec![];
        let done = self.make(cluster, &mut laps).await;
        let finding = done.map_or_else(|error| Finding::missed(error.to_string()), |()| Finding::met());
        self.outputs()
            .iter()
            .zip(laps)
            .fold(finding, |f, (name, seconds): (_, f64)| f.figure(*name, format!("{seconds:.3}")))
    }
}

impl RecreateNamespace {
    /// Each part's time goes onto `laps` as it ends.
    async fn make(&self, cluster: &dyn Cluster, laps: &mut Vec<f64>) -> Result<(), Error> {
        let (mut stopwatch, namespace) = (Stopwatch::start(), cluster.namespace());
        let gone = until(self.within.0, LOOK, || is_gone(namespace)).await;
        gone.map_err(|late| Error::new(format!("the old namespace `{}` is not gone", namespace.name), late))?;
        laps.push(stopwatch.lap());
        for manifest in cluster.manifests() {
            let manifest = bare(manifest, &self.hold);
            let named = format!("{} `{}`", kind(&manifest), manifest.name_any());
            let applied = until(self.within.0, LOOK, || apply(namespace, &manifest)).await;
            let applied = applied.map_err(|late| Error::new(format!("cannot create the {named}"), late))?;
            applied.map_err(|why| Error::new(format!("cannot create the {named}"), why))?;
        }
        laps.push(stopwatch.lap());
        let components = cluster.manifests().iter().filter_map(workload_of);
        let components = components.filter(|component| !self.hold.iter().any(|held| held == component));
        let ready = components.map(async |component| {
            let workload = WorkloadResource::of(namespace, component).await?;
            rolled_out(&workload, self.within).await
        });
        futures::future::try_join_all(ready).await?;
        laps.push(stopwatch.lap());
        Ok(())
    }
}

/// Is the old namespace gone, or not being deleted at all? If it still is, the finalizers it waits for.
async fn is_gone(namespace: &NamespaceClient) -> Result<(), String> {
    let there = namespace.everywhere::<Namespace>().get_opt(&namespace.name).await;
    let Some(there) = there.map_err(|error| why(&error))? else { return Ok(()) };
    if there.metadata.deletion_timestamp.is_none() { Ok(()) } else { Err(held_up(&there)) }
}

/// What a namespace that is being deleted says it waits for.
fn held_up(namespace: &Namespace) -> String {
    let conditions = namespace.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let said = |kind: &str| {
        conditions.iter().find(|it| it.type_ == kind && it.status == "True").and_then(|it| it.message.clone())
    };
    let mut reasons: Vec<_> =
        ["NamespaceFinalizersRemaining", "NamespaceContentRemaining", "NamespaceDeletionDiscoveryFailure"]
            .into_iter()
            .filter_map(said)
            .collect();
    let own = namespace.metadata.finalizers.as_deref().unwrap_or_default();
    if !own.is_empty() {
        reasons.push(format!("its own finalizers: {}", own.join(", ")));
    }
    if reasons.is_empty() { "its deletion has just begun".into() } else { reasons.join("; ") }
}

/// Applies a manifest; the inner answer is the API's last word, the outer one says to try again.
async fn apply(namespace: &NamespaceClient, manifest: &DynamicObject) -> Result<Result<(), String>, String> {
    let types = manifest.types.clone().unwrap_or_default();
    let Ok(known) = GroupVersionKind::try_from(&types) else {
        return Ok(Err(format!("`{}` is no version of an API", types.api_version)));
    };
    let resource = ApiResource::from_gvk(&known);
    let api: Api<DynamicObject> = if manifest.metadata.namespace.is_some() {
        namespace.dynamic(&resource)
    } else {
        Api::all_with(namespace.client.clone(), &resource)
    };
    let how = PatchParams::apply("lifeboat").force();
    match api.patch(&manifest.name_any(), &how, &Patch::Apply(manifest)).await {
        Ok(_) => Ok(Ok(())),
        Err(error) if [409, 429, 503, 504].iter().any(|code| says(&error, *code)) => Err(why(&error)),
        Err(error) => Ok(Err(why(&error))),
    }
}

/// The manifest without what the API itself writes, and with no pods for a component that is held back.
fn bare(manifest: &DynamicObject, hold: &[String]) -> DynamicObject {
    let mut bare = manifest.clone();
    let meta = &mut bare.metadata;
    (meta.uid, meta.resource_version, meta.creation_timestamp, meta.generation) = (None, None, None, None);
    meta.managed_fields = None;
    if let Some(fields) = bare.data.as_object_mut() {
        fields.remove("status");
    }
    without_nulls(&mut bare.data);
    if workload_of(manifest).is_some_and(|component| hold.iter().any(|held| held == component)) {
        bare.data["spec"]["replicas"] = Value::from(0);
    }
    bare
}

/// Removes nulls: they mean nothing, and the API refuses one under a key that a kind does not know.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

fn kind(manifest: &DynamicObject) -> &str {
    manifest.types.as_ref().map_or("", |types| types.kind.as_str())
}

/// The component whose workload this is, if it is one.
fn workload_of(manifest: &DynamicObject) -> Option<&str> {
    let runs = matches!(kind(manifest), "Deployment" | "StatefulSet");
    manifest.labels().get(COMPONENT).filter(|_| runs).map(String::as_str)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_the_api_wrote_is_left_out_and_what_is_held_back_gets_no_pods() {
        let deployment = object(json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "m", "namespace": "x", "uid": "1", "resourceVersion": "2", "generation": 3,
                "labels": { COMPONENT: "mlflow" } },
            "spec": { "replicas": 2, "volumeClaimTemplates": null }, "status": { "replicas": 2 } }));
        let kept = bare(&deployment, &[]);
        assert!(kept.metadata.uid.is_none() && kept.metadata.resource_version.is_none());
        assert_eq!(kept.data, json!({ "spec": { "replicas": 2 } }));
        assert_eq!(bare(&deployment, &["mlflow".into()]).data["spec"]["replicas"], 0);
        assert_eq!(bare(&deployment, &["postgres".into()]).data["spec"]["replicas"], 2);
    }

    #[test]
    fn a_service_of_a_held_component_is_no_workload() {
        let service = object(json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "m", "labels": { COMPONENT: "mlflow" } }, "spec": {} }));
        assert_eq!(workload_of(&service), None);
        assert_eq!(bare(&service, &["mlflow".into()]).data, json!({ "spec": {} }));
    }

    #[test]
    fn a_namespace_that_hangs_names_its_finalizer() {
        let hangs: Namespace = serde_json::from_value(json!({ "metadata": { "name": "x" }, "status": { "conditions": [
            { "type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: pods. has 1" },
            { "type": "NamespaceFinalizersRemaining", "status": "True", "message": "example.org/hold in 1 resource instances" },
            { "type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content successfully deleted" }] } }))
        .unwrap();
        assert!(held_up(&hangs).starts_with("example.org/hold in 1"), "{}", held_up(&hangs));
        assert!(!held_up(&hangs).contains("successfully"));
        assert_eq!(held_up(&Namespace::default()), "its deletion has just begun");
    }
}
