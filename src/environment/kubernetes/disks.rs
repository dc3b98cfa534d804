//! The disks of a component in a cluster: its claims, and how one is taken away for good.
//!
//! A claim is identified by its UID, because its stateful set creates another of the same name. Kubernetes deletes it
//! only when no pod uses it, so the pod is deleted too; the set creates both again when the old claim is gone.

use super::component::{KubernetesComponent, POLL};
use super::platform::KubernetesPlatform;
use crate::client::kubernetes::{found, of_component, retry};
use crate::client::{Error, until_none};
use crate::environment::{Components, Disks, Identity, Platform};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, ResourceExt};
use std::time::Duration;

/// How long a claim may take to go when its pod is gone.
const GONE: Duration = Duration::from_mins(1);

fn claims(component: &KubernetesComponent) -> Api<PersistentVolumeClaim> {
    Api::namespaced(component.client.clone(), &component.namespace)
}

/// The component's claims by name and UID; a set gives them its pods' labels.
async fn held(component: &KubernetesComponent) -> Result<Vec<(String, String)>, Error> {
    let (claims, its) = (claims(component), ListParams::default().labels(&of_component(component.name)));
    let listed = retry(format!("cannot list the claims of `{}`", component.name), || claims.list(&its)).await?;
    Ok(listed.iter().map(|claim| (claim.name_any(), claim.uid().unwrap_or_default())).collect())
}

fn identity((name, uid): &(String, String)) -> String {
    format!("{name}/{uid}")
}

fn this(uid: Option<String>) -> DeleteParams {
    DeleteParams::default().preconditions(Preconditions { uid, resource_version: None })
}

#[async_trait]
impl Disks for KubernetesPlatform {
    async fn disks(&self, component: &str) -> Result<Vec<String>, Error> {
        Ok(held(self.component(component)?).await?.iter().map(identity).collect())
    }

    async fn lose(&self, component: &str, disks: &[String]) -> Result<(), Error> {
        let known = self.component(component)?;
        let meant = || async {
            let held = held(known).await?.into_iter();
            Ok::<_, Error>(held.filter(|claim| disks.contains(&identity(claim))).collect::<Vec<_>>())
        };
        let lost = meant().await?;
        if lost.is_empty() {
            return Ok(());
        }
        if let Some(volumes) = &self.volumes {
            volumes.leave(component).await?; // a claim that a pod uses stays
        }
        if component == "postgres" {
            self.ends(Identity::Server).await?; // the server that follows has another identifier
        }
        // Without this it would go on serving from the deleted disk until its node hears of it. On a node that is lost
        // there is nothing to kill.
        let _ = self.kill(component).await;
        for (name, uid) in lost {
            let (claims, params) = (claims(known), this(Some(uid)));
            let what = format!("cannot delete the claim `{name}`");
            retry(what, || async { gone(claims.delete(&name, &params).await) }).await?;
        }
        for pod in known.pods().await? {
            let (pods, params, name) = (known.api(), this(pod.uid()).grace_period(0), pod.name_any());
            let what = format!("cannot delete the pod `{name}`");
            retry(what, || async { gone(pods.delete(&name, &params).await) }).await?;
        }
        let first = || async { Ok::<_, Error>(meant().await?.into_iter().next()) };
        until_none(GONE, POLL, first).await?.map_err(|late| {
            let name = late.reason.map(|(name, _)| name).unwrap_or_default();
            let why = format!("not gone within {} s", GONE.as_secs());
            let hint = format!("see what holds it: kubectl describe persistentvolumeclaim {name}");
            Error::new(format!("cannot delete the claim `{name}`"), why).hint(hint)
        })
    }
}

/// Is it gone already, or is another of the same name in its place? Then nothing is left to do.
fn gone<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        other => found(other).map(drop),
    }
}
