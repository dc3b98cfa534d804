//! The pods of a component: which there are, which of them runs, and how many there should be.
//!
//! Not here: whether it serves. A pod that the cluster calls ready may serve nobody.

use super::client::{ask, found, insist};
use super::events::{Warning, warnings};
use crate::client::Error;
use crate::clock::Deadline;
use crate::environment::COMPONENT;
use crate::environment::cluster::running;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// How often something that will happen soon is looked at.
pub const POLL: Duration = Duration::from_millis(200);

/// How a component is that has no pod.
pub const NO_POD: &str = "it has no pod";

/// What keeps a component's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Any number of equal ones.
    Deployment,
    /// Numbered ones, with a disk each.
    StatefulSet,
}

/// A component of the platform, as the cluster knows it.
#[derive(Clone)]
pub struct Component {
    /// Its name: of its workload, its service, its container and in its label.
    pub name: &'static str,
    /// What keeps its pods.
    pub workload: Workload,
    /// How many pods it should have.
    pub replicas: u16,
    /// Its namespace.
    pub namespace: String,
    /// The cluster.
    pub client: Client,
}

impl Component {
    /// Its namespace's pods.
    pub fn api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Its pods as one look finds them.
    pub async fn look(&self) -> Result<Vec<Pod>, Error> {
        let params = ListParams::default().labels(&format!("{COMPONENT}={}", self.name));
        let api = self.api();
        Ok(ask(self.unlisted(), api.list(&params)).await?.items)
    }

    /// Its pods, also those that are about to go; the oldest first.
    pub async fn pods(&self) -> Result<Vec<Pod>, Error> {
        let params = ListParams::default().labels(&format!("{COMPONENT}={}", self.name));
        let api = self.api();
        let mut pods = insist(self.unlisted(), || api.list(&params)).await?.items;
        pods.sort_by_key(|pod| (pod.creation_timestamp(), pod.name_any()));
        Ok(pods)
    }

    /// Its first pod that stays.
    pub async fn pod(&self) -> Result<Option<Pod>, Error> {
        Ok(self.pods().await?.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none()))
    }

    /// What identifies the running instance: the pod and its container. Nothing if none runs.
    pub fn instance(&self, pod: &Pod) -> Option<String> {
        let status = self.status(pod)?;
        status.state.as_ref()?.running.as_ref()?;
        let container = status.container_id.as_ref()?.rsplit('/').next()?;
        Some(format!("{}/{container}/{}", pod.uid()?, status.restart_count))
    }

    /// Does the cluster say that it is ready?
    pub fn ready(&self, pod: &Pod) -> bool {
        running(pod) && pod.metadata.deletion_timestamp.is_none() && self.status(pod).is_some_and(|status| status.ready)
    }

    /// How it is, in a few words, for a error.
    pub fn state(&self, pod: &Pod) -> String {
        let status = self.status(pod);
        let state = status.and_then(|status| status.state.as_ref());
        let waiting = state.and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.clone());
        let ended = state.and_then(|s| s.terminated.as_ref()).map(|t| format!("ended with {}", t.exit_code));
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        format!("pod `{}` is {}", pod.name_any(), waiting.or(ended).unwrap_or(phase))
    }

    /// How its first pod is, in a few words, and what the cluster has to say about it.
    pub async fn described(&self) -> String {
        let state = match self.pod().await {
            Ok(Some(pod)) => self.state(&pod),
            Ok(None) => NO_POD.to_owned(),
            Err(error) => return error.to_string(),
        };
        let warnings = warnings(&self.client, &self.namespace, self.name).await;
        let told = warnings.into_iter().map(|Warning { reason, message }| format!("; {reason}: {message}"));
        state + &told.collect::<String>()
    }

    /// Why no pod of it is made, if the cluster says so.
    pub async fn refused(&self) -> Option<String> {
        let warnings = warnings(&self.client, &self.namespace, self.name).await;
        warnings.into_iter().find(|warning| warning.reason == "FailedCreate").map(|warning| warning.message)
    }

    fn unlisted(&self) -> String {
        format!("cannot list the pods of `{}`", self.name)
    }

    fn status<'a>(&self, pod: &'a Pod) -> Option<&'a ContainerStatus> {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        statuses.iter().find(|status| status.name == self.name)
    }

    /// How many pods its workload should have by now; nothing if the workload is gone.
    pub async fn wanted(&self) -> Result<Option<i32>, Error> {
        let what = format!("cannot read the workload `{}`", self.name);
        let scale = match self.workload {
            Workload::Deployment => ask(what, async { found(self.deployments().get_scale(self.name).await) }).await?,
            Workload::StatefulSet => ask(what, async { found(self.sets().get_scale(self.name).await) }).await?,
        };
        Ok(scale.map(|scale| scale.spec.and_then(|spec| spec.replicas).unwrap_or(0)))
    }

    /// Says how many pods it should have.
    pub async fn scale(&self, replicas: u16) -> Result<(), Error> {
        let what = format!("cannot scale `{}` to {replicas}", self.name);
        let (params, patch) = (PatchParams::default(), Patch::Merge(json!({ "spec": { "replicas": replicas } })));
        insist(what, || async {
            match self.workload {
                Workload::Deployment => self.deployments().patch_scale(self.name, &params, &patch).await,
                Workload::StatefulSet => self.sets().patch_scale(self.name, &params, &patch).await,
            }
        })
        .await
        .map(drop)
    }

    /// Waits until it has no pod left.
    pub async fn gone(&self, within: Duration) -> Result<(), Error> {
        let deadline = Deadline::within(within);
        loop {
            let pods = self.pods().await?;
            let Some(pod) = pods.first() else { return Ok(()) };
            if deadline.passed() {
                let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
                let why = format!("{} on {node} and does not go within {} s", self.state(pod), within.as_secs());
                return Err(Error::new(format!("cannot stop `{}`", self.name), why));
            }
            sleep(POLL).await;
        }
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn sets(&self) -> Api<StatefulSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}
