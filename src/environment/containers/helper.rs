//! The helper of the database server: a container of the same image with the same volume and no network.
//!
//! Apart from the components because nothing serves in it.

use super::component::{ComponentContainer, remove_ours};
use super::container_spec::{DATA, SHARED_MEMORY};
use super::labels::{labels, receipt};
use crate::client::containers::{ask, exec_as};
use crate::client::{Error, Running};
use crate::environment::Journal;
use crate::environment::helper::{Helper, HelperUser, IDLE, SERVER_USER};
use async_trait::async_trait;
use std::sync::Arc;
use testcontainers::bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use testcontainers::bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};

/// The helper of a run's database server.
pub struct ContainerHelper {
    component: Arc<ComponentContainer>,
    journal: Arc<dyn Journal>,
    /// Held while it is made or removed.
    making: tokio::sync::Mutex<()>,
}

impl ContainerHelper {
    /// For this component; makes nothing yet.
    pub fn new(component: Arc<ComponentContainer>, journal: Arc<dyn Journal>) -> Self {
        Self { component, journal, making: tokio::sync::Mutex::default() }
    }

    fn name(&self) -> String {
        format!("{}-helper", self.component.container)
    }

    async fn create(&self) -> Result<(), Error> {
        let (name, docker) = (self.name(), &self.component.engine.docker);
        self.component.make_volumes().await?;
        self.journal.creating(receipt(&self.component.engine, "container", &name)).await?;
        let words = |words: [&str; 3]| Some(words.map(str::to_owned).to_vec());
        let mount = |(volume, path): (String, &str)| Mount {
            target: Some(path.to_owned()),
            source: Some(volume),
            typ: Some(MountType::VOLUME),
            ..Mount::default()
        };
        let host_config = HostConfig {
            network_mode: Some("none".into()),
            mounts: Some(self.component.mounts().map(mount).collect()),
            shm_size: Some(SHARED_MEMORY),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(self.component.spec.image.clone()),
            entrypoint: words(["sh", "-c", IDLE]),
            user: Some("0".into()),
            labels: Some(labels(&self.component.run)),
            host_config: Some(host_config),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        ask(format!("cannot make `{name}`"), docker.create_container(Some(options), body)).await?;
        let started = docker.start_container(&name, None::<StartContainerOptions>);
        ask(format!("cannot start `{name}`"), started).await
    }
}

#[async_trait]
impl Helper for ContainerHelper {
    fn component(&self) -> &'static str {
        self.component.name
    }

    fn data(&self) -> &str {
        DATA
    }

    async fn runs(&self) -> Result<bool, Error> {
        self.component.up().await
    }

    async fn make(&self) -> Result<(), Error> {
        let _making = self.making.lock().await;
        let found = self.component.engine.inspect(&self.name()).await?;
        let running = found.as_ref().and_then(|found| found.state.as_ref()?.running) == Some(true);
        if running {
            return Ok(());
        }
        // One that was only half made, or ended.
        remove_ours(&self.component.engine, &self.component.run, &self.name()).await?;
        self.create().await
    }

    async fn exec(&self, user: HelperUser, command: &[&str]) -> Result<Running, Error> {
        let user = if user == HelperUser::Root { "0" } else { SERVER_USER };
        exec_as(&self.component.engine, &self.name(), user, command, &[]).await
    }

    async fn remove(&self) -> Result<(), Error> {
        let _making = self.making.lock().await;
        remove_ours(&self.component.engine, &self.component.run, &self.name()).await
    }
}
