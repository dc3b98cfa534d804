//! The disks of a component in a cluster: its claims, and how one is taken away for good.
//!
//! A claim is told by its UID, because its set makes another of the same name. It goes only when no pod uses it, hence
//! the pod goes with it; the set then makes both anew, and waits with that until the old claim is gone.

use super::client::{found, insist};
use super::platform::KubernetesPlatform;
use super::pods::{Component, POLL};
use crate::client::Error;
use crate::clock::Deadline;
use crate::environment::{COMPONENT, Components, Disks};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, ResourceExt};
use std::time::Duration;
use tokio::time::sleep;

/// How long a claim may take to go when its pod is gone.
const GONE: Duration = Duration::from_mins(1);

fn claims(component: &Component) -> Api<PersistentVolumeClaim> {
    Api::namespaced(component.client.clone(), &component.namespace)
}

/// The component's claims by name and UID; a set gives them its pods' labels.
async fn held(component: &Component) -> Result<Vec<(String, String)>, Error> {
    let (claims, its) = (claims(component), ListParams::default().labels(&format!("{COMPONENT}={}", component.name)));
    let listed = insist(format!("cannot list the claims of `{}`", component.name), || claims.list(&its)).await?;
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
        let meant = async || {
            let held = held(known).await?.into_iter();
            Ok::<_, Error>(held.filter(|claim| disks.contains(&identity(claim))).collect::<Vec<_>>())
        };
        let lost = meant().await?;
        if lost.is_empty() {
            return Ok(());
        }
        self.taking_disk(component).await?;
        // Or it would go on serving from a disk that the cluster has taken away, until its node hears of it. On a node that
        // is gone nobody is there to be killed, or to be asked.
        let _ = self.kill(component).await;
        for (name, uid) in lost {
            let (claims, params) = (claims(known), this(Some(uid)));
            let what = format!("cannot delete the claim `{name}`");
            insist(what, || async { gone(claims.delete(&name, &params).await) }).await?;
        }
        for pod in known.pods().await? {
            let (pods, params, name) = (known.api(), this(pod.uid()).grace_period(0), pod.name_any());
            let what = format!("cannot delete the pod `{name}`");
            insist(what, || async { gone(pods.delete(&name, &params).await) }).await?;
        }
        let deadline = Deadline::within(GONE);
        while let Some((name, _)) = meant().await?.first() {
            if deadline.passed() {
                let why = format!("not gone within {} s", GONE.as_secs());
                let hint = format!("see what holds it: kubectl describe persistentvolumeclaim {name}");
                return Err(Error::new(format!("cannot delete the claim `{name}`"), why).hint(hint));
            }
            sleep(POLL).await;
        }
        Ok(())
    }
}

/// Gone already, or another of the same name in its place: nothing is left to do.
fn gone<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        other => found(other).map(drop),
    }
}
