//! The live local platform: made in order, and the powers over it.

use super::component::ComponentProcess;
use super::credentials::{self, SharedSecrets};
use super::mlflow::{self, MlflowServer};
use super::postgres::{self, Postgres};
use super::setup::LocalSetup;
use super::versitygw::{self, Versitygw, endpoint};
use super::volumes::LocalVolumes;
use super::{MARKER, cleanup, folder, make_folder};
use crate::client::{Error, Running};
use crate::environment::own_key::OwnKey;
use crate::environment::stack::{self, Secrets};
use crate::environment::tools::Tools;
use crate::environment::{
    BucketPolicies, Components, Credentials, Disks, Endpoints, Journal, Objects, OldCredentials, Platform, RunContext,
    ServerKeys, Sql, Volumes,
};
use crate::model::{Finding, Receipt};
use async_trait::async_trait;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres::Client;

/// A local platform that serves.
pub struct LocalPlatform {
    run: String,
    folder: PathBuf,
    keep: bool,
    components: [ComponentProcess; 3],
    database: Postgres,
    endpoints: Endpoints,
    s3: aws_sdk_s3::Client,
    own_key: OwnKey,
    secrets: SharedSecrets,
    volumes: LocalVolumes,
    logs: PathBuf,
    journal: Arc<dyn Journal>,
}

impl LocalPlatform {
    /// Sets a platform up; what was made before a failure is left to `cleanup`.
    pub async fn provision(run_context: &RunContext, keep: bool, journal: Arc<dyn Journal>) -> Result<Self, Error> {
        let logs = run_context.folder.join("logs");
        fs::create_dir_all(&logs).map_err(|e| Error::caused_by(format!("cannot make `{}`", logs.display()), e))?;
        let setup = LocalSetup { run: &run_context.run, logs: &logs, journal: &*journal };
        let bin = postgres::programs(&setup).await?;
        let program = versitygw::program(&setup).await?;
        let venv = mlflow::WHEELS.install(&setup).await?;

        let folder = folder(&run_context.run);
        journal.creating(Receipt(json!({ "folder": folder }))).await?;
        make(&folder, &run_context.run)?;
        journal.progress("starting PostgreSQL and the S3 server");
        let (passfile, secrets) = (folder.join(postgres::PASSFILE), Secrets::random());
        let shared = SharedSecrets::new(secrets.clone());
        let component = |program| ComponentProcess::new(program, &run_context.run, &logs, Arc::clone(&journal));
        let gateway = Versitygw::create(program, &folder, &secrets)?;
        let s3 = component(Box::new(gateway.clone()) as _);
        let database = async {
            let database = Postgres::create(bin, &folder, &shared, &setup).await?;
            let component = component(Box::new(database.clone()) as _);
            component.start().await?;
            stack::create_database(&database.config(component.port(), "postgres")).await?;
            Ok((database, component))
        };
        let bucket = async {
            s3.start().await?;
            stack::create_bucket(&endpoint(s3.port()), &secrets).await
        };
        let ((database, pg), ()) = tokio::try_join!(database, bucket)?;

        journal.progress("starting MLflow, which makes its tables");
        let (passfile_of, secrets_of) = (passfile.clone(), shared.clone());
        let server =
            MlflowServer { venv, postgres: pg.port(), passfile: passfile_of, s3: s3.port(), secrets: secrets_of };
        let server = component(Box::new(server) as _);
        server.start().await?;
        let endpoints = Endpoints {
            mlflow: Some(endpoint(server.port())),
            postgres: Some(format!("postgresql://{0}@127.0.0.1:{1}/{0}", stack::DATABASE, pg.port())),
            s3: Some(endpoint(s3.port())),
            bucket: Some(stack::BUCKET.into()),
            passfile: Some(passfile),
        };
        let (client, own_key) = (gateway.client(s3.port()), OwnKey::new(&endpoint(s3.port()), &secrets));
        let components = [pg, s3, server];
        let volumes = LocalVolumes::new(database.volume(&run_context.run), &logs, Arc::clone(&journal));
        let run = run_context.run.clone();
        let (s3, secrets) = (client, shared);
        Ok(Self { run, folder, keep, components, database, endpoints, s3, own_key, secrets, volumes, logs, journal })
    }

    fn component(&self, name: &str) -> Result<&ComponentProcess, Error> {
        let known = || Error::new(format!("no component `{name}`"), format!("known: {}", stack::COMPONENTS.join(", ")));
        self.components.iter().find(|component| component.name() == name).ok_or_else(known)
    }

    fn postgres(&self) -> &ComponentProcess {
        &self.components[0]
    }
}

fn make(folder: &Path, run: &str) -> Result<(), Error> {
    let made = make_folder(folder.parent().unwrap_or(folder)).and_then(|()| {
        fs::create_dir(folder)?; // fails if it exists: no two runs share one
        fs::write(folder.join(MARKER), run)?;
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))
    });
    made.map_err(|e| Error::caused_by(format!("cannot make `{}`", folder.display()), e).hint("set LIFEBOAT_STATE"))
}

#[async_trait]
impl Platform for LocalPlatform {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn run(&self) -> Option<&str> {
        Some(&self.run)
    }

    fn components(&self) -> Result<&dyn Components, Error> {
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

    fn credentials(&self) -> Result<&dyn Credentials, Error> {
        Ok(self)
    }

    fn disks(&self) -> Result<&dyn Disks, Error> {
        Ok(self)
    }

    fn volumes(&self) -> Result<&dyn Volumes, Error> {
        Ok(&self.volumes)
    }

    fn kept(&self) -> Option<String> {
        self.keep.then(|| self.endpoints.stay_up())
    }

    async fn remove(&self) -> Vec<String> {
        let mut receipts = vec![Receipt(json!({ "folder": self.folder }))];
        for component in self.components.iter().rev() {
            // One that does not stop is tried once more below, and named there if it still lives.
            let process = component.process();
            if component.discard().await.is_err() {
                let receipt = process.map(|p| json!({ "component": component.name(), "pid": p.pid, "start": p.start }));
                receipts.extend(receipt.map(|process| Receipt(json!({ "process": process }))));
            }
        }
        cleanup::remove(&self.run, &receipts).await
    }
}

#[async_trait]
impl Components for LocalPlatform {
    async fn instance(&self, component: &str) -> Result<Option<String>, Error> {
        Ok(self.component(component)?.process().map(|identity| format!("{}@{}", identity.pid, identity.start)))
    }

    async fn kill(&self, component: &str) -> Result<(), Error> {
        self.component(component)?.kill().await
    }

    async fn stop(&self, component: &str) -> Result<(), Error> {
        self.component(component)?.stop().await
    }

    async fn start(&self, component: &str) -> Result<(), Error> {
        let process = self.component(component)?;
        if process.name() != self.postgres().name() || self.database.disk().identity().is_some() {
            return process.start().await;
        }
        // On a new, empty disk.
        self.database.make(&LocalSetup { run: &self.run, logs: &self.logs, journal: &*self.journal }).await?;
        process.start().await?;
        stack::create_database(&self.database.config(process.port(), "postgres")).await
    }

    async fn pause(&self, component: &str) -> Result<(), Error> {
        self.component(component)?.pause().await
    }

    async fn resume(&self, component: &str) -> Result<(), Error> {
        self.component(component)?.resume().await
    }

    async fn alive(&self, component: &str) -> Finding {
        self.component(component).map_or_else(|e| Finding::unknown(e.to_string()), ComponentProcess::alive)
    }
}

#[async_trait]
impl Credentials for LocalPlatform {
    async fn rotate(&self) -> Result<OldCredentials, Error> {
        let database = self.database.config(self.postgres().port(), "postgres");
        let server = Sql::connect(self, "postgres").await?;
        credentials::change_password(&server, &self.secrets, &self.folder.join(postgres::PASSFILE)).await?;
        let s3 = self.own_key.replace_secret().await?;
        self.secrets.change(|secrets| secrets.user = self.own_key.key());
        Ok(OldCredentials { database, s3 })
    }
}

#[async_trait]
impl Disks for LocalPlatform {
    async fn disks(&self, component: &str) -> Result<Vec<String>, Error> {
        let holds = self.component(component)?.name() == self.postgres().name();
        Ok(self.database.disk().identity().filter(|_| holds).into_iter().collect())
    }

    async fn lose(&self, component: &str, disks: &[String]) -> Result<(), Error> {
        if !Disks::disks(self, component).await?.iter().any(|disk| disks.contains(disk)) {
            return Ok(()); // a new one in its place, or none
        }
        self.postgres().kill().await?;
        self.database.disk().lose().await
    }
}

#[async_trait]
impl Sql for LocalPlatform {
    async fn connect(&self, database: &str) -> Result<Client, Error> {
        crate::client::postgres::connect(&self.database.config(self.postgres().port(), database)).await
    }

    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        let tools = Tools {
            bin: self.database.bin().to_owned(),
            host: "127.0.0.1".into(),
            port: self.postgres().port(),
            passfile: self.folder.join(postgres::PASSFILE),
            run: self.run.clone(),
        };
        tools.start(name, args)
    }
}

impl Objects for LocalPlatform {
    fn s3(&self) -> &aws_sdk_s3::Client {
        &self.s3
    }
}
