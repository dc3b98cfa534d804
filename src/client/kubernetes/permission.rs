//! Permissions in a cluster: which are needed, and which of them the cluster refuses.

use super::call::retry;
use crate::client::Error;
use futures::StreamExt;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Serialize;
use std::collections::BTreeSet;

/// An act on a kind of object that a cluster may have to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Permission {
    /// The act: `get`, `list`, `create`, `delete`, `patch` …
    pub verb: &'static str,
    /// The group of the object's kind; empty for the core's.
    pub group: &'static str,
    /// The kind, in the plural, with a part of it behind a slash: `pods`, `pods/exec`.
    pub resource: &'static str,
    /// Is it asked for outside of the platform's namespace?
    pub everywhere: bool,
}

impl Permission {
    /// An act inside the platform's namespace.
    pub const fn within(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self { verb, group, resource, everywhere: false }
    }

    /// An act on an object that belongs to no namespace, or to another.
    pub const fn everywhere(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self { verb, group, resource, everywhere: true }
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if self.everywhere { f.write_str(" of the cluster") } else { Ok(()) }
    }
}

/// What taking a component's disk away needs.
pub const LOSING_A_DISK: [Permission; 3] = [
    Permission::within("list", "", "persistentvolumeclaims"),
    Permission::within("delete", "", "persistentvolumeclaims"),
    Permission::within("delete", "", "pods"),
];

/// What a helper that mounts a component's claim needs.
pub const MAKING_A_HELPER: [Permission; 2] =
    [Permission::within("create", "", "pods"), Permission::within("delete", "", "pods")];

/// Which of these the cluster refuses, in their order.
pub async fn denied(client: &Client, namespace: &str, asked: BTreeSet<Permission>) -> Result<Vec<Permission>, Error> {
    let answers = futures::stream::iter(asked).map(|permission| async move {
        let allowed = allowed(client, namespace, permission).await?;
        Ok::<_, Error>((!allowed).then_some(permission))
    });
    let answers: Vec<_> = answers.buffered(8).collect().await;
    let answers: Result<Vec<_>, Error> = answers.into_iter().collect();
    Ok(answers?.into_iter().flatten().collect())
}

async fn allowed(client: &Client, namespace: &str, permission: Permission) -> Result<bool, Error> {
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
    let answer = retry("cannot ask for permissions", || reviews.create(&params, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
