//! The log of a job's pods, kept in the run's folder as it is written.
//!
//! It is followed, not fetched at the end: the pods of a failed job may be gone by then. A log is a convenience: what
//! cannot be had is left out, and nothing fails for it.

use super::state;
use crate::client::log::CommandLog;
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::api::LogParams;
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How often a log is asked for, and how long between: a container that has just started may have none yet.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// Follows logs until it is dropped.
pub struct JobLogs {
    api: Api<Pod>,
    log_file: Arc<LogFile>,
    /// The containers that are followed, and the tasks that follow them.
    tasks: Mutex<(BTreeSet<String>, JoinSet<()>)>,
}

/// Where the lines go.
struct LogFile {
    file: Mutex<Option<CommandLog>>,
    last: Mutex<Option<String>>,
}

impl JobLogs {
    /// Appends to a file, which is made with its folder.
    pub fn to(path: &Path, api: Api<Pod>) -> Self {
        let log_file = Arc::new(LogFile { file: Mutex::new(CommandLog::open(path).ok()), last: Mutex::default() });
        Self { api, log_file, tasks: Mutex::default() }
    }

    /// Follows the containers of these pods that it does not follow yet.
    pub fn follow(&self, pods: &[Pod]) {
        let mut tasks = self.tasks.lock();
        let (known, tasks) = &mut *tasks;
        for pod in pods {
            for container in state::containers(pod) {
                let Some((id, previous)) = instance(container) else { continue };
                if known.insert(id) {
                    let (api, log_file, name) = (self.api.clone(), Arc::clone(&self.log_file), pod.name_any());
                    let params = LogParams {
                        container: Some(container.name.clone()),
                        follow: true,
                        previous,
                        ..LogParams::default()
                    };
                    tasks.spawn(async move { copy(&api, &name, &params, &log_file).await });
                }
            }
        }
    }

    /// Waits for the ends of the logs, but not longer than this; answers the last line that says something.
    pub async fn last(&mut self, within: Duration) -> Option<String> {
        let (_, tasks) = self.tasks.get_mut();
        let all = async { while tasks.join_next().await.is_some() {} };
        let _ = timeout(within, all).await; // a container that goes on has no end
        if let Some(file) = self.log_file.file.lock().as_mut() {
            file.settle();
        }
        self.log_file.last.lock().clone()
    }
}

/// The container that has a log now: the container that runs or ended, else the one before it.
fn instance(status: &ContainerStatus) -> Option<(String, bool)> {
    let state = status.state.as_ref()?;
    let ended = |ended: &ContainerStateTerminated| ended.container_id.clone();
    let now = || state.running.as_ref().map(|_| status.container_id.clone()).or(state.terminated.as_ref().map(ended));
    let before = || status.last_state.as_ref()?.terminated.as_ref().map(ended);
    let (id, previous) = now().map(|id| (id, false)).or_else(|| Some((before()?, true)))?;
    id.map(|id| (id, previous))
}

async fn copy(api: &Api<Pod>, pod: &str, params: &LogParams, log_file: &LogFile) {
    let container = params.container.as_deref().unwrap_or_default();
    for _ in 0..TRIES {
        if let Ok(stream) = api.log_stream(pod, params).await {
            return lines(stream, &format!("[{pod}/{container}]"), log_file).await;
        }
        sleep(PAUSE).await;
    }
}

/// Each line with its container before it, as `kubectl logs --prefix` shows it.
async fn lines(stream: impl AsyncBufRead, prefix: &str, log_file: &LogFile) {
    let (mut stream, mut line) = (std::pin::pin!(stream), vec![]);
    while stream.read_until(b'\n', &mut line).await.is_ok_and(|bytes| bytes > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(file) = log_file.file.lock().as_mut() {
            file.take(format!("{prefix} {text}\n").as_bytes());
        }
        if !text.is_empty() {
            *log_file.last.lock() = Some(text);
        }
        line.clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn each_line_is_kept_with_its_container_and_the_last_that_says_something_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/job-x.log");
        let log_file = LogFile { file: Mutex::new(CommandLog::open(&path).ok()), last: Mutex::default() };
        lines(&b"one\nbroken \xff\n\n"[..], "[p/c]", &log_file).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[p/c] one\n[p/c] broken \u{fffd}\n[p/c] \n");
        assert_eq!(log_file.last.lock().as_deref(), Some("broken \u{fffd}"));
    }

    #[test]
    fn what_ended_has_a_log_too_and_what_waits_has_that_of_the_one_before() {
        let status = |state: Value, last: Value| {
            let status = json!({ "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "containerID": "now", "state": state, "lastState": last });
            instance(&serde_json::from_value(status).unwrap())
        };
        let ended = |id: &str| json!({ "terminated": { "exitCode": 1, "containerID": id } });
        let waits = || json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        assert_eq!(status(json!({ "running": {} }), json!({})), Some(("now".into(), false)));
        assert_eq!(status(ended("this"), json!({})), Some(("this".into(), false)));
        assert_eq!(status(waits(), ended("that")), Some(("that".into(), true)));
        assert_eq!(status(waits(), json!({})), None);
    }
}
