//! What a drill's file says of its cluster.

use super::names::{namespace, store_namespace};
use crate::client::{Error, kubernetes};
use crate::environment::images::Images;
use crate::model::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// A platform in a Kubernetes cluster: a throw-away one, or a standing one that its owner opted in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// The context of the kubeconfig; its current one, if left out.
    #[serde(default)]
    pub context: Option<String>,
    /// The kubeconfig; by default KUBECONFIG, else `~/.kube/config`.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// Which images the platform is made of.
    #[serde(default)]
    pub images: Images,
    /// The storage class of the platform's disks; the cluster's default, if left out.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// How long each part of the platform may take until it serves, a disk and an image of a gigabyte included.
    #[serde(default = "minutes")]
    pub ready_within: Span,
    /// How MLflow's server is deployed.
    #[serde(default)]
    pub mlflow: MlflowSettings,
    /// Files of your own objects that are added to the platform's namespace, such as the jobs of your runbook. An image
    /// that is called `postgres` or `mlflow` and nothing else is that component's.
    #[serde(default)]
    pub extra: Vec<PathBuf>,
    /// The way to the platform: the services' own addresses, or ports forwarded through the cluster's API.
    #[serde(default)]
    pub access: AccessMode,
    /// Leave the platform up when the drill is over, and say where it is; `lifeboat cleanup RUN` removes it.
    #[serde(default)]
    pub keep: bool,
    /// How the cluster's machines are switched, where that is possible.
    #[serde(default)]
    pub nodes: Option<NodeSwitches>,
    /// A standing platform to use instead of a throw-away one, and what identifies the one that its owner opted in.
    #[serde(default)]
    pub attach: Option<Attach>,
}

impl Kubernetes {
    /// A client of the cluster that is meant.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        kubernetes::connect(self.kubeconfig.as_deref(), self.context.as_deref()).await
    }

    /// The namespaces of the platform and of the object store.
    pub fn namespaces(&self, run: &str) -> [String; 2] {
        match &self.attach {
            Some(attach) => [attach.namespace.clone(), attach.store.clone()],
            None => [namespace(run), store_namespace(run)],
        }
    }
}

/// A standing platform, installed as `deploy/platform` does it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The platform's namespace.
    pub namespace: String,
    /// The object store's namespace.
    pub store: String,
    /// The drill token: its owner has opted it in under this name, in both namespaces (the label
    /// `lifeboat.dev/drill-token`), in the database (its comment has `lifeboat.dev/drill-token=TOKEN`) and in the bucket
    /// (a tag of that key).
    pub token: String,
    /// What makes it this platform and no other; `lifeboat plan` says what it finds.
    pub fingerprints: Fingerprints,
    /// Fingerprints of what is never touched, such as production's.
    #[serde(default)]
    pub deny: Vec<String>,
}

/// What cannot be copied with a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fingerprints {
    /// The UID of the cluster's namespace `kube-system`.
    pub cluster: String,
    /// The UID of the platform's namespace.
    pub namespace: String,
    /// The UID of the object store's namespace.
    pub store: String,
    /// The database server's system identifier.
    pub postgres: String,
    /// The server's identifier, a slash and the oid of the platform's database.
    pub database: String,
    /// The object store's endpoint inside the cluster, a slash and the bucket.
    pub bucket: String,
}

/// How MLflow's server is deployed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Mlflow")]
pub struct MlflowSettings {
    /// How many servers there are.
    #[serde(default = "one")]
    pub replicas: u16,
    /// How long its pods stay on a lost node; Kubernetes' own 5 minutes, if left out.
    #[serde(default)]
    pub toleration: Option<Span>,
}

impl Default for MlflowSettings {
    fn default() -> Self {
        Self { replicas: one(), toleration: None }
    }
}

fn minutes() -> Span {
    Span::seconds(300)
}

fn one() -> u16 {
    1
}

/// The way to the platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessMode {
    /// The services' own addresses where they can be reached from here, else forwarded ports.
    #[default]
    Auto,
    /// The services' own addresses.
    Service,
    /// Ports forwarded through the cluster's API.
    Forward,
}

/// Shell commands that switch the machine of the node named in `$LIFEBOAT_NODE`. What they leave running in a session of
/// its own, such as the machine, stays.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Switches")]
pub struct NodeSwitches {
    /// Takes its power away, at once.
    pub power_off: String,
    /// Gives it power again.
    pub power_on: String,
    /// Cuts it off the network.
    pub cut_off: String,
    /// Connects it again.
    pub connect: String,
}
