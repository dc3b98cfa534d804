//! What a cluster refuses or never gets done, and how it is told.
#![allow(clippy::disallowed_methods)] // reads the clock itself

use super::access::Relay;
use super::fixture::{Fixture, changed, environment, with_token};
use crate::services;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy as Policy, ValidatingAdmissionPolicyBinding as Binding,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ResourceQuota};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lifeboat::client::Error;
use lifeboat::environment::Platform;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_cluster_that_cannot_be_used_is_told_plainly() {
    let Some(kubeconfig) = services::kubeconfig() else { return };
    let said = async |kubeconfig: &Path, settings: &str| environment(kubeconfig, settings).survey(&[]).await.problems;
    assert_eq!(said(&kubeconfig, "").await, Vec::<String>::new());
    let problems = said(&kubeconfig, "context: nowhere").await;
    assert!(problems.len() == 1 && problems[0].contains("no context `nowhere` (known: "), "{problems:?}");
    let problems = said(Path::new("/nowhere/config"), "").await;
    assert!(problems.len() == 1 && problems[0].contains("cannot read the kubeconfig"), "{problems:?}");
    let problems = said(with_token("expired").path(), "").await;
    assert!(problems.len() == 1 && problems[0].contains("log in again"), "{problems:?}");
    let closed = changed(|config| config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1"));
    let problems = said(closed.path(), "").await;
    assert!(problems.len() == 1 && problems[0].contains("does the cluster run"), "{problems:?}");
    let problems = said(&kubeconfig, "storage_class: golden").await;
    assert!(problems.len() == 1 && problems[0].contains("no storage class `golden`; known: "), "{problems:?}");
    let survey = environment(&kubeconfig, "").survey(&[]).await;
    let nodes = survey.inventory.unwrap().kind("node").count();
    assert!(nodes >= 1 && survey.facts["nodes"].contains("node1"), "{:?}", survey.facts);
}

/// Waits until something is so.
async fn soon(is: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is().await {
        assert!(Instant::now() < deadline, "not within 30 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Fixture {
    /// Tries to set the platform up, which must fail; removes what is left, which must work.
    async fn fails(&self) -> Error {
        let journal = Arc::clone(&self.notes);
        let Err(error) = self.environment.provision(&self.run_context, journal).await else {
            panic!("it was provisioned")
        };
        let receipts = self.notes.0.lock().unwrap().clone();
        assert_eq!(self.environment.remove(&self.run_context, &receipts).await, Vec::<String>::new());
        self.assert_nothing_left().await;
        error
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_never_binds_is_told_with_whom_it_waits_for() {
    let Some(mut fixture) = Fixture::new("test-claim", "").await else { return };
    let name = &fixture.run_context.run;
    let classes: Api<StorageClass> = Api::all(fixture.client.clone());
    let class = json!({ "metadata": { "name": name }, "provisioner": "nobody.example.org" });
    classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    fixture.environment =
        environment(&services::kubeconfig().unwrap(), &format!("storage_class: {name}, ready_within: 10s"));
    let error = fixture.fails().await;
    classes.delete(name, &DeleteParams::default()).await.unwrap();
    // That of the database or of the store, whichever was first.
    assert!(["cannot start `postgres`", "cannot start `s3`"].contains(&error.what.as_str()), "{error}");
    for part in ["not ready within 10 s", "-0` is Pending", "nobody.example.org"] {
        assert!(error.why.contains(part), "`{part}` is not in: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_refuses_pods_is_told_in_its_own_words_and_early() {
    let Some(fixture) = Fixture::new("test-policy", "").await else { return };
    let (run, made, gone) = (&fixture.run_context.run, PostParams::default(), DeleteParams::default());
    let (policies, bindings): (Api<Policy>, Api<Binding>) =
        (Api::all(fixture.client.clone()), Api::all(fixture.client.clone()));
    let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] });
    let ours = format!("request.namespace.startsWith('{}') || object.metadata.name == '{run}'", fixture.namespace());
    let policy = json!({ "metadata": { "name": run }, "spec": { "matchConstraints": { "resourceRules": [rule] },
        "matchConditions": [{ "name": "ours", "expression": ours }],
        "validations": [{ "expression": "false", "message": "no pods on a Friday" }] } });
    policies.create(&made, &serde_json::from_value(policy).unwrap()).await.unwrap();
    let binding = json!({ "metadata": { "name": run },
        "spec": { "policyName": run, "validationActions": ["Deny"] } });
    bindings.create(&made, &serde_json::from_value(binding).unwrap()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), "default");
    let pod = json!({ "metadata": { "name": run }, "spec": { "containers": [{ "name": "x", "image": "x" }] } });
    let (pod, dry) = (serde_json::from_value(pod).unwrap(), PostParams { dry_run: true, ..PostParams::default() });
    soon(async || pods.create(&dry, &pod).await.is_err()).await; // policies take a moment to rule
    let began = Instant::now();
    let error = fixture.fails().await;
    bindings.delete(run, &gone).await.unwrap();
    policies.delete(run, &gone).await.unwrap();
    assert!(error.why.contains("no pods on a Friday"), "{error}");
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
}

/// A way to the cluster that is interrupted while a component is killed is bridged.
pub async fn an_interrupted_way_is_bridged(platform: &dyn Platform, mut relay: Relay) -> Relay {
    let step_context = platform.components().unwrap();
    let before = step_context.instance("mlflow").await.unwrap();
    relay.cut().await;
    let (killed, relay) = tokio::join!(step_context.kill("mlflow"), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        relay.mend().await
    });
    killed.unwrap();
    assert_ne!(step_context.instance("mlflow").await.unwrap(), before);
    relay
}

/// A quota that lets no pod start is told, to who finds the platform and has less patience than its maker.
pub async fn a_quota_is_told(fixture: &Fixture) {
    let hasty = environment(&services::kubeconfig().unwrap(), "ready_within: 10s");
    let receipts = fixture.notes.0.lock().unwrap().clone();
    let platform = hasty.open(&fixture.run_context, &receipts, fixture.notes.clone()).await.unwrap().unwrap();
    let step_context = platform.components().unwrap();
    let quotas: Api<ResourceQuota> = Api::namespaced(fixture.client.clone(), &fixture.namespace());
    let quota = json!({ "metadata": { "name": "tight" }, "spec": { "hard": { "pods": "1" } } });
    step_context.stop("mlflow").await.unwrap();
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    let rules = |quota: ResourceQuota| quota.status.is_some_and(|status| status.used.is_some());
    soon(async || rules(quotas.get("tight").await.unwrap())).await;
    let error = step_context.start("mlflow").await.unwrap_err();
    assert!(error.why.contains("FailedCreate") && error.why.contains("exceeded quota: tight"), "{error}");
    quotas.delete("tight", &DeleteParams::default()).await.unwrap();
}

/// A namespace that a finalizer holds is named with the finalizer and the way out; freed, it goes.
pub async fn a_namespace_that_is_held_is_named(fixture: &Fixture, platform: &dyn Platform) {
    let maps: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), &fixture.namespace());
    let held = json!({ "metadata": { "name": "held", "finalizers": ["example.org/hold"] } });
    maps.create(&PostParams::default(), &serde_json::from_value(held).unwrap()).await.unwrap();
    let left = platform.remove().await;
    assert_eq!(left.len(), 1, "{left:?}");
    for part in [fixture.namespace().as_str(), "example.org/hold", "kubectl patch --namespace"] {
        assert!(left[0].contains(part), "`{part}` is not in {left:?}");
    }
    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    maps.patch("held", &PatchParams::default(), &free).await.unwrap();
    let receipts = fixture.notes.0.lock().unwrap().clone();
    assert_eq!(fixture.environment.remove(&fixture.run_context, &receipts).await, Vec::<String>::new());
    fixture.assert_nothing_left().await;
}
