//! What the three containers are made of: image, arguments, environment, files, volumes.
//!
//! No secret is among the arguments. Passwords go in as files; the S3 server takes its administrator's key from its
//! environment only, and MLflow its own: who may ask the engine sees them, and could read the files as well.

use super::restart::Restart;
use crate::client::Error;
use crate::client::s3;
use crate::environment::images::Images;
use crate::environment::stack::{self, DATABASE, Secrets};
use std::time::Duration;

/// Where a file with a secret lies in its container: in a folder that every image has.
const SECRET: &str = "/etc/lifeboat-secret";
/// What PostgreSQL's parallel queries may share; Docker's own 64 MiB are too few for big ones.
pub const SHARED_MEMORY: i64 = 256 << 20;

/// Where PostgreSQL's volume is mounted.
const DISK: &str = "/var/lib/postgresql/data";
/// Its data directory: below the top of its volume, where another can lie beside it.
pub const DATA: &str = "/var/lib/postgresql/data/pgdata";

/// What a container is made of.
pub struct ContainerSpec {
    /// The component's name.
    pub name: &'static str,
    /// The image.
    pub image: String,
    /// The port it serves at, inside.
    pub port: u16,
    /// Its environment.
    pub environment: Vec<(&'static str, String)>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// A file with its path and mode; its owner is root.
    pub file: (&'static str, String, u32),
    /// Where its volumes are mounted.
    pub volumes: &'static [&'static str],
    /// Whether the engine starts it again when it ends by itself.
    pub restart: Restart,
    /// Who runs it; the image's own user if nobody is named.
    pub user: Option<&'static str>,
    /// How long a start may take.
    pub start_limit: Duration,
}

/// The port that a component serves at inside of its container.
pub fn inner_port(component: &str) -> u16 {
    match component {
        "postgres" => 5432,
        "s3" => 7070,
        _ => 5000,
    }
}

/// Where a component's volumes are mounted inside of its container.
pub fn volumes(component: &str) -> &'static [&'static str] {
    match component {
        "postgres" => &[DISK],
        "s3" => &["/data", "/versions"],
        _ => &[],
    }
}

/// PostgreSQL's: made as the other environments make it, with the superuser let in without a password on the inner socket.
pub fn postgres(images: &Images, restart: Restart, secrets: &Secrets) -> ContainerSpec {
    ContainerSpec {
        name: "postgres",
        image: images.of("postgres"),
        port: inner_port("postgres"),
        environment: vec![
            ("PGDATA", DATA.into()),
            ("POSTGRES_USER", DATABASE.into()),
            ("POSTGRES_PASSWORD_FILE", SECRET.into()),
            ("POSTGRES_INITDB_ARGS", "-E UTF8 --locale=C -N -k".into()),
            ("POSTGRES_HOST_AUTH_METHOD", "scram-sha-256".into()),
        ],
        arguments: ["postgres", "-c", stack::CONNECTIONS, "-c", stack::SLOTS].map(str::to_owned).to_vec(),
        // For all to read, because some images read it when they no longer are root.
        file: (SECRET, secrets.database.clone(), 0o444),
        volumes: volumes("postgres"),
        restart,
        user: None,
        start_limit: Duration::from_mins(2), // replaying the log of a killed server takes its time
    }
}

/// The S3 server's, with MLflow's user beside its administrator.
pub fn s3(images: &Images, restart: Restart, secrets: &Secrets) -> ContainerSpec {
    let arguments = ["--port", ":7070", "--keep-alive", "--quiet", "--health", "/health", "--iam-cache-disable"];
    let backend = ["--iam-dir", "/iam", "posix", "--versioning-dir", "/versions", "/data"];
    ContainerSpec {
        name: "s3",
        image: images.of("s3"),
        port: inner_port("s3"),
        environment: vec![
            ("ROOT_ACCESS_KEY_ID", secrets.root.access.clone()),
            ("ROOT_SECRET_ACCESS_KEY", secrets.root.secret.clone()),
        ],
        arguments: arguments.into_iter().chain(backend).map(str::to_owned).collect(),
        file: ("/iam/users.json", secrets.users(), 0o600),
        volumes: volumes("s3"),
        restart,
        user: None,
        start_limit: Duration::from_secs(30),
    }
}

/// MLflow's, which finds the other two by their names.
pub fn mlflow(images: &Images, restart: Restart, secrets: &Secrets) -> ContainerSpec {
    let at = |component: &str| format!("{component}:{}", inner_port(component));
    let port = inner_port("mlflow");
    let mut environment = stack::mlflow_variables(&format!("http://{}", at("s3")), &secrets.user);
    environment.push(("PGPASSFILE", SECRET.into()));
    let mut arguments = vec!["mlflow".to_owned()];
    arguments.extend(stack::mlflow_arguments("0.0.0.0", port, &at("postgres")));
    // MLflow 3 answers 403 to whoever calls it by a name that it was not told.
    arguments.extend(["--allowed-hosts", "*"].map(str::to_owned));
    ContainerSpec {
        name: "mlflow",
        image: images.of("mlflow"),
        port,
        environment,
        arguments,
        // PostgreSQL's library takes no file that others may read, and the copied file is root's.
        file: (SECRET, secrets.passfile("postgres"), 0o600),
        volumes: volumes("mlflow"),
        restart,
        user: Some("0"),
        start_limit: Duration::from_mins(3), // 5 s on an idle machine; over 60 s were seen on two busy cores
    }
}

/// Does the component at this port of the machine serve its clients?
pub async fn serves(component: &str, port: u16, secrets: &Secrets) -> Result<(), Error> {
    match component {
        "postgres" => stack::postgres_serves(&secrets.config("127.0.0.1", port, DATABASE)).await,
        "s3" => stack::s3_serves(&administrator(port, secrets)).await,
        _ => stack::mlflow_serves(&endpoint(port)).await,
    }
}

/// The S3 client of the administrator.
pub fn administrator(port: u16, secrets: &Secrets) -> aws_sdk_s3::Client {
    s3::client(&endpoint(port), &secrets.root.access, &secrets.root.secret)
}

/// The URL of a port of this machine.
pub fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
