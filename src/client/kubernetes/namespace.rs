//! A namespace of a cluster, with the way to it and the labels of whatever is made in it.
//!
//! Apart because faults, steps and engines are given this and no more; only the environment knows which cluster it is.

use super::call::retry;
use crate::client::Error;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Client, Resource, ResourceExt};
use std::collections::BTreeMap;

/// The label with the name of the run that something was made for.
pub const RUN: &str = "lifeboat.dev/run";
/// The label that says to which component a workload and its pods belong.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// The platform's namespace, and the client that reaches it.
#[derive(Clone)]
pub struct NamespaceClient {
    /// The client of the cluster.
    pub client: Client,
    /// The namespace's name.
    pub name: String,
    /// The labels of whatever is made in it for the run.
    pub labels: BTreeMap<String, String>,
}

impl NamespaceClient {
    /// The API of a kind inside the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The API of a kind inside the namespace that is known only at run time.
    pub fn dynamic(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, resource)
    }

    /// The API of a kind that belongs to no namespace.
    pub fn everywhere<K>(&self) -> Api<K>
    where
        K: Resource<Scope = ClusterResourceScope>,
        K::DynamicType: Default,
    {
        Api::all(self.client.clone())
    }
}

/// The selector of a component's pods, workload and claims.
pub fn of_component(component: &str) -> String {
    format!("{COMPONENT}={component}")
}

/// What identifies a cluster: the UID of its namespace `kube-system`.
pub async fn cluster_uid(client: &Client) -> Result<String, Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = retry("cannot read which cluster this is", || namespaces.get("kube-system")).await?;
    Ok(system.uid().unwrap_or_default())
}
