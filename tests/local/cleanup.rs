//! What a killed drill leaves on this machine.

use crate::killed::{Site, Target, kill_at_random};

#[tokio::test]
async fn whenever_it_is_killed_cleanup_leaves_no_process_and_no_folder() {
    kill_at_random(Site::new(Target::Processes, "{ local: {} }"), 2).await;
}
