//! The live local platform: made in order, and the powers over it.

use super::component::Component;
use super::mlflow::{self, Mlflow};
use super::postgres::{self, Postgres};
use super::setup::Site;
use super::versitygw::{self, Versitygw, endpoint};
use super::{COMPONENT, MARKER, RUN, cleanup, folder, make_folder};
use crate::client::{Running, Trouble};
use crate::environment::stack::{self, Secrets};
use crate::environment::tools::Tools;
use crate::environment::{Components, Doors, Environment, Journal, Lent, Objects, Sql};
use crate::model::{Finding, Receipt};
use async_trait::async_trait;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres::Client;

/// A local platform that serves.
pub struct Platform {
    run: String,
    folder: PathBuf,
    keep: bool,
    components: [Component; 3],
    database: Postgres,
    doors: Doors,
    s3: aws_sdk_s3::Client,
}

impl Platform {
    /// Sets a platform up; what was made before a failure is left to `cleanup`.
    pub async fn provision(lent: &Lent, keep: bool, journal: Arc<dyn Journal>) -> Result<Self, Trouble> {
        let logs = lent.folder.join("logs");
        fs::create_dir_all(&logs).map_err(|e| Trouble::new(format!("cannot make `{}`", logs.display()), e))?;
        let site = Site { run: &lent.run, logs: &logs, journal: &*journal };
        let bin = postgres::programs(&site).await?;
        let program = versitygw::program(&site).await?;
        let venv = mlflow::WHEELS.install(&site).await?;

        let folder = folder(&lent.run);
        journal.creating(Receipt(json!({ "folder": folder }))).await?;
        make(&folder, &lent.run)?;
        journal.progress("starting PostgreSQL and the S3 server");
        let (passfile, secrets) = (folder.join(postgres::PASSFILE), Secrets::random());
        let component = |program| Component::new(program, &lent.run, &logs, Arc::clone(&journal));
        let gateway = Versitygw::create(program, &folder, &secrets)?;
        let s3 = component(Box::new(gateway.clone()) as _);
        let database = async {
            let database = Postgres::create(bin, &folder, &secrets, &site).await?;
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
        let key = secrets.user.clone();
        let server = Mlflow { venv, postgres: pg.port(), passfile: passfile.clone(), s3: s3.port(), key };
        let server = component(Box::new(server) as _);
        server.start().await?;
        let doors = Doors {
            mlflow: Some(endpoint(server.port())),
            postgres: Some(format!("postgresql://{0}@127.0.0.1:{1}/{0}", stack::DATABASE, pg.port())),
            s3: Some(endpoint(s3.port())),
            bucket: Some(stack::BUCKET.into()),
            passfile: Some(passfile),
        };
        let client = gateway.client(s3.port());
        let components = [pg, s3, server];
        Ok(Self { run: lent.run.clone(), folder, keep, components, database, doors, s3: client })
    }

    fn component(&self, name: &str) -> Result<&Component, Trouble> {
        let known =
            || Trouble::new(format!("no component `{name}`"), format!("known: {}", stack::COMPONENTS.join(", ")));
        self.components.iter().find(|component| component.name() == name).ok_or_else(known)
    }

    fn postgres(&self) -> &Component {
        &self.components[0]
    }
}

fn make(folder: &Path, run: &str) -> Result<(), Trouble> {
    let made = make_folder(folder.parent().unwrap_or(folder)).and_then(|()| {
        fs::create_dir(folder)?; // fails if it exists: no two runs share one
        fs::write(folder.join(MARKER), run)?;
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))
    });
    made.map_err(|e| Trouble::new(format!("cannot make `{}`", folder.display()), e).hint("set LIFEBOAT_STATE"))
}

#[async_trait]
impl Environment for Platform {
    fn doors(&self) -> &Doors {
        &self.doors
    }

    fn components(&self) -> Result<&dyn Components, Trouble> {
        Ok(self)
    }

    fn sql(&self) -> Result<&dyn Sql, Trouble> {
        Ok(self)
    }

    fn objects(&self) -> Result<&dyn Objects, Trouble> {
        Ok(self)
    }

    fn kept(&self) -> Option<String> {
        self.keep.then(|| self.doors.stay_up())
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
impl Components for Platform {
    async fn instance(&self, component: &str) -> Result<Option<String>, Trouble> {
        Ok(self.component(component)?.process().map(|born| format!("{}@{}", born.pid, born.start)))
    }

    async fn kill(&self, component: &str) -> Result<(), Trouble> {
        self.component(component)?.kill().await
    }

    async fn stop(&self, component: &str) -> Result<(), Trouble> {
        self.component(component)?.stop().await
    }

    async fn start(&self, component: &str) -> Result<(), Trouble> {
        self.component(component)?.start().await
    }

    async fn pause(&self, component: &str) -> Result<(), Trouble> {
        self.component(component)?.pause().await
    }

    async fn resume(&self, component: &str) -> Result<(), Trouble> {
        self.component(component)?.resume().await
    }

    async fn alive(&self, component: &str) -> Finding {
        self.component(component).map_or_else(|e| Finding::unknown(e.to_string()), Component::alive)
    }
}

#[async_trait]
impl Sql for Platform {
    async fn connect(&self, database: &str) -> Result<Client, Trouble> {
        crate::client::postgres::connect(&self.database.config(self.postgres().port(), database)).await
    }

    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Trouble> {
        let tools = Tools {
            bin: self.database.bin().to_owned(),
            host: "127.0.0.1".into(),
            port: self.postgres().port(),
            passfile: self.folder.join(postgres::PASSFILE),
        };
        let mut command = tools.command(name, args);
        command.env(RUN, &self.run).env(COMPONENT, "tool");
        Running::process(command.into())
    }
}

impl Objects for Platform {
    fn s3(&self) -> &aws_sdk_s3::Client {
        &self.s3
    }
}
