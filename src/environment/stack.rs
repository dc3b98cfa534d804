//! The platform's stack wherever it runs: the names of its parts, their secrets, how MLflow is told about the other
//! two, and how one sees that each of them serves.
//!
//! Apart so that the platform is the same one in every environment. Not here: starting anything.

use super::{Inventory, Thing};
use crate::client::mlflow::Mlflow;
use crate::client::s3::REGION;
use crate::client::{Error, chain, postgres, s3};
use crate::outside;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use rand::Rng;
use rand::distr::Alphanumeric;
use serde_json::json;
use std::time::Duration;
use tokio_postgres::Config;

/// The names of the components.
pub const COMPONENTS: [&str; 3] = ["postgres", "s3", "mlflow"];
/// The database's superuser and the name of the platform's database.
pub const DATABASE: &str = "mlflow";
/// The bucket of the artifacts.
pub const BUCKET: &str = "mlflow";
/// What stands before MLflow's artifact paths in the bucket.
pub const PREFIX: &str = "artifacts";
/// How many clients the database server takes.
pub const CONNECTIONS: &str = "max_connections=200";

/// How much log a replication slot keeps at most: a receiver that is gone must not fill the disk.
pub const SLOT_BOUND: &str = "4GB";
/// The same, as the server's argument.
pub const SLOTS: &str = "max_slot_wal_keep_size=4GB";

/// A key of the S3 server and its secret.
#[derive(Clone)]
pub struct AccessKey {
    /// The access key id.
    pub access: String,
    /// The secret.
    pub secret: String,
}

/// The secrets of one platform.
#[derive(Clone)]
pub struct Secrets {
    /// The database superuser's password.
    pub database: String,
    /// The key of the S3 server's administrator.
    pub root: AccessKey,
    /// The key of MLflow, who owns the bucket. It is never the administrator's: bucket policies do not bind that one,
    /// and a drill may want to deny.
    pub user: AccessKey,
}

impl Secrets {
    /// New ones.
    pub fn random() -> Self {
        let key = || AccessKey { access: secret(20), secret: secret(40) };
        Self { database: secret(32), root: key(), user: key() }.remembered()
    }

    /// The same, never to be said.
    #[must_use]
    pub fn remembered(self) -> Self {
        for secret in [&self.database, &self.root.secret, &self.user.secret] {
            outside::remember(secret);
        }
        self
    }

    /// The S3 server's list of users, VersityGW's `users.json`.
    pub fn users(&self) -> String {
        let account = json!({ "access": self.user.access, "secret": self.user.secret, "role": "userplus",
            "userID": 0, "groupID": 0, "projectID": 0 });
        json!({ "accessAccounts": { &self.user.access: account } }).to_string()
    }

    /// How to connect to a database as its superuser.
    pub fn config(&self, host: &str, port: u16, database: &str) -> Config {
        let mut config = Config::new();
        config.host(host).port(port).user(DATABASE).password(&self.database).dbname(database);
        config.connect_timeout(postgres::CONNECT);
        config
    }

    /// The password in the format of `PGPASSFILE`, for any database of a host.
    pub fn passfile(&self, host: &str) -> String {
        format!("{host}:*:*:{DATABASE}:{}\n", self.database)
    }
}

/// What every platform of this stack has: its components, the database and the bucket.
pub fn inventory() -> Inventory {
    let things = vec![Thing::database(DATABASE, COMPONENTS[0]), Thing::bucket(BUCKET, COMPONENTS[1])];
    Inventory { things, ..Inventory::of(COMPONENTS) }
}

/// A text that nobody guesses.
pub fn secret(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// What MLflow's server is told in its environment: where the bucket's server is and with which key.
pub fn mlflow_variables(s3: &str, key: &AccessKey) -> Vec<(&'static str, String)> {
    let text = |text: &str| text.to_owned();
    vec![
        // The runner of jobs starts seven more processes and takes a gigabyte (MLflow 3.17).
        ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", text("false")),
        ("MLFLOW_DISABLE_TELEMETRY", text("true")),
        ("DO_NOT_TRACK", text("true")),
        ("PYTHONUNBUFFERED", text("1")),
        ("MLFLOW_S3_ENDPOINT_URL", text(s3)),
        ("AWS_ACCESS_KEY_ID", key.access.clone()),
        ("AWS_SECRET_ACCESS_KEY", key.secret.clone()),
        ("AWS_DEFAULT_REGION", text(REGION)),
        ("AWS_EC2_METADATA_DISABLED", text("true")),
        ("AWS_CONFIG_FILE", text("/dev/null")),
        ("AWS_SHARED_CREDENTIALS_FILE", text("/dev/null")),
    ]
}

/// The arguments of `mlflow`: a server at `host:port` with its database at `postgres` (host and port). No secret is
/// among them.
pub fn mlflow_arguments(host: &str, port: u16, postgres: &str) -> Vec<String> {
    // The driver is named, because SQLAlchemy 2.1 takes another one by default.
    let store = format!("postgresql+psycopg2://{DATABASE}@{postgres}/{DATABASE}");
    let artifacts = format!("s3://{BUCKET}/{PREFIX}");
    let port = port.to_string();
    ["server", "--host", host, "--workers", "1", "--port", &port, "--backend-store-uri", &store]
        .into_iter()
        .chain(["--artifacts-destination", &artifacts])
        .map(str::to_owned)
        .collect()
}

/// Does MLflow at this URL serve, its database included?
pub async fn mlflow_serves(url: &str) -> Result<(), Error> {
    let client = Mlflow::fresh(url, Duration::from_secs(5))?;
    client.health().await?;
    client.post("experiments/search", &json!({ "max_results": 1 })).await.map(|_| ())
}

/// Does the database server answer?
pub async fn postgres_serves(config: &Config) -> Result<(), Error> {
    let client = postgres::connect(config).await?;
    let answer = tokio::time::timeout(postgres::CONNECT, client.simple_query("select 1")).await;
    match answer {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Error::new("cannot ask `postgres`", chain(&error))),
        Err(_) => Err(Error::new("cannot ask `postgres`", "no answer in time")),
    }
}

/// Does the S3 server answer its administrator?
pub async fn s3_serves(root: &Client) -> Result<(), Error> {
    let asked = tokio::time::timeout(Duration::from_secs(3), root.list_buckets().send()).await;
    let asked = asked.map_err(|_| Error::new("cannot list buckets", "no answer in time"))?;
    asked.map(|_| ()).map_err(|e| s3::failure("cannot list buckets", &e))
}

/// Makes the bucket, owned by MLflow's user, with versions.
pub async fn create_bucket(endpoint: &str, secrets: &Secrets) -> Result<(), Error> {
    let what = format!("cannot make the bucket `{BUCKET}`");
    let client = |key: &AccessKey| s3::client(endpoint, &key.access, &key.secret);
    let made = client(&secrets.user).create_bucket().bucket(BUCKET).send().await;
    made.map_err(|e| s3::failure(&what, &e))?;
    let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let request = client(&secrets.root).put_bucket_versioning().bucket(BUCKET).versioning_configuration(versions);
    request.send().await.map(|_| ()).map_err(|e| s3::failure(&what, &e))
}

/// Makes the platform's database.
pub async fn create_database(config: &Config) -> Result<(), Error> {
    let client = postgres::connect(config).await?;
    let made = client.batch_execute(&format!("create database {DATABASE}")).await;
    made.map_err(|e| Error::caused_by(format!("cannot create the database `{DATABASE}`"), e))
}

/// Lets the superuser receive the log and take base backups from wherever it may connect: what images write into
/// `pg_hba.conf` for all addresses covers databases only. Idempotent.
pub async fn allow_replication(config: &Config) -> Result<(), Error> {
    let client = postgres::connect(config).await?;
    let query = "SELECT EXISTS (SELECT FROM pg_hba_file_rules WHERE type LIKE 'host%' AND address = 'all' \
         AND 'replication' = ANY (database)), current_setting('hba_file'), current_user::text";
    let row = postgres::one(&client, query).await?;
    if row.get(0) {
        return Ok(());
    }
    let (file, user): (String, String) = (row.get(1), row.get(2));
    let line = escape_literal(&format!("host replication {} all scram-sha-256", escape_identifier(&user)));
    let program = escape_literal(&format!("cat >> '{}'", file.replace('\'', r"'\''")));
    let write = format!("COPY (SELECT {line}) TO PROGRAM {program}");
    for statement in [write.as_str(), "SELECT pg_reload_conf()"] {
        let done = client.batch_execute(statement).await;
        done.map_err(|e| Error::caused_by("cannot let the administrator replicate", e))?;
    }
    Ok(())
}
