//! One container: made, started, hurt, and waited for until it serves.
//!
//! The engine's own rule decides what comes back by itself: by default a process that dies is started again. What was
//! killed or stopped through the engine stays down until it is started, whatever the rule.

use super::container_spec::{self, ContainerSpec, SHARED_MEMORY};
use super::labels::{COMPONENT, DISK, RUN, labels, receipt};
use super::network;
use super::restart::Restart;
use crate::client::containers::{ContainerEngine, ask, settle, tail};
use crate::client::process::POLL;
use crate::client::{Error, ErrorKind, chain, ports, until};
use crate::clock::Deadline;
use crate::environment::Journal;
use crate::environment::stack::{self, Secrets};
use crate::model::Finding;
use std::collections::HashMap;
use std::time::Duration;
use testcontainers::bollard::models::{ContainerState, HostConfig, PortBinding, RestartPolicy, VolumeCreateRequest};
use testcontainers::bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use testcontainers::core::Mount;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerRequest, CopyTargetOptions, GenericImage, ImageExt, ReuseDirective};
use tokio::time::{sleep, timeout};

/// How long a container may take to be made and started.
const MADE: Duration = Duration::from_mins(2);
/// How long a program may take to end in good order before it is killed.
const GRACE: i32 = 10;
/// How long a call to the engine may take to have its effect.
const EFFECT: Duration = Duration::from_secs(10);
/// How often a component may die while it is waited for.
const DEATHS: i64 = 3;

/// A component of the platform.
pub struct ComponentContainer {
    pub(super) engine: ContainerEngine,
    pub(super) run: String,
    secrets: Secrets,
    pub(super) spec: ContainerSpec,
    /// Its name.
    pub name: &'static str,
    /// Its container's name.
    pub container: String,
    /// Its port on this machine: the same for its whole life, because clients know it.
    pub port: u16,
}

impl ComponentContainer {
    /// Makes its volumes and its container, starts it and connects it; it need not serve yet.
    pub async fn create(
        engine: &ContainerEngine,
        run: &str,
        spec: ContainerSpec,
        secrets: &Secrets,
        journal: &dyn Journal,
    ) -> Result<Self, Error> {
        let container = format!("{run}-{}", spec.name);
        let (engine, run, secrets, name) = (engine.clone(), run.to_owned(), secrets.clone(), spec.name);
        let mut this = Self { engine, run, secrets, spec, name, container, port: ports::free()? };
        for volume in this.volumes() {
            journal.creating(receipt(&this.engine, "volume", &volume)).await?;
        }
        journal.creating(receipt(&this.engine, "container", &this.container)).await?;
        let mut attempt = 0;
        while let Err(error) = this.make().await {
            // Another took the port between our look and the engine's.
            if attempt == 5 || error.kind != ErrorKind::AddressInUse {
                return Err(error);
            }
            attempt += 1;
            this.port = ports::free()?;
        }
        Ok(this)
    }

    /// Makes its container, and those of its volumes that are not there: for the first time, or in the place of what
    /// was removed. That they are ours is on disk since the first time, for their names stay the same.
    async fn make(&self) -> Result<(), Error> {
        self.make_volumes().await?;
        let made = async {
            start(&self.spec, &self.run, &self.container, self.port).await?;
            network::join(&self.engine, &self.run, self.name).await
        };
        let Err(error) = made.await else { return Ok(()) };
        // What was half made would be in the way of the next one, and be started in its place.
        remove_ours(&self.engine, &self.run, &self.container).await?;
        Err(error)
    }

    /// Makes those of its volumes that are not there.
    pub(super) async fn make_volumes(&self) -> Result<(), Error> {
        for volume in self.volumes() {
            let what = format!("cannot make the volume `{volume}`");
            let mut labels = labels(&self.run);
            labels.insert(DISK.into(), stack::secret(12));
            let (name, labels) = (Some(volume), Some(labels));
            let request = VolumeCreateRequest { name, labels, ..VolumeCreateRequest::default() };
            ask(what, self.engine.docker.create_volume(request)).await?;
        }
        Ok(())
    }

    /// The names of its volumes.
    pub(super) fn volumes(&self) -> impl Iterator<Item = String> {
        (0..self.spec.volumes.len()).map(|number| volume(&self.container, number))
    }

    /// The names of its volumes, with the paths at which they are mounted.
    pub(super) fn mounts(&self) -> impl Iterator<Item = (String, &'static str)> {
        self.volumes().zip(self.spec.volumes.iter().copied())
    }

    /// What identifies the running instance.
    pub async fn instance(&self) -> Result<Option<String>, Error> {
        Ok(self.look().await?.and_then(|seen| seen.instance))
    }

    /// Ends it at once.
    pub async fn kill(&self) -> Result<(), Error> {
        let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
        // 404: it is gone; 409: it does not run
        let call = self.engine.docker.kill_container(&self.container, Some(options));
        settle(self.cannot("kill"), &[404, 409], call).await?;
        self.until("kill", |seen| seen.is_none_or(|seen| seen.down)).await
    }

    /// Ends it in good order, and by force if that takes too long.
    pub async fn stop(&self) -> Result<(), Error> {
        let options = StopContainerOptionsBuilder::new().t(GRACE).build();
        let call = self.engine.docker.stop_container(&self.container, Some(options));
        settle(self.cannot("stop"), &[304, 404], call).await?;
        self.until("stop", |seen| seen.is_none_or(|seen| seen.down)).await
    }

    /// Starts it, if it does not run, and waits until it serves; what of it was removed is made anew.
    pub async fn start(&self) -> Result<(), Error> {
        match self.look().await? {
            None => self.make().await?,
            Some(seen) if seen.frozen => {
                return Err(Error::new(self.cannot("start"), "it is frozen").hint("resume it"));
            }
            Some(_) => {
                let call = self.engine.docker.start_container(&self.container, None);
                settle(self.cannot("start"), &[304], call).await?;
            }
        }
        self.served().await
    }

    /// Waits until it serves.
    pub async fn served(&self) -> Result<(), Error> {
        let deadline = Deadline::within(self.spec.start_limit);
        let gone = || Error::new(self.cannot("start"), "its container is gone");
        let first = self.look().await?.ok_or_else(gone)?;
        loop {
            let answer = container_spec::serves(self.name, self.port, &self.secrets).await;
            // Asked after the answer: an answer counts only if ours was there to give it.
            let seen = self.look().await?.ok_or_else(gone)?;
            let error = match answer {
                Ok(()) if seen.instance.is_some() => return Ok(()),
                Ok(()) => Error::new(self.cannot("start"), "another program answers at its port"),
                Err(error) => error,
            };
            if seen.down || seen.restarts - first.restarts >= DEATHS {
                let log = tail(&self.engine, &self.container).await;
                return Err(Error::new(self.cannot("start"), format!("it ended ({}); its log: {log}", seen.how)));
            }
            if deadline.passed() {
                let log = tail(&self.engine, &self.container).await;
                let limit = self.spec.start_limit.as_secs();
                let why = format!("not ready within {limit} s ({error}); its log: {log}");
                return Err(Error::new(self.cannot("start"), why));
            }
            sleep(POLL).await;
        }
    }

    /// Freezes it with all its processes.
    pub async fn pause(&self) -> Result<(), Error> {
        match self.look().await? {
            Some(seen) if seen.frozen => Ok(()),
            Some(seen) if seen.instance.is_some() => {
                ask(self.cannot("pause"), self.engine.docker.pause_container(&self.container)).await?;
                self.until("pause", |seen| seen.is_some_and(|seen| seen.frozen)).await
            }
            _ => Err(Error::new(self.cannot("pause"), "it does not run")),
        }
    }

    /// Lets it go on.
    pub async fn resume(&self) -> Result<(), Error> {
        if self.look().await?.is_some_and(|seen| seen.frozen) {
            ask(self.cannot("resume"), self.engine.docker.unpause_container(&self.container)).await?;
        }
        self.until("resume", |seen| seen.is_none_or(|seen| !seen.frozen)).await
    }

    /// Does it run, be it frozen, or will it by itself?
    pub async fn up(&self) -> Result<bool, Error> {
        Ok(self.look().await?.is_some_and(|seen| !seen.down))
    }

    /// Does it run, and is it not frozen?
    pub async fn alive(&self) -> Finding {
        match self.look().await {
            Err(error) => Finding::unknown(error.to_string()),
            Ok(None) => Finding::missed(format!("the container of `{}` is gone", self.name)),
            Ok(Some(seen)) if seen.frozen => Finding::missed(format!("`{}` is frozen", self.name)),
            Ok(Some(seen)) if seen.instance.is_some() => Finding::met(),
            Ok(Some(seen)) => Finding::missed(format!("`{}` does not run ({})", self.name, seen.how)),
        }
    }

    async fn look(&self) -> Result<Option<ContainerStatus>, Error> {
        let Some(found) = self.engine.inspect(&self.container).await? else { return Ok(None) };
        let state = found.state.unwrap_or_default();
        Ok(Some(ContainerStatus::of(&found.id.unwrap_or_default(), &state, found.restart_count.unwrap_or(0))))
    }

    pub(super) async fn until(&self, verb: &str, done: impl Fn(Option<&ContainerStatus>) -> bool) -> Result<(), Error> {
        let effect = async || match self.look().await {
            Ok(seen) => done(seen.as_ref()).then_some(Ok(())).ok_or(()),
            Err(error) => Ok(Err(error)),
        };
        let late = |_| Err(Error::new(self.cannot(verb), format!("no effect within {} s", EFFECT.as_secs())));
        until(EFFECT, POLL / 5, effect).await.unwrap_or_else(late)
    }

    pub(super) fn cannot(&self, verb: &str) -> String {
        format!("cannot {verb} `{}`", self.name)
    }
}

/// A container's state, as far as it counts here.
pub(super) struct ContainerStatus {
    pub(super) id: String,
    instance: Option<String>,
    frozen: bool,
    /// It does not run, and will not by itself.
    down: bool,
    restarts: i64,
    how: String,
}

impl ContainerStatus {
    fn of(id: &str, state: &ContainerState, restarts: i64) -> Self {
        let restarting = state.restarting == Some(true);
        // A container that waits for its restart counts as running for the engine, but nothing runs in it.
        let runs = state.running == Some(true) && !restarting;
        let instance = || format!("{id}@{}", state.started_at.as_deref().unwrap_or_default());
        let memory = if state.oom_killed == Some(true) { ", killed for want of memory" } else { "" };
        Self {
            id: id.to_owned(),
            instance: runs.then(instance),
            frozen: state.paused == Some(true),
            down: !runs && !restarting,
            restarts,
            how: format!("exit code {}{memory}", state.exit_code.unwrap_or(0)),
        }
    }
}

/// Starts a new container.
async fn start(spec: &ContainerSpec, run: &str, container: &str, port: u16) -> Result<(), Error> {
    let what = format!("cannot start `{}`", spec.name);
    let mut labels = labels(run);
    labels.insert(COMPONENT.into(), spec.name.into());
    let (path, text, mode) = &spec.file;
    let (front, inner, restart) = (network::front(run), spec.port, spec.restart);
    let mut request: ContainerRequest<GenericImage> = image(&spec.image)
        .with_container_name(container)
        .with_labels(labels)
        .with_cmd(spec.arguments.clone())
        .with_copy_to(CopyTargetOptions::new(*path).with_mode(*mode), text.clone().into_bytes())
        .with_host_config_modifier(move |host| configure(host, &front, inner, port, restart))
        // The crate would remove the container when its value is dropped. But a platform may be kept, and one that
        // is removed leaves its logs first: so removal is ours, by label.
        .with_reuse(ReuseDirective::Always);
    for (name, value) in &spec.environment {
        request = request.with_env_var(*name, value);
    }
    for (number, path) in spec.volumes.iter().enumerate() {
        request = request.with_mount(Mount::volume_mount(volume(container, number), *path));
    }
    if let Some(user) = spec.user {
        request = request.with_user(user);
    }
    match timeout(MADE, request.start()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Error::new(what, chain(&error))),
        Err(_) => Err(Error::new(what, format!("the engine did not start it within {} s", MADE.as_secs()))),
    }
}

/// The image as the crate wants it: in two parts that it joins with a colon again.
fn image(image: &str) -> GenericImage {
    match image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((name, tag)) => GenericImage::new(name, tag),
        None => GenericImage::new(image, "latest"),
    }
}

fn configure(host: &mut HostConfig, network: &str, inner: u16, port: u16, restart: Restart) {
    let binding = PortBinding { host_ip: Some("127.0.0.1".into()), host_port: Some(port.to_string()) };
    host.publish_all_ports = Some(false);
    host.port_bindings = Some(HashMap::from([(format!("{inner}/tcp"), Some(vec![binding]))]));
    host.network_mode = Some(network.to_owned());
    host.restart_policy = Some(RestartPolicy { name: Some(restart.into()), maximum_retry_count: None });
    host.shm_size = Some(SHARED_MEMORY);
}

/// Removes a container, whatever it does. One of the same name that is not the run's is somebody else's, and stays.
pub(super) async fn remove_ours(engine: &ContainerEngine, run: &str, container: &str) -> Result<(), Error> {
    let found = engine.inspect(container).await?;
    let labels = found.and_then(|found| found.config?.labels).unwrap_or_default();
    if labels.get(RUN).map(String::as_str) != Some(run) {
        return Ok(());
    }
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let what = format!("cannot remove the container `{container}`");
    settle(what, &[404], engine.docker.remove_container(container, Some(options))).await
}

fn volume(container: &str, number: usize) -> String {
    format!("{container}-{number}")
}
