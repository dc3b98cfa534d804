//! The pods of a namespace: which there are, which of them live, and on which nodes.

use super::call::cannot;
use super::namespace::NamespaceClient;
use crate::client::Error;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;

/// Does a pod run, as far as the cluster knows? Whether it serves is another question.
pub fn running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// The pods of a namespace that a selector meets, sorted by name; all of them for an empty selector.
pub async fn list(namespace: &NamespaceClient, selector: &str) -> Result<Vec<Pod>, Error> {
    let listed = namespace.api::<Pod>().list(&ListParams::default().labels(selector)).await;
    let mut pods = listed.map_err(cannot(format!("cannot list the pods `{selector}`")))?.items;
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}

/// Has it neither ended nor been told to?
pub fn lives(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// The names of the nodes on which these pods live, sorted, each once.
pub fn nodes_of<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Vec<String> {
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let mut nodes: Vec<_> = pods.into_iter().filter(|pod| lives(pod)).filter_map(node).collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// After how many seconds a pod leaves a node that cannot be reached; `None` if it does not say.
pub fn tolerates(pod: &Pod) -> Option<i64> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let lost = |key: &Option<String>| key.as_deref() == Some("node.kubernetes.io/unreachable");
    tolerations.iter().find(|it| lost(&it.key)).and_then(|it| it.toleration_seconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(node: &str, phase: &str, deleted: bool) -> Pod {
        let mut pod = json!({ "metadata": { "name": "x" }, "spec": { "containers": [], "nodeName": node },
            "status": { "phase": phase } });
        if deleted {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_pod_runs_when_the_cluster_says_so() {
        assert!(running(&pod("node1", "Running", false)));
        assert!(!running(&pod("node1", "Pending", false)) && !running(&Pod::default()));
    }

    #[test]
    fn only_the_nodes_of_living_pods_are_named_and_they_are_sorted() {
        let pods = [
            pod("node3", "Running", false),
            pod("node1", "Running", true),
            pod("node2", "Running", false),
            pod("node3", "Pending", false),
            pod("node0", "Failed", false),
        ];
        assert_eq!(nodes_of(&pods), ["node2", "node3"]);
    }
}
