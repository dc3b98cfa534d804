//! The fault that deletes the platform's whole namespace: the wrong context, the wrong script.
//!
//! It has taken effect when the namespace is gone, or being deleted with all its pods: from then on nothing comes back
//! by itself. The end of the last container is not waited for; its service is gone before it.

use super::{CONFIRM, Fault, Nature, recall, unchanged};
use crate::client::Error;
use crate::client::kubernetes::{cannot, pods};
use crate::environment::{Asset, AssetUnder, Identity, Inventory, Permission, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `namespace-removed: {}`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "namespace-removed",
    about: "Deletes the platform's namespace with all that is in it, disks included.",
    example: "namespace-removed: {}",
    schema: |g| g.subschema_for::<NamespaceRemoved>(),
    parse: |n, p| read::<NamespaceRemoved>(n, p).map(|k| Box::new(k) as _),
};

/// Deletes the platform's namespace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamespaceRemoved {}

/// Which namespace: one of the same name that was made since is another.
#[derive(Debug, Serialize, Deserialize)]
struct RemovedNamespace {
    namespace: String,
    uid: String,
}

#[async_trait]
impl Fault for NamespaceRemoved {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        vec![Asset::Resources.into(), Asset::Database.into()] // the database's disk is in it
    }
    fn permissions(&self) -> Vec<Permission> {
        vec![
            Permission::everywhere("get", "", "namespaces"),
            Permission::everywhere("delete", "", "namespaces"),
            Permission::within("list", "", "pods"),
        ]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let known = inventory.kind("namespace").map(|namespace| format!("the namespace {}", namespace.name)).next();
        let all = || format!("the namespace of {}", inventory.components.join(", "));
        vec![known.unwrap_or_else(all)]
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let cluster = platform.cluster()?.namespace();
        let namespace = cluster.name.clone();
        let what = format!("cannot delete the namespace `{namespace}`");
        let there = cluster.everywhere::<Namespace>().get(&namespace).await.map_err(cannot(&what))?;
        if there.metadata.deletion_timestamp.is_some() {
            return Err(Error::new(what, "it is being deleted already"));
        }
        Ok(Receipt(serde_json::json!(RemovedNamespace { namespace, uid: there.uid().unwrap_or_default() })))
    }
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        unchanged("the namespace", bound, now)
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let RemovedNamespace { namespace, uid } = recall(receipt)?;
        let this = Preconditions { uid: Some(uid), resource_version: None };
        let how = DeleteParams::background().preconditions(this);
        platform.ends(Identity::Namespace).await?;
        let deleted = platform.cluster()?.namespace().everywhere::<Namespace>().delete(&namespace, &how).await;
        deleted.map(drop).map_err(cannot(format!("cannot delete the namespace `{namespace}`")))
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        match gone(platform, receipt).await {
            Ok(finding) => finding,
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
    fn confirmed_within(&self) -> Duration {
        CONFIRM * 3 // its controller deletes the pods at its own pace
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

async fn gone(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let cluster = platform.cluster()?.namespace();
    let RemovedNamespace { namespace, uid } = recall(receipt)?;
    let there = cluster.everywhere::<Namespace>().get_opt(&namespace).await;
    let there = there.map_err(cannot(format!("cannot read the namespace `{namespace}`")))?;
    let Some(there) = there.filter(|it| it.uid().as_ref() == Some(&uid)) else { return Ok(Finding::met()) };
    if there.metadata.deletion_timestamp.is_none() {
        return Ok(Finding::missed(format!("the namespace `{namespace}` is still there")));
    }
    let pods = pods::list(cluster, "").await?;
    let living: Vec<_> = pods.iter().filter(|pod| pods::lives(pod)).map(ResourceExt::name_any).collect();
    Ok(if living.is_empty() { Finding::met() } else { Finding::missed(format!("still there: {}", living.join(", "))) })
}
