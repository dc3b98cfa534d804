//! MLflow of the local platform, with the other two behind it.
//!
//! No secret is among its arguments: the database's password is in a file, the S3 key in its environment.

use super::component::{Program, scrub};
use super::setup::Wheels;
use super::versitygw::{BUCKET, Key, endpoint};
use crate::client::Trouble;
use crate::client::mlflow::Mlflow as Client;
use crate::client::s3::REGION;
use async_trait::async_trait;
use rustix::process::Signal;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What stands before MLflow's artifact paths in the bucket.
pub const PREFIX: &str = "artifacts";

/// MLflow and what it needs.
pub const WHEELS: Wheels = Wheels {
    name: "mlflow",
    says: "installing MLflow 3.17.2 (once, about a minute)",
    requirements: include_str!("requirements.txt"),
};

/// An MLflow server of one run.
pub struct Mlflow {
    /// Its virtual environment.
    pub venv: PathBuf,
    /// PostgreSQL's port.
    pub postgres: u16,
    /// The file with PostgreSQL's password.
    pub passfile: PathBuf,
    /// The S3 server's port.
    pub s3: u16,
    /// Its key there.
    pub key: Key,
}

#[async_trait]
impl Program for Mlflow {
    fn name(&self) -> &'static str {
        "mlflow"
    }

    fn command(&self, port: u16) -> Command {
        let bin = self.venv.join("bin");
        let mut command = Command::new(bin.join("mlflow"));
        scrub(&mut command);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path)));
        command.envs(path.ok().map(|path| ("PATH", path)));
        // The runner of jobs starts seven more processes and takes a gigabyte (MLflow 3.17).
        command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
        command.env("MLFLOW_DISABLE_TELEMETRY", "true").env("DO_NOT_TRACK", "true").env("PYTHONUNBUFFERED", "1");
        command.env("PGPASSFILE", &self.passfile).env("MLFLOW_S3_ENDPOINT_URL", endpoint(self.s3));
        command.env("AWS_ACCESS_KEY_ID", &self.key.access).env("AWS_SECRET_ACCESS_KEY", &self.key.secret);
        command.env("AWS_DEFAULT_REGION", REGION).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.args(["server", "--host", "127.0.0.1", "--workers", "1", "--port"]).arg(port.to_string());
        // The driver is named, because SQLAlchemy 2.1 takes another one by default.
        let store = format!("postgresql+psycopg2://mlflow@127.0.0.1:{}/mlflow", self.postgres);
        command.arg("--backend-store-uri").arg(store);
        command.arg("--artifacts-destination").arg(format!("s3://{BUCKET}/{PREFIX}"));
        command
    }

    async fn ready(&self, port: u16) -> Result<(), Trouble> {
        let client = Client::fresh(&endpoint(port), Duration::from_secs(5))?;
        client.health().await?;
        client.post("experiments/search", &json!({ "max_results": 1 })).await.map(|_| ())
    }

    fn patience(&self) -> Duration {
        Duration::from_mins(3) // 5 s on an idle machine; over 60 s were seen on two cores with a load of 15
    }

    fn gentle(&self) -> (Signal, bool) {
        (Signal::TERM, true)
    }
}
