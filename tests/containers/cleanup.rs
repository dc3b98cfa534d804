//! What a killed drill leaves on a container engine.

use crate::killed::{Site, Target, kill_at_random};
use crate::services;

#[tokio::test]
async fn whenever_it_is_killed_cleanup_leaves_nothing_on_a_container_engine() {
    let Some(docker) = services::engine().await else { return };
    kill_at_random(Site::new(Target::Engine(docker), "{ containers: { images: built } }"), 1).await;
}
