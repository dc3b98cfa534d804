//! The container engine: where it is, and calls to it that never hang.
//!
//! Apart because every call needs the same time limit, and the same reading of what the engine refuses.

use crate::client::{Error, ErrorKind};
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use testcontainers::bollard::models::ContainerInspectResponse;
use testcontainers::bollard::{self, Docker};

/// How long an engine may take for one answer.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A container engine.
#[derive(Clone)]
pub struct ContainerEngine {
    /// Its client.
    pub docker: Docker,
    /// Where it is, as `DOCKER_HOST` would say it.
    pub address: String,
}

impl ContainerEngine {
    /// The engine that this process would use.
    pub fn own() -> Result<Self, Error> {
        Self::at(&address())
    }

    /// The engine at an address; it is not asked yet.
    pub fn at(address: &str) -> Result<Self, Error> {
        let docker = Docker::connect_with_host(address);
        let docker = docker.map_err(|e| Error::caused_by(no_answer(address), e).hint(HINT))?;
        Ok(Self { docker, address: address.to_owned() })
    }

    /// What the engine knows of a container; nothing if it is gone.
    pub async fn inspect(&self, container: &str) -> Result<Option<ContainerInspectResponse>, Error> {
        let what = format!("cannot look at the container `{container}`");
        let look = async {
            match self.docker.inspect_container(container, None).await {
                Err(error) if status(&error) == Some(404) => Ok(None),
                answer => answer.map(Some),
            }
        };
        ask(what, look).await
    }
}

/// What to do when no engine answers.
pub const HINT: &str = "start Docker, or say in DOCKER_HOST where it is";

/// What is wrong when no engine answers.
pub fn no_answer(address: &str) -> String {
    format!("no container engine answers at `{address}`")
}

/// Where the engine is: `DOCKER_HOST`, else the first socket in its usual places.
pub fn address() -> String {
    if let Some(host) = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()) {
        return host;
    }
    // The places and their order are those of the crate that starts the containers: both must mean the same engine.
    let below = |variable: &str, path: &str| std::env::var_os(variable).map(|folder| PathBuf::from(folder).join(path));
    let usual = PathBuf::from("/var/run/docker.sock");
    let others = [
        below("XDG_RUNTIME_DIR", ".docker/run/docker.sock"),
        below("HOME", ".docker/run/docker.sock"),
        below("HOME", ".docker/desktop/docker.sock"),
    ];
    let found = [Some(usual.clone())].into_iter().chain(others).flatten().find(|path| path.exists());
    format!("unix://{}", found.unwrap_or(usual).display())
}

/// Asks the engine, but not for ever.
pub async fn ask<T>(
    what: impl Into<String>,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(refusal(what, error)),
        Err(_) => Err(Error::new(what, format!("the engine gave no answer within {} s", LIMIT.as_secs()))
            .kind(ErrorKind::TimedOut)),
    }
}

/// As [`ask`], where some refusals mean that there is nothing left to do.
pub async fn settle<T>(
    what: impl Into<String>,
    fine: &[u16],
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<(), Error> {
    let call = async {
        match call.await {
            Err(error) if status(&error).is_some_and(|status| fine.contains(&status)) => Ok(()),
            answer => answer.map(|_| ()),
        }
    };
    ask(what, call).await
}

/// The status with which the engine refused; nothing if it did not answer at all.
pub fn status(error: &bollard::errors::Error) -> Option<u16> {
    if let bollard::errors::Error::DockerResponseServerError { status_code, .. } = error {
        Some(*status_code)
    } else {
        None
    }
}

fn refusal(what: impl Into<String>, error: bollard::errors::Error) -> Error {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => {
            let kind = if names_a_port(&message) { ErrorKind::AddressInUse } else { ErrorKind::Other };
            Error::new(what, message).kind(kind)
        }
        error => Error::caused_by(what, error),
    }
}

/// Does the engine's message say that another has the port? The API has no code for it.
fn names_a_port(message: &str) -> bool {
    // A container's name can be in use as well: then it is somebody else's container.
    ["port is already allocated", "address already in use", "ports are not available"]
        .iter()
        .any(|text| message.contains(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_says_nothing_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let _frozen = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let engine = ContainerEngine::at(&format!("unix://{}", socket.display())).unwrap();
        let error = ask("cannot ask", engine.docker.version()).await.unwrap_err();
        assert_eq!(error.why, "the engine gave no answer within 30 s");
        drop(engine);
        let error = ContainerEngine::at("unix:///nowhere/docker.sock").err().unwrap();
        assert!(error.hint.unwrap().contains("DOCKER_HOST"));
    }

    #[test]
    fn a_port_that_another_has_is_told_from_a_name_that_another_has() {
        for message in [
            "driver failed programming external connectivity: Bind for 127.0.0.1:1 failed: port is already allocated",
            "failed to bind host port for 127.0.0.1:1: address already in use",
        ] {
            assert!(names_a_port(message), "{message}");
        }
        assert!(!names_a_port("Conflict. The container name \"/a\" is already in use by container \"b\""));
    }
}
