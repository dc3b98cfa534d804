//! The helper of the database server's volume: it has no network, and does not keep the disk from being lost; a restore
//! that is killed while it swaps.

use crate::killed::{Site, Target};
use crate::services;
use crate::strike::strike;
use lifeboat::environment::Platform;
use testcontainers::bollard::Docker;

const POSTGRES: &str = "postgres";

/// Is it on the engine?
pub async fn helper(docker: &Docker, run: &str) -> bool {
    services::on_engine(docker, run).await.iter().any(|thing| thing.contains("postgres-helper"))
}

/// The helper holds the disk: it does not keep it from being lost, and makes it anew where it is wanted.
pub async fn lost(platform: &dyn Platform, docker: &Docker, run: &str) {
    let volumes = platform.volumes().unwrap();
    volumes.make_side(POSTGRES).await.unwrap();
    let seen = docker.inspect_container(&format!("{run}-postgres-helper"), None).await.unwrap();
    assert_eq!(seen.host_config.unwrap().network_mode.as_deref(), Some("none"));
    strike(platform, "disk-lost: { component: postgres }").await;
    let state = volumes.volume(POSTGRES).await.unwrap();
    assert!(state.major.is_none() && !state.side && !state.running && state.programs > 9, "{state:?}");
    assert!(helper(docker, run).await);
}

#[tokio::test]
async fn a_restore_that_is_killed_while_it_swaps_is_cleaned_up() {
    let Some(docker) = services::engine().await else { return };
    let site = Site::new(Target::Engine(docker), "{ containers: { images: built } }").physical();
    let left = site.killed_at(|receipt| receipt.0["act"] == "swap").await;
    assert!(left.iter().any(|thing| thing.contains("postgres-helper")), "{left:?}");
}
