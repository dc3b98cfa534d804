//! What an account may do: the shipped role is enough, and what another lacks is named.

use super::fixture::{Fixture, environment, with_token};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use lifeboat::environment::Permission;
use serde_json::{Value, json};

/// An account that may do what the role in `deploy/rbac` says; it goes with this value's `remove`.
struct Account {
    client: Client,
    name: String,
    kubeconfig: tempfile::NamedTempFile,
}

impl Account {
    async fn new(fixture: &Fixture, role: &Value) -> Self {
        let (client, name) = (fixture.client.clone(), fixture.run_context.run.clone());
        let made = PostParams::default();
        let (roles, bindings): (Api<ClusterRole>, Api<ClusterRoleBinding>) =
            (Api::all(client.clone()), Api::all(client.clone()));
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        let mut role = role.clone();
        role["metadata"] = json!({ "name": name });
        roles.create(&made, &serde_json::from_value(role).unwrap()).await.unwrap();
        let account = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        accounts.create(&made, &account).await.unwrap();
        let binding = json!({ "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": "default" }] });
        bindings.create(&made, &serde_json::from_value(binding).unwrap()).await.unwrap();
        let request = serde_json::from_value(json!({ "metadata": {}, "spec": { "audiences": [] } })).unwrap();
        let token = accounts.create_token_request(&name, &made, &request).await.unwrap().status.unwrap().token;
        Self { client, name, kubeconfig: with_token(&token) }
    }

    async fn remove(self) {
        let (roles, bindings): (Api<ClusterRole>, Api<ClusterRoleBinding>) =
            (Api::all(self.client.clone()), Api::all(self.client.clone()));
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "default");
        bindings.delete(&self.name, &DeleteParams::default()).await.unwrap();
        roles.delete(&self.name, &DeleteParams::default()).await.unwrap();
        accounts.delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}

fn role() -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(include_str!("../../deploy/rbac/role.yaml")).unwrap();
    documents.into_iter().find(|document| document["kind"] == "ClusterRole").unwrap()
}

fn without(role: &mut Value, verb: &str, resource: &str) {
    let rules = role["rules"].as_array_mut().unwrap();
    let rule = rules.iter().position(|r| r["resources"].as_array().unwrap().contains(&json!(resource))).unwrap();
    let mut rest = rules[rule].clone();
    rest["resources"] = json!([resource]);
    rest["verbs"].as_array_mut().unwrap().retain(|v| v != verb);
    rules[rule]["resources"].as_array_mut().unwrap().retain(|r| r != resource);
    rules.push(rest);
    rules.retain(|r| !r["resources"].as_array().unwrap().is_empty() && !r["verbs"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_is_enough_and_each_permission_it_lacks_is_named() {
    let Some(mut fixture) = Fixture::new("test-role", "").await else { return };
    let mut less = role();
    without(&mut less, "patch", "statefulsets/scale");
    without(&mut less, "get", "pods/exec");
    without(&mut less, "list", "persistentvolumes");
    let account = Account::new(&fixture, &less).await;
    let survey = environment(account.kubeconfig.path(), "").survey(&[Permission::within("list", "", "pods")]).await;
    let mut refused: Vec<&str> = survey.problems.iter().map(|problem| problem.split(';').next().unwrap()).collect();
    refused.sort_unstable();
    let expected = [
        "you may not get pods/exec",
        "you may not list persistentvolumes of the cluster",
        "you may not patch statefulsets/scale.apps",
    ];
    assert_eq!(refused, expected);
    account.remove().await;

    let account = Account::new(&fixture, &role()).await;
    fixture.environment = environment(account.kubeconfig.path(), "access: forward");
    let survey = fixture.environment.survey(&[Permission::within("delete", "", "configmaps")]).await;
    assert_eq!(survey.problems.len(), 1, "{:?}", survey.problems);
    assert!(survey.problems[0].starts_with("you may not delete configmaps;"), "{:?}", survey.problems);
    let platform = fixture.provision().await;
    let step_context = platform.components().unwrap();
    step_context.pause("s3").await.unwrap();
    step_context.resume("s3").await.unwrap();
    step_context.stop("s3").await.unwrap();
    step_context.start("s3").await.unwrap();
    let receipts = fixture.notes.0.lock().unwrap().clone();
    assert!(fixture.environment.open(&fixture.run_context, &receipts, fixture.notes.clone()).await.unwrap().is_some());
    assert_eq!(platform.remove().await, Vec::<String>::new());
    fixture.assert_nothing_left().await;
    account.remove().await;
}
