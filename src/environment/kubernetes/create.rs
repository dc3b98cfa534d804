//! Creates the objects of a platform in a cluster, and waits for their first pods.
//!
//! Apart from the platform because it knows objects and components only.

use super::component::{KubernetesComponent, NO_POD, POLL};
use crate::client::kubernetes::{made, retry};
use crate::client::{Error, until_none};
use kube::api::PostParams;
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::ApiResource;
use kube::{Api, Client};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// After so many looks at a workload without a pod, and then from time to time, it is asked whether the cluster refuses
/// to create one. That is 5 s, then 2 s.
const REFUSED: (u32, u32) = (50, 20);

/// Creates objects in their order.
pub async fn create(client: &Client, objects: &[DynamicObject]) -> Result<(), Error> {
    for object in objects {
        let types = object.types.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(types);
        let resource = kind.map(|kind| ApiResource::from_gvk(&kind));
        let resource = resource.map_err(|e| Error::caused_by("a manifest of the platform", e))?;
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let what = format!("cannot create the {} `{name}`", resource.kind.to_lowercase());
        retry(what, || async { made(api.create(&PostParams::default(), object).await) }).await?;
    }
    Ok(())
}

/// Waits until the cluster calls a component's first pod ready. What will never come is reported early: an image that is
/// not there, a pod that the cluster refuses to create.
pub async fn ready(component: &KubernetesComponent, within: Duration) -> Result<(), Error> {
    let what = format!("cannot start `{}`", component.name);
    let (first, then) = REFUSED;
    let looks = AtomicU32::new(0);
    let look = || async {
        let pod = component.pod().await?;
        if pod.as_ref().is_some_and(|pod| component.ready(pod)) {
            return Ok(None);
        }
        let state = pod.as_ref().map_or_else(|| NO_POD.to_owned(), |pod| component.state(pod));
        if ["ImagePull", "InvalidImage"].iter().any(|sign| state.contains(sign)) {
            return Err(Error::new(&what, state).hint("name images that the nodes can have, in `images`"));
        }
        let looks = looks.fetch_add(1, Ordering::Relaxed);
        if pod.is_none()
            && looks >= first
            && (looks - first).is_multiple_of(then)
            && let Some(why) = component.refused().await
        {
            return Err(Error::new(&what, why));
        }
        Ok(Some(()))
    };
    if until_none(within, POLL / 2, look).await?.is_ok() {
        return Ok(());
    }
    let why = format!("not ready within {} s: {}", within.as_secs(), component.described().await);
    Err(Error::new(what, why))
}
