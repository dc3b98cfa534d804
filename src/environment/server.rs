//! A PostgreSQL server that is reached by its address alone, and a bucket beside it, for commands that take backups of
//! them and restore into them: nothing of them can be stopped, killed or looked at from the side.

use super::tools::{ToolFolder, Tools};
use super::{Endpoints, Objects, Platform, Power, Sql};
use crate::client::{Error, Running, postgres, tls};
use crate::store;
use async_trait::async_trait;
use aws_sdk_s3::Client as S3Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use rustls::ClientConfig;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio_postgres::{Client, Config};

/// Where a database is, and as whom it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// The server's host.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// Who may read everything, and create databases for a restore.
    pub user: String,
    /// The database.
    pub database: String,
    /// The file of the certificates that sign the server's; without it the connection is not encrypted.
    pub ca: Option<PathBuf>,
}

/// A bucket of artifacts, as its administrator reaches it.
pub struct ArtifactBucket {
    /// The client.
    pub client: S3Client,
    /// The bucket.
    pub bucket: String,
    /// What stands before MLflow's own artifact paths, without a slash at its end.
    pub prefix: String,
}

impl ArtifactBucket {
    /// A bucket that is asked by this client, which is given limits: without them a frozen server would hang it for good.
    pub fn new(client: &S3Client, bucket: String, prefix: String) -> Self {
        let limits = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER).build();
        let config = client.config().to_builder().timeout_config(limits).build();
        Self { client: S3Client::from_conf(config), bucket, prefix }
    }
}

impl Objects for ArtifactBucket {
    fn s3(&self) -> &S3Client {
        &self.client
    }
    fn bucket(&self) -> &str {
        &self.bucket
    }
    fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// A server at its address, with the client tools of its version on this machine.
pub struct ServerPlatform {
    endpoints: Endpoints,
    address: ServerAddress,
    config: Config,
    trust: Option<ClientConfig>,
    tools: ToolFolder,
    /// Where the password is for the tools, which take none among their arguments.
    folder: TempDir,
    artifacts: Option<ArtifactBucket>,
    /// The mark of its tools, so that those that outlive us are found; nothing if none is to.
    run: String,
}

const PASSFILE: &str = "pgpass";
/// So long may a connection to the bucket's server take, and an answer of it.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

impl ServerPlatform {
    /// At this address. Connects to nothing yet.
    ///
    /// # Errors
    /// When the password cannot be put where the tools find it; when the certificates cannot be used.
    pub fn at(address: ServerAddress, password: &str, artifacts: Option<ArtifactBucket>) -> Result<Self, Error> {
        let cannot = |e| Error::caused_by("cannot keep the password for PostgreSQL's tools", e);
        let folder = tempfile::Builder::new().prefix("lifeboat-").tempdir().map_err(cannot)?;
        let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
        store::write_private(&folder.path().join(PASSFILE), &format!("*:*:*:*:{escaped}\n")).map_err(cannot)?;
        let ServerAddress { host, port, user, database, ca } = &address;
        let trust = ca.as_deref().map(tls::trusting).transpose()?;
        let mut config = Config::new();
        config.host(host).port(*port).user(user).dbname(database).password(password);
        config.connect_timeout(postgres::CONNECT);
        let uri = format!("postgresql://{user}@{host}:{port}/{database}");
        let endpoints = Endpoints { postgres: Some(uri), ..Endpoints::default() };
        Ok(Self {
            endpoints,
            address,
            config,
            trust,
            tools: ToolFolder::default(),
            folder,
            artifacts,
            run: String::new(),
        })
    }

    /// The same, whose tools carry this mark.
    #[must_use]
    pub fn marked(mut self, run: String) -> Self {
        self.run = run;
        self
    }
}

#[async_trait]
impl Platform for ServerPlatform {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
    fn run(&self) -> Option<&str> {
        Some(self.run.as_str()).filter(|run| !run.is_empty())
    }
    fn standing(&self) -> bool {
        true
    }
    fn sql(&self) -> Result<&dyn Sql, Error> {
        Ok(self)
    }
    fn objects(&self) -> Result<&dyn Objects, Error> {
        self.artifacts.as_ref().map(|bucket| bucket as _).ok_or_else(|| Power::Objects.lacking())
    }
    async fn remove(&self) -> Vec<String> {
        vec![] // nothing of it is ours
    }
}

#[async_trait]
impl Sql for ServerPlatform {
    fn database(&self) -> &str {
        &self.address.database
    }

    async fn connect(&self, database: &str) -> Result<Client, Error> {
        let mut config = self.config.clone();
        let config = config.dbname(database);
        match &self.trust {
            Some(trust) => postgres::connect_encrypted(config, trust).await,
            None => postgres::connect(config).await,
        }
    }

    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        let lacking = || {
            let hint =
                "install the client package of that version (Debian: postgresql-client-N), or set LIFEBOAT_PG_BIN";
            Error::new(format!("cannot start `{name}`"), "this machine has no client tools of the server's version")
                .hint(hint)
        };
        let bin: PathBuf = self.tools.folder(self).await.ok_or_else(lacking)?;
        let passfile = self.folder.path().join(PASSFILE);
        let (host, port) = (self.address.host.clone(), self.address.port);
        let tools = Tools { bin, host, port, passfile, run: self.run.clone() };
        let mut command = tools.command(name, args);
        command.env("PGUSER", &self.address.user).env("PGDATABASE", &self.address.database);
        if let Some(ca) = &self.address.ca {
            command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", ca);
        }
        Running::process(command.into())
    }
}
