//! MLflow of the local platform, with the other two behind it.
//!
//! No secret is among its arguments: the database's password is in a file, the S3 key in its environment.

use super::component::Program;
use super::credentials::SharedSecrets;
use super::setup::Wheels;
use super::versitygw::endpoint;
use crate::client::Error;
use crate::environment::stack;
use crate::environment::tools::scrub;
use async_trait::async_trait;
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// MLflow and what it needs.
pub const WHEELS: Wheels = Wheels {
    name: "mlflow",
    says: "installing MLflow 3.17.2 (once, about a minute)",
    requirements: include_str!("requirements.txt"),
};

/// An MLflow server of one run.
pub struct MlflowServer {
    /// Its virtual environment.
    pub venv: PathBuf,
    /// PostgreSQL's port.
    pub postgres: u16,
    /// The file with PostgreSQL's password.
    pub passfile: PathBuf,
    /// The S3 server's port.
    pub s3: u16,
    /// With its key there, as that is when the server starts.
    pub secrets: SharedSecrets,
}

#[async_trait]
impl Program for MlflowServer {
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
        command
            .env("PGPASSFILE", &self.passfile)
            .envs(stack::mlflow_variables(&endpoint(self.s3), &self.secrets.get().user));
        command.args(stack::mlflow_arguments("127.0.0.1", port, &format!("127.0.0.1:{}", self.postgres)));
        command
    }

    async fn ready(&self, port: u16) -> Result<(), Error> {
        stack::mlflow_serves(&endpoint(port)).await
    }

    fn start_limit(&self) -> Duration {
        Duration::from_mins(3) // 5 s on an idle machine; over 60 s were seen on two cores with a load of 15
    }

    fn stop_signal(&self) -> (Signal, bool) {
        (Signal::TERM, true)
    }
}
