//! What the container engine has for a platform, and what it lacks; asks and never makes anything.

use crate::client::containers::{ContainerEngine, HINT, ask, no_answer};
use crate::client::{Error, ErrorKind};
use crate::environment::Survey;
use crate::environment::images::Images;
use crate::environment::stack::COMPONENTS;
use rustix::fs::statvfs;
use std::fmt::Write;

/// What must be free where the engine keeps its volumes.
const SPACE: u64 = 1 << 30;

/// Asks the engine.
pub async fn survey(images: &Images) -> Survey {
    let mut survey = Survey::default();
    match ContainerEngine::own() {
        Ok(engine) => {
            if let Err(error) = look(&engine, images, &mut survey).await {
                survey.problems.push(error.to_string());
            }
        }
        Err(error) => survey.problems.push(error.to_string()),
    }
    survey
}

async fn look(engine: &ContainerEngine, images: &Images, survey: &mut Survey) -> Result<(), Error> {
    let address = &engine.address;
    let version = ask(no_answer(address), engine.docker.version()).await.map_err(|error| advise(error, address))?;
    let mut text = version.version.unwrap_or_default();
    if let Some(api) = version.api_version {
        let _ = write!(text, ", API {api}");
    }
    survey.facts.insert("engine".into(), format!("{text}, at {address}"));
    if !here(address) {
        let why = "the platform's ports are open to the engine's machine only";
        survey.problems.push(format!("the container engine `{address}` is on another machine: {why}; set DOCKER_HOST"));
    }
    for component in COMPONENTS {
        let image = images.of(component);
        match present(engine, &image).await {
            Ok(true) => {
                survey.facts.insert(format!("image of {component}"), image);
            }
            Ok(false) => survey.problems.push(missing(component, &image)),
            Err(error) => survey.problems.push(error.to_string()),
        }
    }
    let info = ask("cannot ask the container engine", engine.docker.info()).await?;
    let root = info.docker_root_dir.unwrap_or_default();
    // Some engines keep their files inside of a virtual machine; then there is nothing to see here.
    if let Ok(disk) = statvfs(root.as_str()) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        survey.facts.insert("free".into(), format!("{} MB in {root}", free >> 20));
        if free < SPACE {
            survey
                .problems
                .push(format!("less than 1 GB free in `{root}`, where the container engine keeps its volumes"));
        }
    }
    Ok(())
}

async fn present(engine: &ContainerEngine, image: &str) -> Result<bool, Error> {
    let look = async {
        match engine.docker.inspect_image(image).await {
            Err(testcontainers::bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                Ok(false)
            }
            answer => answer.map(|_| true),
        }
    };
    ask(format!("cannot look for the image `{image}`"), look).await
}

fn missing(component: &str, image: &str) -> String {
    let built = "`make images` builds one, for `images: built`";
    format!("the image `{image}` of `{component}` is missing; get it with `docker pull {image}`, or {built}")
}

fn advise(error: Error, address: &str) -> Error {
    let group = format!("`{}` may not use `{address}`: join the group that owns it, often `docker`", whoami());
    if error.kind == ErrorKind::PermissionDenied { error.hint(group) } else { error.hint(HINT) }
}

fn whoami() -> String {
    std::env::var("USER").unwrap_or_else(|_| format!("user {}", rustix::process::geteuid().as_raw()))
}

/// Are the engine's ports this machine's?
fn here(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once("://") else { return true };
    let host = rest.trim_start_matches('[');
    scheme == "unix" || ["127.", "localhost", "::1"].iter().any(|own| host.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_elsewhere_is_told_from_one_here() {
        for address in ["unix:///run/docker.sock", "tcp://127.0.0.1:2375", "tcp://localhost:2375", "http://[::1]:1"] {
            assert!(here(address), "{address}");
        }
        for address in ["tcp://10.0.0.7:2375", "https://docker.example.org", "ssh://me@host"] {
            assert!(!here(address), "{address}");
        }
    }
}
