//! What a drill's file says of its cluster.

use super::lock::Attach;
use super::manifests::{namespace, store_namespace};
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
    /// How MLflow's server stands in the cluster.
    #[serde(default)]
    pub mlflow: Mlflow,
    /// Files of things of your own that are added to the platform's namespace, such as the jobs of your runbook. An image
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
    pub nodes: Option<Switches>,
    /// A standing platform to use instead of a throw-away one, and what identifies the one that its owner opted in.
    #[serde(default)]
    pub attach: Option<Attach>,
}

impl Kubernetes {
    /// The namespaces of the platform and of the object store.
    pub fn namespaces(&self, run: &str) -> [String; 2] {
        match &self.attach {
            Some(attach) => [attach.namespace.clone(), attach.store.clone()],
            None => [namespace(run), store_namespace(run)],
        }
    }
}

/// How MLflow's server stands in the cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mlflow {
    /// How many servers there are.
    #[serde(default = "one")]
    pub replicas: u16,
    /// How long its pods stay on a node that is lost; Kubernetes' own 5 minutes, if left out.
    #[serde(default)]
    pub toleration: Option<Span>,
}

impl Default for Mlflow {
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

/// Shell commands that switch the machine whose name stands in `$LIFEBOAT_NODE`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Switches {
    /// Takes its power away, at once.
    pub power_off: String,
    /// Gives it power again.
    pub power_on: String,
    /// Cuts it off the network.
    pub cut_off: String,
    /// Connects it again.
    pub connect: String,
}
