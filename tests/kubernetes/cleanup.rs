//! What a killed drill leaves in a cluster.

use crate::killed::{Site, Target, kill_at_random};
use crate::services;

async fn site() -> Option<Site> {
    let (client, kubeconfig) = (services::cluster().await?, services::kubeconfig()?);
    let environment = format!("{{ kubernetes: {{ images: built, kubeconfig: {} }} }}", kubeconfig.display());
    Some(Site::new(Target::Cluster(client), &environment))
}

#[tokio::test]
async fn whenever_it_is_killed_cleanup_leaves_nothing_in_a_cluster() {
    let Some(site) = site().await else { return };
    kill_at_random(site, 1).await;
}

#[tokio::test]
async fn a_restore_that_is_killed_while_it_swaps_is_cleaned_up() {
    let Some(site) = site().await else { return };
    let left = site.physical().killed_at(|receipt| receipt.0["act"] == "swap").await;
    assert!(!left.is_empty());
}
