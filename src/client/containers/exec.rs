//! Runs a command inside a container, as a [`Running`] like any other.
//!
//! Apart because the engine's one connection has to be taken apart into three streams.

use super::engine::{ContainerEngine, ask};
use crate::client::process::POLL;
use crate::client::{Ended, Error, Running};
use futures::{Stream, StreamExt};
use std::pin::Pin;
use testcontainers::bollard::exec::{StartExecOptions, StartExecResults};
use testcontainers::bollard::models::ExecConfig;
use testcontainers::bollard::{self, container::LogOutput};
use tokio::io::{AsyncWriteExt, DuplexStream, copy, duplex};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What may be on its way in each direction.
const BUFFER: usize = 256 << 10;
/// What is kept of standard error.
const SAID: usize = 1 << 20;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Starts a command in a container, as root, with these variables.
pub async fn exec(
    engine: &ContainerEngine,
    container: &str,
    command: &[&str],
    variables: &[(&str, &str)],
) -> Result<Running, Error> {
    exec_as(engine, container, "0", command, variables).await
}

/// As [`exec`], as another user of the container.
pub async fn exec_as(
    engine: &ContainerEngine,
    container: &str,
    user: &str,
    command: &[&str],
    variables: &[(&str, &str)],
) -> Result<Running, Error> {
    let what = format!("cannot run `{}` in `{container}`", command.first().unwrap_or(&""));
    let config = ExecConfig {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        env: Some(variables.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: Some(user.into()),
        ..ExecConfig::default()
    };
    let id = ask(&what, engine.docker.create_exec(container, config)).await?.id;
    let options = StartExecOptions { detach: false, tty: false, output_capacity: Some(BUFFER) };
    let started = ask(&what, engine.docker.start_exec(&id, Some(options))).await?;
    let StartExecResults::Attached { output, input } = started else {
        return Err(Error::new(what, "the engine gave no streams"));
    };
    let (near_input, far_input) = duplex(BUFFER);
    let (near_output, far_output) = duplex(BUFFER);
    // The set lives in `ended`: dropped before the end, the streams are dropped too.
    let mut tasks = JoinSet::new();
    tasks.spawn(feed(far_input, input));
    tasks.spawn(drain(output, far_output));
    let engine = engine.clone();
    let ended = async move {
        let mut said = vec![];
        while let Some(part) = tasks.join_next().await {
            let part = part.map_err(|e| Error::caused_by(&what, e))?;
            if let Some(drained) = part {
                said = drained.map_err(|e| Error::caused_by(&what, e))?;
                break; // who still feeds it feeds nobody
            }
        }
        let code = code(&engine, &id, &what).await?;
        Ok(Ended { code, said: String::from_utf8_lossy(&said).into_owned() })
    };
    Ok(Running { input: Box::pin(near_input), output: Box::pin(near_output), ended: Box::pin(ended) })
}

type Drained = Option<Result<Vec<u8>, bollard::errors::Error>>;

/// Passes on what goes in; the end of it closes the command's standard input.
async fn feed(mut from: DuplexStream, mut to: Pin<Box<dyn tokio::io::AsyncWrite + Send>>) -> Drained {
    let _ = copy(&mut from, &mut to).await; // a command need not read all it is given
    let _ = to.shutdown().await;
    drop(from);
    // Not dropped before the command's end: the engine would take that for the end of the whole connection.
    std::future::pending::<()>().await;
    None
}

/// Takes what comes out to its end: standard output goes on, standard error is kept.
async fn drain(mut output: Output, mut to: DuplexStream) -> Drained {
    let (mut said, mut wanted) = (vec![], true);
    while let Some(frame) = output.next().await {
        match frame {
            Ok(LogOutput::StdErr { message }) => {
                said.extend_from_slice(&message);
                let surplus = said.len().saturating_sub(SAID);
                said.drain(..surplus);
            }
            Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) if wanted => {
                wanted = to.write_all(&message).await.is_ok();
            }
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(said))
}

/// The exit code; the engine may know it a moment after the last output.
async fn code(engine: &ContainerEngine, id: &str, what: &str) -> Result<Option<i64>, Error> {
    for _ in 0..100 {
        let state = ask(what, engine.docker.inspect_exec(id)).await?;
        if state.running != Some(true) {
            return Ok(state.exit_code);
        }
        sleep(POLL).await;
    }
    Ok(None)
}
