//! Reads the log of a container, as far as the engine gives it within the time limit.
//!
//! Apart because a log is wanted when something has failed: what cannot be had of it is no further error.

use super::engine::{ContainerEngine, LIMIT};
use futures::StreamExt;
use std::io::Write;
use testcontainers::bollard::query_parameters::LogsOptionsBuilder;
use tokio::time::timeout;

/// Writes a container's log.
pub async fn write(engine: &ContainerEngine, container: &str, to: &mut impl Write) {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
    let mut lines = std::pin::pin!(engine.docker.logs(container, Some(options)));
    let copy = async {
        while let Some(Ok(line)) = lines.next().await {
            if to.write_all(line.as_ref()).is_err() {
                return;
            }
        }
    };
    let _ = timeout(LIMIT, copy).await;
}

/// The last lines of a container's log, for an error message.
pub async fn tail(engine: &ContainerEngine, container: &str) -> String {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail("12").build();
    let lines = engine.docker.logs(container, Some(options)).collect::<Vec<_>>();
    let Ok(lines) = timeout(LIMIT, lines).await else { return "the engine does not give it".into() };
    let text: String = lines.into_iter().flatten().map(|line| line.to_string()).collect();
    text.trim().to_owned()
}
