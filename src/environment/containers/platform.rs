//! The live platform of containers: made in order, and the powers over it.

use super::component::ComponentContainer;
use super::container_spec::{self, administrator, endpoint};
use super::helper::ContainerHelper;
use super::{Containers, cleanup, cpu, memory, network};
use crate::client::containers::{ContainerEngine, exec};
use crate::client::{Error, Running};
use crate::environment::helper::HelperVolumes;
use crate::environment::own_key::OwnKey;
use crate::environment::stack::{self, Secrets};
use crate::environment::tools::{self, Tools};
use crate::environment::{
    BucketPolicies, Components, Cpu, CpuUse, Disks, Endpoints, Exec, Journal, Memory, MemoryUse, Network, Objects,
    Platform, Removal, RunContext, ServerKeys, Sql, Volumes,
};
use crate::model::{Finding, Receipt};
use crate::store;
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use tokio_postgres::Client;

/// A platform of containers that serves.
pub struct ContainersPlatform {
    engine: ContainerEngine,
    run_context: RunContext,
    keep: bool,
    components: [Arc<ComponentContainer>; 3],
    volumes: HelperVolumes,
    secrets: Secrets,
    endpoints: Endpoints,
    s3: aws_sdk_s3::Client,
    own_key: OwnKey,
    tools: tools::ToolFolder,
}

impl ContainersPlatform {
    /// Sets a platform up; what was made before a failure is left to `cleanup`.
    pub async fn provision(
        engine: &ContainerEngine,
        run_context: &RunContext,
        settings: &Containers,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, Error> {
        let Containers { keep, images, restart } = settings;
        let (run, secrets) = (run_context.run.as_str(), Secrets::random());
        let passfile = cleanup::passfile(run);
        journal.creating(Receipt(json!({ "file": passfile }))).await?;
        store::write_private(&passfile, &secrets.passfile("127.0.0.1")).map_err(|e| {
            Error::caused_by(format!("cannot write `{}`", passfile.display()), e).hint("set LIFEBOAT_STATE")
        })?;
        network::create(engine, run, &*journal).await?;

        journal.progress("starting PostgreSQL, the S3 server and MLflow, which makes its tables");
        let component = async |spec| {
            let component = ComponentContainer::create(engine, run, spec, &secrets, &*journal).await?;
            component.served().await.map(|()| component)
        };
        let bucket = async {
            let s3 = component(container_spec::s3(images, *restart, &secrets)).await?;
            stack::create_bucket(&endpoint(s3.port), &secrets).await.map(|()| s3)
        };
        // All at once: when MLflow's interpreter has come to ask for the database, that has long been made.
        let postgres = async {
            let postgres = component(container_spec::postgres(images, *restart, &secrets)).await?;
            let config = secrets.config("127.0.0.1", postgres.port, stack::DATABASE);
            stack::allow_replication(&config).await.map(|()| postgres)
        };
        let mlflow = component(container_spec::mlflow(images, *restart, &secrets));
        let (postgres, s3, mlflow) = tokio::try_join!(postgres, bucket, mlflow)?;
        let endpoints = Endpoints {
            mlflow: Some(endpoint(mlflow.port)),
            postgres: Some(format!("postgresql://{0}@127.0.0.1:{1}/{0}", stack::DATABASE, postgres.port)),
            s3: Some(endpoint(s3.port)),
            bucket: Some(stack::BUCKET.into()),
            passfile: Some(passfile),
        };
        let (client, own_key) = (administrator(s3.port, &secrets), OwnKey::new(&endpoint(s3.port), &secrets));
        let components = [postgres, s3, mlflow].map(Arc::new);
        let helper = Arc::new(ContainerHelper::new(Arc::clone(&components[0]), Arc::clone(&journal)));
        let volumes = HelperVolumes::new(helper, journal, run_context.folder.join("logs"));
        let (engine, run_context, tools) = (engine.clone(), run_context.clone(), tools::ToolFolder::default());
        let keep = *keep;
        Ok(Self { engine, run_context, keep, components, volumes, secrets, endpoints, s3: client, own_key, tools })
    }

    fn component(&self, name: &str) -> Result<&ComponentContainer, Error> {
        let known = || Error::new(format!("no component `{name}`"), format!("known: {}", stack::COMPONENTS.join(", ")));
        self.components.iter().map(Arc::as_ref).find(|component| component.name == name).ok_or_else(known)
    }

    fn postgres(&self) -> &ComponentContainer {
        &self.components[0]
    }
}

#[async_trait]
impl Platform for ContainersPlatform {
    fn run(&self) -> Option<&str> {
        Some(&self.run_context.run)
    }
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn components(&self) -> Result<&dyn Components, Error> {
        Ok(self)
    }

    fn exec(&self) -> Result<&dyn Exec, Error> {
        Ok(self)
    }

    fn network(&self) -> Result<&dyn Network, Error> {
        Ok(self)
    }

    fn memory(&self) -> Result<&dyn Memory, Error> {
        Ok(self)
    }

    fn cpu(&self) -> Result<&dyn Cpu, Error> {
        Ok(self)
    }

    fn disks(&self) -> Result<&dyn Disks, Error> {
        Ok(self)
    }

    fn volumes(&self) -> Result<&dyn Volumes, Error> {
        Ok(&self.volumes)
    }

    fn removal(&self) -> Result<&dyn Removal, Error> {
        Ok(self)
    }

    fn sql(&self) -> Result<&dyn Sql, Error> {
        Ok(self)
    }

    fn objects(&self) -> Result<&dyn Objects, Error> {
        Ok(self)
    }

    fn policies(&self) -> Result<&dyn BucketPolicies, Error> {
        Ok(&self.own_key)
    }

    fn keys(&self) -> Result<&dyn ServerKeys, Error> {
        Ok(&self.own_key)
    }

    fn kept(&self) -> Option<String> {
        self.keep.then(|| format!("{}; its containers begin with {}", self.endpoints.stay_up(), self.run_context.run))
    }

    async fn remove(&self) -> Vec<String> {
        cleanup::remove_labelled(&self.engine, &self.run_context).await
    }
}

#[async_trait]
impl Components for ContainersPlatform {
    async fn instance(&self, component: &str) -> Result<Option<String>, Error> {
        self.component(component)?.instance().await
    }

    async fn kill(&self, component: &str) -> Result<(), Error> {
        self.component(component)?.kill().await
    }

    async fn stop(&self, component: &str) -> Result<(), Error> {
        self.component(component)?.stop().await
    }

    async fn start(&self, component: &str) -> Result<(), Error> {
        self.component(component)?.start().await
    }

    async fn pause(&self, component: &str) -> Result<(), Error> {
        self.component(component)?.pause().await
    }

    async fn resume(&self, component: &str) -> Result<(), Error> {
        self.component(component)?.resume().await
    }

    async fn alive(&self, component: &str) -> Finding {
        match self.component(component) {
            Ok(component) => component.alive().await,
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
}

#[async_trait]
impl Exec for ContainersPlatform {
    async fn exec(&self, component: &str, command: &[&str]) -> Result<Running, Error> {
        exec(&self.engine, &self.component(component)?.container, command, &[]).await
    }
}

#[async_trait]
impl Network for ContainersPlatform {
    async fn cut(&self, one: &str, other: &str) -> Result<(), Error> {
        network::cut(&self.engine, &self.run_context.run, one, other).await
    }

    async fn mend(&self, one: &str, other: &str) -> Result<(), Error> {
        network::mend(&self.engine, &self.run_context.run, one, other).await
    }

    async fn reaches(&self, one: &str, other: &str) -> Finding {
        network::reaches(&self.engine, &self.run_context.run, one, other).await
    }
}

#[async_trait]
impl Memory for ContainersPlatform {
    async fn memory(&self, component: &str) -> Result<MemoryUse, Error> {
        memory::memory(&self.engine, &self.component(component)?.container).await
    }

    async fn limit(&self, component: &str, bytes: Option<u64>) -> Result<(), Error> {
        memory::limit(&self.engine, &self.component(component)?.container, bytes).await
    }
}

#[async_trait]
impl Cpu for ContainersPlatform {
    async fn cpu(&self, component: &str) -> Result<CpuUse, Error> {
        cpu::cpu(&self.engine, &self.component(component)?.container).await
    }

    async fn throttle(&self, component: &str, limit: Option<u64>) -> Result<(), Error> {
        cpu::throttle(&self.engine, &self.component(component)?.container, limit).await
    }
}

#[async_trait]
impl Disks for ContainersPlatform {
    async fn disks(&self, component: &str) -> Result<Vec<String>, Error> {
        self.component(component)?.disks().await
    }

    async fn lose(&self, component: &str, disks: &[String]) -> Result<(), Error> {
        let known = self.component(component)?;
        self.volumes.leave(component).await?; // a volume that is mounted cannot be removed
        known.lose(disks).await
    }
}

#[async_trait]
impl Removal for ContainersPlatform {
    async fn container(&self, component: &str) -> Result<Option<String>, Error> {
        self.component(component)?.id().await
    }

    async fn remove_container(&self, component: &str, container: &str) -> Result<(), Error> {
        self.component(component)?.remove(container).await
    }
}

#[async_trait]
impl Sql for ContainersPlatform {
    async fn connect(&self, database: &str) -> Result<Client, Error> {
        crate::client::postgres::connect(&self.secrets.config("127.0.0.1", self.postgres().port, database)).await
    }

    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        let port = self.postgres().port;
        if let (Some(bin), Some(passfile)) = (self.tools.folder(self).await, self.endpoints.passfile.clone()) {
            let (host, run) = ("127.0.0.1".into(), self.run_context.run.clone());
            return Tools { bin, host, port, passfile, run }.start(name, args);
        }
        // Inside of the server's own container, where the superuser needs no password.
        let variables = [("PGUSER", stack::DATABASE), ("PGDATABASE", stack::DATABASE), ("PGCONNECT_TIMEOUT", "10")];
        let command: Vec<&str> = [name].into_iter().chain(args.iter().copied()).collect();
        exec(&self.engine, &self.postgres().container, &command, &variables).await
    }
}

impl Objects for ContainersPlatform {
    fn s3(&self) -> &aws_sdk_s3::Client {
        &self.s3
    }
}
