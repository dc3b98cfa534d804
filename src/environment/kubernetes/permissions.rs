//! What Lifeboat must be allowed to do in a cluster, and which of it the cluster refuses.
//!
//! The list is that of `deploy/rbac/role.yaml`; a test compares the two.

use super::client::insist;
use crate::client::Trouble;
use crate::environment::Permission;
use futures::StreamExt;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use std::collections::BTreeSet;

/// A namespace that stands for the run's own, which does not exist when its permissions are asked.
pub const SOME: &str = "lifeboat-survey";

/// What provisioning, the powers and the removal do.
pub const NEEDED: &[Permission] = &[
    Permission::everywhere("create", "", "namespaces"),
    Permission::everywhere("delete", "", "namespaces"),
    Permission::everywhere("get", "", "namespaces"),
    Permission::everywhere("list", "", "nodes"),
    Permission::everywhere("list", "", "persistentvolumes"),
    Permission::everywhere("list", "storage.k8s.io", "storageclasses"),
    Permission::within("create", "", "configmaps"),
    Permission::within("create", "", "secrets"),
    Permission::within("get", "", "secrets"),
    Permission::within("create", "", "services"),
    Permission::within("get", "", "services"),
    Permission::within("create", "apps", "deployments"),
    Permission::within("create", "apps", "statefulsets"),
    Permission::within("get", "apps", "deployments/scale"),
    Permission::within("get", "apps", "statefulsets/scale"),
    Permission::within("patch", "apps", "deployments/scale"),
    Permission::within("patch", "apps", "statefulsets/scale"),
    Permission::within("deletecollection", "", "pods"),
    Permission::within("get", "", "pods"),
    Permission::within("list", "", "pods"),
    Permission::within("get", "", "pods/log"),
    // A WebSocket is asked for with GET; from Kubernetes 1.35 on the right to create is asked too.
    Permission::within("create", "", "pods/exec"),
    Permission::within("get", "", "pods/exec"),
    Permission::within("create", "", "pods/portforward"),
    Permission::within("get", "", "pods/portforward"),
];

/// What attaching to a standing platform and the powers do.
pub const ATTACHED: &[Permission] = &[
    Permission::everywhere("get", "", "namespaces"),
    Permission::everywhere("list", "", "nodes"),
    Permission::within("get", "", "configmaps"),
    Permission::within("get", "", "secrets"),
    Permission::within("get", "", "services"),
    Permission::within("get", "apps", "deployments"),
    Permission::within("get", "apps", "deployments/scale"),
    Permission::within("get", "apps", "statefulsets/scale"),
    Permission::within("patch", "apps", "deployments/scale"),
    Permission::within("patch", "apps", "statefulsets/scale"),
    Permission::within("get", "", "pods"),
    Permission::within("list", "", "pods"),
    Permission::within("get", "", "pods/log"),
    Permission::within("create", "", "pods/exec"),
    Permission::within("get", "", "pods/exec"),
    Permission::within("create", "", "pods/portforward"),
    Permission::within("get", "", "pods/portforward"),
];

/// Which of these the cluster refuses, in their order.
pub async fn denied(client: &Client, namespace: &str, asked: BTreeSet<Permission>) -> Result<Vec<Permission>, Trouble> {
    let answers = futures::stream::iter(asked).map(|permission| async move {
        let allowed = allowed(client, namespace, permission).await?;
        Ok::<_, Trouble>((!allowed).then_some(permission))
    });
    let answers: Vec<_> = answers.buffered(8).collect().await;
    let answers: Result<Vec<_>, Trouble> = answers.into_iter().collect();
    Ok(answers?.into_iter().flatten().collect())
}

async fn allowed(client: &Client, namespace: &str, permission: Permission) -> Result<bool, Trouble> {
    let (resource, part) = permission.resource.split_once('/').unwrap_or((permission.resource, ""));
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let attributes = ResourceAttributes {
        verb: text(permission.verb),
        group: text(permission.group),
        resource: text(resource),
        subresource: text(part),
        namespace: if permission.everywhere { None } else { text(namespace) },
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let params = PostParams::default();
    let answer = insist("cannot ask for permissions", || reviews.create(&params, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    const ROLE: &str = include_str!("../../../deploy/rbac/role.yaml");

    #[test]
    fn the_role_allows_what_is_needed_and_no_more() {
        let documents: Vec<Value> = serde_saphyr::from_multiple(ROLE).unwrap();
        let list = |rule: &Value, key: &str| -> Vec<String> {
            rule[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let mut allowed = BTreeSet::new();
        for rule in documents.iter().find(|d| d["kind"] == "ClusterRole").unwrap()["rules"].as_array().unwrap() {
            for group in list(rule, "apiGroups") {
                for resource in list(rule, "resources") {
                    let each = |verb: &String| (verb.clone(), group.clone(), resource.clone());
                    allowed.extend(list(rule, "verbs").iter().map(each));
                }
            }
        }
        let text = str::to_owned;
        let needed: BTreeSet<_> = NEEDED.iter().map(|p| (text(p.verb), text(p.group), text(p.resource))).collect();
        assert_eq!(allowed, needed);
    }
}
