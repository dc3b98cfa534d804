//! The helper of the database server in a cluster: a pod of the same image with the same claim, on the same node.
//!
//! Apart from the components because no workload keeps it. It goes with the run's namespace at the latest. A claim that
//! only one node may mount is why it is on the server's node, and why it is removed before the server is started.

use super::component::{KubernetesComponent, POLL};
use crate::client::kubernetes::{exec, found, made, pods::running, retry};
use crate::client::{Error, Running, until, until_none};
use crate::environment::helper::{Helper, HelperUser, IDLE, SERVER_USER};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// The helper's name.
const NAME: &str = "postgres-helper";
/// The claim of the server's only pod, as its set names it.
const CLAIM: &str = "data-postgres-0";
/// Where it is mounted, and the data directory on it: as in `deploy/platform/postgres.yaml`.
const MOUNT: &str = "/var/lib/postgresql/data";
const DATA: &str = "/var/lib/postgresql/data/pgdata";
/// How long it may take to go.
const GONE: Duration = Duration::from_mins(1);

/// The helper of a run's database server.
pub struct KubernetesHelper {
    component: KubernetesComponent,
    image: String,
    labels: BTreeMap<String, String>,
    within: Duration,
    /// Held while it is made or removed.
    making: tokio::sync::Mutex<()>,
}

impl KubernetesHelper {
    /// For this component, from this image; it may take so long until it runs. Makes nothing yet.
    pub fn new(
        component: KubernetesComponent,
        image: String,
        labels: BTreeMap<String, String>,
        within: Duration,
    ) -> Self {
        Self { component, image, labels, within, making: tokio::sync::Mutex::default() }
    }

    async fn pod(&self) -> Result<Option<Pod>, Error> {
        let pods = self.component.api();
        retry(format!("cannot look at the pod `{NAME}`"), || async { found(pods.get(NAME).await) }).await
    }

    async fn create(&self) -> Result<(), Error> {
        let what = format!("cannot make the pod `{NAME}`");
        let node = self.component.pod().await?.and_then(|pod| pod.spec?.node_name);
        let pod = pod(&self.image, &self.labels, node.as_deref());
        let pod: Pod = serde_json::from_value(pod).map_err(|e| Error::caused_by(&what, e))?;
        let pods = self.component.api();
        retry(&what, || async { made(pods.create(&PostParams::default(), &pod).await) }).await?;
        let look = || async {
            match self.pod().await {
                Ok(Some(pod)) if running(&pod) => Ok(()),
                Ok(Some(pod)) => Err(self.component.state(&pod)),
                Ok(None) => Err("it is gone".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        let late = until(self.within, POLL, look).await;
        late.map_err(|late| Error::new(what, late).hint(format!("see why: kubectl describe pod {NAME}")))
    }

    async fn delete(&self) -> Result<(), Error> {
        let what = format!("cannot remove the pod `{NAME}`");
        let pods = self.component.api();
        let params = DeleteParams::default();
        retry(&what, || async { found(pods.delete(NAME, &params).await) }).await?;
        let there = || async { Ok::<_, Error>(self.pod().await?.map(|pod| self.component.state(&pod))) };
        until_none(GONE, POLL, there).await?.map_err(|late| Error::new(what, late))
    }
}

#[async_trait]
impl Helper for KubernetesHelper {
    fn component(&self) -> &'static str {
        self.component.name
    }

    fn data(&self) -> &str {
        DATA
    }

    async fn runs(&self) -> Result<bool, Error> {
        let wanted = self.component.wanted().await?.unwrap_or(0);
        Ok(wanted > 0 || !self.component.pods().await?.is_empty())
    }

    async fn make(&self) -> Result<(), Error> {
        let _making = self.making.lock().await;
        match self.pod().await? {
            Some(pod) if running(&pod) && pod.metadata.deletion_timestamp.is_none() => return Ok(()),
            Some(_) => self.delete().await?,
            None => {}
        }
        self.create().await
    }

    async fn exec(&self, user: HelperUser, command: &[&str]) -> Result<Running, Error> {
        // The API starts every command as the container's user, which is root.
        let (uid, gid) = (format!("--reuid={SERVER_USER}"), format!("--regid={SERVER_USER}"));
        let become_server = ["setpriv", &uid, &gid, "--init-groups", "--"];
        let before: &[&str] = if user == HelperUser::Root { &[] } else { &become_server };
        exec::start(&self.component.api(), NAME, self.component.name, &[before, command].concat()).await
    }

    async fn remove(&self) -> Result<(), Error> {
        let _making = self.making.lock().await;
        if self.pod().await?.is_some() { self.delete().await } else { Ok(()) }
    }
}

/// The pod. It has no label by which the server's service or set would take it for theirs.
fn pod(image: &str, labels: &BTreeMap<String, String>, node: Option<&str>) -> serde_json::Value {
    json!({
        "metadata": { "name": NAME, "labels": labels },
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "containers": [{
                "name": "postgres",
                "image": image,
                "command": ["sh", "-c", IDLE],
                "volumeMounts": [{ "name": "data", "mountPath": MOUNT }],
            }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": CLAIM } }],
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::kubernetes::COMPONENT;
    use serde_json::Value;

    #[test]
    fn the_helper_has_the_claim_and_the_directory_of_the_manifests_and_is_nobody_elses() {
        let file = include_str!("../../../deploy/platform/postgres.yaml");
        let objects: Vec<Value> = serde_saphyr::from_multiple(file).unwrap();
        let set = objects.iter().find(|object| object["kind"] == "StatefulSet").unwrap();
        let container = &set["spec"]["template"]["spec"]["containers"][0];
        let claim = set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"].as_str().unwrap();
        assert_eq!(CLAIM, format!("{claim}-{}-0", set["metadata"]["name"].as_str().unwrap()));
        assert_eq!(container["volumeMounts"][0]["mountPath"], MOUNT);
        let variables = container["env"].as_array().unwrap();
        assert!(variables.contains(&json!({ "name": "PGDATA", "value": DATA })), "{variables:?}");

        let labels = BTreeMap::from([("run".to_owned(), "x".to_owned())]);
        let made = serde_json::from_value::<Pod>(pod("image", &labels, Some("node1"))).unwrap();
        assert!(!made.metadata.labels.unwrap().contains_key(COMPONENT));
        assert_eq!(made.spec.unwrap().node_name.as_deref(), Some("node1"));
        let anywhere = serde_json::from_value::<Pod>(pod("image", &labels, None)).unwrap();
        assert_eq!(anywhere.spec.unwrap().node_name, None);
    }
}
