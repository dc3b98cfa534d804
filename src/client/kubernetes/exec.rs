//! Commands inside a container, through the cluster's API.
//!
//! Kube's own streams lack two things, which are added: dropping the input closes it (the other side gets its end
//! of file by version 5 of the protocol), and writing to a program that has ended fails instead of waiting for ever.

use super::call::ask;
use crate::client::{Ended, Error, Running};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::oneshot;

/// What may be under way in each direction; the crate's own buffers hold a kilobyte.
const BUFFER: usize = 256 * 1024;

/// Starts a command in a container of a pod. It is tried once only: a second try might run it twice.
pub async fn start(pods: &Api<Pod>, pod: &str, container: &str, command: &[&str]) -> Result<Running, Error> {
    let program = command.first().copied().unwrap_or_default();
    let what = format!("cannot run `{program}` in pod `{pod}`");
    let params = AttachParams {
        container: Some(container.to_owned()),
        stdin: true,
        max_stdin_buf_size: Some(BUFFER),
        max_stdout_buf_size: Some(BUFFER),
        max_stderr_buf_size: Some(BUFFER),
        ..AttachParams::default()
    };
    let attached = ask(&what, pods.exec(pod, command.iter().copied(), &params)).await?;
    running(what.clone(), attached).ok_or_else(|| Error::new(what, "the cluster gave it no streams"))
}

fn running(what: String, mut attached: AttachedProcess) -> Option<Running> {
    let (stdin, stdout, stderr) = (attached.stdin()?, attached.stdout()?, attached.stderr()?);
    let status = attached.take_status()?;
    let (input, inside) = tokio::io::duplex(BUFFER);
    let (over, end) = oneshot::channel();
    tokio::spawn(pump(inside, stdin, end));
    let ended = async move {
        let _over: oneshot::Sender<()> = over; // dropped with this future, which ends the pump
        let mut said = vec![];
        let mut stderr = stderr;
        let read = stderr.read_to_end(&mut said);
        let (read, status) = tokio::join!(read, status);
        read.map_err(|e| Error::caused_by(&what, e))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        // Without a status the connection was cut: how it ended is not known.
        let code = status.and_then(|status| code(&status));
        drop(attached); // not earlier: dropping it cuts the connection
        Ok(Ended { code, said })
    };
    Some(Running { input: Box::pin(input), output: Box::pin(stdout), ended: Box::pin(ended) })
}

/// Carries the input over until it is closed or the program has ended.
async fn pump(mut from: DuplexStream, mut to: impl AsyncWriteExt + Unpin, end: oneshot::Receiver<()>) {
    let carry = async {
        let _ = tokio::io::copy(&mut from, &mut to).await; // a program that takes no more says so by its end
        let _ = to.shutdown().await; // which the crate does not do by itself when this is dropped
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = carry => {}
        _ = end => {}
    }
}

/// The exit code in a status; `None` if the command could not be run, or if it is not known.
fn code(status: &Status) -> Option<i64> {
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let exit = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    exit.message.as_ref()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_read_from_the_status() {
        let read = |text| code(&serde_json::from_str(text).unwrap());
        assert_eq!(read(r#"{"status":"Success"}"#), Some(0));
        let failed = r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":
            [{"reason":"ExitCode","message":"137"}]}}"#;
        assert_eq!(read(failed), Some(137));
        assert_eq!(read(r#"{"status":"Failure","reason":"InternalError"}"#), None);
    }
}
