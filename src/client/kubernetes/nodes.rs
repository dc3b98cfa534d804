//! The nodes of a cluster: is one ready, can it be reached, and cordoning it.

use super::call::{cannot, why};
use super::namespace::{NamespaceClient, RUN};
use crate::client::Error;
use crate::model::Finding;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::Request;
use serde_json::json;
use std::time::Duration;

/// What does not answer within this time is not reached.
const REACH: Duration = Duration::from_secs(1);

/// The label of a node that a run cordoned, with the run's name: a run uncordons only what it cordoned.
pub const CORDONED: &str = "lifeboat.dev/cordoned-by";

/// Cordons a node and labels it with the run; a node that is cordoned already keeps its owner.
pub async fn cordon(namespace: &NamespaceClient, name: &str) -> Result<(), Error> {
    let what = format!("cannot cordon the node `{name}`");
    let nodes = namespace.everywhere::<Node>();
    let node = nodes.get(name).await.map_err(cannot(&what))?;
    if node.spec.is_some_and(|spec| spec.unschedulable == Some(true)) {
        return Ok(());
    }
    let mark =
        json!({ "metadata": { "labels": { CORDONED: namespace.labels.get(RUN) } }, "spec": { "unschedulable": true } });
    nodes.patch(name, &PatchParams::default(), &Patch::Merge(mark)).await.map(drop).map_err(cannot(what))
}

/// Uncordons a node and removes the label.
pub async fn uncordon(client: &Client, name: &str) -> Result<(), Error> {
    let open = json!({ "metadata": { "labels": { CORDONED: null } }, "spec": { "unschedulable": null } });
    let opened = Api::<Node>::all(client.clone()).patch(name, &PatchParams::default(), &Patch::Merge(open)).await;
    opened.map(drop).map_err(cannot(format!("cannot uncordon the node `{name}`")))
}

/// Does the cluster call the node ready? It goes on saying so for a grace period after the node's death.
pub fn ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default().iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

/// Met if the API reaches the node's agent at this moment; missed if it does not, with the reason. The node's own
/// condition would say so only after a grace period.
pub async fn reaches(client: &Client, node: &str) -> Finding {
    let request = match Request::new("/api/v1/nodes").get_subresource("proxy/healthz", node) {
        Ok(request) => request,
        Err(error) => return Finding::unknown(error.to_string()),
    };
    let answer = tokio::time::timeout(REACH, client.request_text(request)).await;
    match answer {
        Ok(Ok(_)) => Finding::met(),
        // The API's own refusals say nothing of the node; a failed way from the API to the node does.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 500 | 502..=504) => Finding::missed(status.message),
        Ok(Err(error)) => Finding::unknown(why(&error)),
        Err(_) => match tokio::time::timeout(REACH, client.apiserver_version()).await {
            Ok(Ok(_)) => Finding::missed(format!("`{node}` does not answer within {REACH:?}")),
            _ => Finding::unknown("the cluster's API does not answer"),
        },
    }
}
