//! What a killed drill leaves in a cluster.

use crate::killed::{Site, Target, kill_at_random};
use crate::services;

#[tokio::test]
async fn whenever_it_is_killed_cleanup_leaves_nothing_in_a_cluster() {
    let (Some(client), Some(kubeconfig)) = (services::cluster().await, services::kubeconfig()) else { return };
    let environment = format!("{{ kubernetes: {{ images: built, kubeconfig: {} }} }}", kubeconfig.display());
    kill_at_random(Site::new(Target::Cluster(client), &environment), 1).await;
}
