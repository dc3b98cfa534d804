//! A component of the platform as the cluster knows it: its pods, which of them run, and how many there should be.
//!
//! Not here: whether it serves. A pod that the cluster calls ready may serve no client.

use super::events::{Warning, warnings};
use super::settings::Kubernetes;
use crate::client::kubernetes::{WorkloadKind, ask, found, of_component, pods::running, retry};
use crate::client::{Error, until_none};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use std::time::Duration;

/// The pause between two looks at something that will happen soon.
pub const POLL: Duration = Duration::from_millis(200);

/// The state of a component without a pod.
pub const NO_POD: &str = "it has no pod";

/// A component of the platform, as the cluster knows it.
#[derive(Clone)]
pub struct KubernetesComponent {
    /// Its name: of its workload, its service, its container and in its label.
    pub name: &'static str,
    /// What sort of object keeps its pods.
    pub workload: WorkloadKind,
    /// How many pods it should have.
    pub replicas: u16,
    /// Its namespace.
    pub namespace: String,
    /// The cluster.
    pub client: Client,
}

/// The components of a run's platform, in the order of the stack.
pub fn components(client: &Client, run: &str, settings: &Kubernetes) -> [KubernetesComponent; 3] {
    let component = |name, workload, replicas, namespace| KubernetesComponent {
        name,
        workload,
        replicas,
        namespace,
        client: client.clone(),
    };
    let [platform, store] = settings.namespaces(run);
    [
        component("postgres", WorkloadKind::StatefulSet, 1, platform.clone()),
        component("s3", WorkloadKind::StatefulSet, 1, store),
        component("mlflow", WorkloadKind::Deployment, settings.mlflow.replicas, platform),
    ]
}

impl KubernetesComponent {
    /// Its namespace's pods.
    pub fn api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Its pods; asked once.
    pub async fn look(&self) -> Result<Vec<Pod>, Error> {
        let params = ListParams::default().labels(&of_component(self.name));
        let api = self.api();
        Ok(ask(self.unlisted(), api.list(&params)).await?.items)
    }

    /// Its pods, those that are being deleted too; the oldest first.
    pub async fn pods(&self) -> Result<Vec<Pod>, Error> {
        let params = ListParams::default().labels(&of_component(self.name));
        let api = self.api();
        let mut pods = retry(self.unlisted(), || api.list(&params)).await?.items;
        pods.sort_by_key(|pod| (pod.creation_timestamp(), pod.name_any()));
        Ok(pods)
    }

    /// Its first pod that is not being deleted.
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

    /// Does the cluster call the pod ready?
    pub fn ready(&self, pod: &Pod) -> bool {
        running(pod) && pod.metadata.deletion_timestamp.is_none() && self.status(pod).is_some_and(|status| status.ready)
    }

    /// The state of a pod in a few words, for an error.
    pub fn state(&self, pod: &Pod) -> String {
        let status = self.status(pod);
        let state = status.and_then(|status| status.state.as_ref());
        let waiting = state.and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.clone());
        let ended = state.and_then(|s| s.terminated.as_ref()).map(|t| format!("ended with {}", t.exit_code));
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        format!("pod `{}` is {}", pod.name_any(), waiting.or(ended).unwrap_or(phase))
    }

    /// The state of its first pod in a few words, and the cluster's warnings about it.
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

    /// Why the cluster creates no pod of it, if it says so.
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

    /// How many pods its workload should have; `None` if the workload is gone.
    pub async fn wanted(&self) -> Result<Option<i32>, Error> {
        let what = format!("cannot read the workload `{}`", self.name);
        let scale = match self.workload {
            WorkloadKind::Deployment => {
                ask(what, async { found(self.deployments().get_scale(self.name).await) }).await?
            }
            WorkloadKind::StatefulSet => ask(what, async { found(self.sets().get_scale(self.name).await) }).await?,
        };
        Ok(scale.map(|scale| scale.spec.and_then(|spec| spec.replicas).unwrap_or(0)))
    }

    /// Sets how many pods it should have.
    pub async fn scale(&self, replicas: u16) -> Result<(), Error> {
        let what = format!("cannot scale `{}` to {replicas}", self.name);
        let (params, patch) = (PatchParams::default(), Patch::Merge(json!({ "spec": { "replicas": replicas } })));
        retry(what, || async {
            match self.workload {
                WorkloadKind::Deployment => self.deployments().patch_scale(self.name, &params, &patch).await,
                WorkloadKind::StatefulSet => self.sets().patch_scale(self.name, &params, &patch).await,
            }
        })
        .await
        .map(drop)
    }

    /// Waits until it has no pod left.
    pub async fn gone(&self, within: Duration) -> Result<(), Error> {
        let first = || async { Ok::<_, Error>(self.pods().await?.into_iter().next()) };
        until_none(within, POLL, first).await?.map_err(|late| {
            let what = format!("cannot stop `{}`", self.name);
            let seconds = within.as_secs();
            let Some(pod) = late.reason else { return Error::new(what, format!("no answer within {seconds} s")) };
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
            Error::new(what, format!("{} on {node} and has not ended within {seconds} s", self.state(&pod)))
        })
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn sets(&self) -> Api<StatefulSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}
