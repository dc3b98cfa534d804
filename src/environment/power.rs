//! The powers: what a fault, a step, an engine, a probe or a check may ask of the platform.
//!
//! Apart because they are the whole contract between those seams and the environments: whoever asks for a power
//! never asks where it is. An environment that lacks one answers with an error that says so, and the plan has refused
//! whatever needs it long before.

use super::stack;
use crate::client::kubernetes::NamespaceClient;
use crate::client::{Error, Running};
use crate::model::Finding;
use async_trait::async_trait;
use kube::core::DynamicObject;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Something that a fault, step or engine may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// Kill, stop, pause and start a component.
    Components,
    /// Run a command inside a component.
    Exec,
    /// Cut two components off from each other.
    Network,
    /// See and limit the memory of a component.
    Memory,
    /// See and limit the processors of a component.
    Cpu,
    /// Take the disks of a component away.
    Disks,
    /// Put a new data directory beside that of a component, and swap the two.
    Volumes,
    /// Remove the container of a component.
    Removal,
    /// MLflow's endpoint, as clients use it.
    Mlflow,
    /// An administrator's connection to the database server.
    Sql,
    /// An administrator's S3 client.
    Objects,
    /// The bucket's policy, which binds MLflow's own key.
    Policies,
    /// Revoke MLflow's own key at the S3 server.
    Keys,
    /// Replace the platform's own passwords and secrets.
    Credentials,
    /// A cluster's API and a namespace in it.
    Cluster,
    /// The power switch and the cable of a node.
    Nodes,
}

impl Power {
    /// The error of asking for it where it is not.
    pub fn lacking(self) -> Error {
        Error::new(format!("the power `{self}`"), "this environment lacks it")
    }
}

/// Power over components. Every call is idempotent; each returns when its effect is there.
#[async_trait]
pub trait Components: Send + Sync {
    /// What identifies the running instance, so that a restart can be told from none: a text, plain data.
    async fn instance(&self, component: &str) -> Result<Option<String>, Error>;
    /// Ends it at once, with all its processes. Some environments start it again by themselves.
    async fn kill(&self, component: &str) -> Result<(), Error>;
    /// Ends it in good order; it stays away until it is started.
    async fn stop(&self, component: &str) -> Result<(), Error>;
    /// Starts it, if it does not run; returns when it is ready for clients. What was removed of it is made anew.
    async fn start(&self, component: &str) -> Result<(), Error>;
    /// Freezes it with all its processes.
    async fn pause(&self, component: &str) -> Result<(), Error>;
    /// Lets it go on; nothing if it is not paused.
    async fn resume(&self, component: &str) -> Result<(), Error>;
    /// Met if it runs and is not frozen; missed if it is gone or frozen, with the reason.
    async fn alive(&self, component: &str) -> Finding;
}

/// Power to run commands inside components.
#[async_trait]
pub trait Exec: Send + Sync {
    /// Starts a command inside a component, as the component's administrator.
    async fn exec(&self, component: &str, command: &[&str]) -> Result<Running, Error>;
}

/// Power over the network between components; clients outside still reach both. Every call is idempotent.
#[async_trait]
pub trait Network: Send + Sync {
    /// Cuts two components off from each other.
    async fn cut(&self, one: &str, other: &str) -> Result<(), Error>;
    /// Connects them again; nothing if they are connected.
    async fn mend(&self, one: &str, other: &str) -> Result<(), Error>;
    /// Met if one can reach the other, seen from inside `one`; missed if not, with the reason.
    async fn reaches(&self, one: &str, other: &str) -> Finding;
}

/// What a component takes of the memory it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// Bytes in use.
    pub used: u64,
    /// Bytes allowed; no limit if nothing.
    pub limit: Option<u64>,
    /// Has the kernel killed this instance, or one before it, for want of memory?
    pub killed: bool,
}

/// Power over a component's memory.
#[async_trait]
pub trait Memory: Send + Sync {
    /// What it takes and may take.
    async fn memory(&self, component: &str) -> Result<MemoryUse, Error>;
    /// Sets or takes away what it may take; idempotent.
    async fn limit(&self, component: &str, bytes: Option<u64>) -> Result<(), Error>;
}

/// What a component takes of the processors it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuUse {
    /// Thousandths of a processor that it may take; no limit if nothing.
    pub limit: Option<u64>,
    /// In how many of its periods, of 100 ms by default, the kernel has held this instance back.
    pub throttled: u64,
}

/// Power over a component's share of the processors.
#[async_trait]
pub trait Cpu: Send + Sync {
    /// What it may take, and how often it wanted more.
    async fn cpu(&self, component: &str) -> Result<CpuUse, Error>;
    /// Sets what it may take, in thousandths of a processor, or takes the limit away; idempotent.
    async fn throttle(&self, component: &str, limit: Option<u64>) -> Result<(), Error>;
}

/// Power over the disks of components: over what outlives their processes.
#[async_trait]
pub trait Disks: Send + Sync {
    /// What identifies each disk that the component has by now, so that a new one can be told from the one that stood
    /// in its place: texts, plain data. Empty if it has none.
    async fn disks(&self, component: &str) -> Result<Vec<String>, Error>;
    /// Takes these disks of the component away with all that they hold, and the component with them; returns when they
    /// are gone. No other disk is touched; idempotent. The component starts again on new, empty disks: by itself where
    /// the environment does that, else when it is started.
    async fn lose(&self, component: &str, disks: &[String]) -> Result<(), Error>;
}

/// Power over the containers that components run in.
#[async_trait]
pub trait Removal: Send + Sync {
    /// What identifies the component's container, whether it runs or not: a text, plain data. Nothing if there is none.
    async fn container(&self, component: &str) -> Result<Option<String>, Error>;
    /// Removes this container of the component, at once, and no other; its disks stay. Returns when it is gone;
    /// idempotent. `start` makes another.
    async fn remove_container(&self, component: &str, container: &str) -> Result<(), Error>;
}

/// An administrator's connection to the database server.
#[async_trait]
pub trait Sql: Send + Sync {
    /// The name of the platform's database.
    fn database(&self) -> &str {
        stack::DATABASE
    }
    /// Connects, to a database of the server.
    async fn connect(&self, database: &str) -> Result<tokio_postgres::Client, Error>;
    /// Starts a client tool of the server's own version (`pg_dump`, `pg_restore`), told where the server is and who
    /// the administrator is. No secret is among its arguments.
    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error>;
}

/// An administrator's S3 client.
pub trait Objects: Send + Sync {
    /// The client.
    fn s3(&self) -> &aws_sdk_s3::Client;
    /// The bucket of the artifacts.
    fn bucket(&self) -> &str {
        stack::BUCKET
    }
    /// What stands before MLflow's own artifact paths in the bucket, without a slash at its end.
    fn prefix(&self) -> &str {
        stack::PREFIX
    }
}

/// MLflow's own key at the S3 server. It is not the administrator's: that one no policy binds.
pub trait MlflowKey: Send + Sync {
    /// Its id, by which a policy names it.
    fn id(&self) -> &str;
    /// A client that uses it as it is now.
    fn s3(&self) -> aws_sdk_s3::Client;
}

/// The policy of the artifacts' bucket, on a server where policies bind MLflow's key. Not every server's do.
pub trait BucketPolicies: MlflowKey {
    /// The right policy: the one that the bucket had when the platform stood; nothing if it had none.
    ///
    /// # Errors
    /// If it could not be read then.
    fn intended(&self) -> Result<Option<&str>, Error>;
}

/// Power over MLflow's key at the S3 server. Every call is idempotent.
#[async_trait]
pub trait ServerKeys: MlflowKey {
    /// Revokes it: the server knows it no longer.
    async fn revoke(&self) -> Result<(), Error>;
    /// Makes it valid again, with the same secret.
    async fn restore(&self) -> Result<(), Error>;
}

/// How whoever knows credentials that were replaced would connect with them, to see that they are refused.
pub struct OldCredentials {
    /// To the database.
    pub database: tokio_postgres::Config,
    /// To the S3 server, as MLflow.
    pub s3: aws_sdk_s3::Client,
}

/// Power over the platform's own credentials.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Replaces the password of the database and the secret of MLflow's key, and ends the sessions that the old password
    /// opened. Lifeboat uses the new ones at once, MLflow from its next start on. Carried out again, it replaces them again.
    async fn rotate(&self) -> Result<OldCredentials, Error>;
}

/// A cluster's API, as seen from the platform's namespace.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The platform's namespace, with the client that reaches it.
    fn namespace(&self) -> &NamespaceClient;
    /// All that makes up the platform's namespace, in the order in which it can be created: the namespace itself,
    /// then secrets, config maps, claims, services and workloads. A lost namespace is created anew from this.
    fn manifests(&self) -> &[DynamicObject];
    /// The run's folder of logs.
    fn logs(&self) -> PathBuf;
    /// A job of this name will be created in the namespace; on disk when this returns, so that `cleanup` removes it
    /// where the namespace stays.
    async fn creating_job(&self, _name: &str) -> Result<(), Error> {
        Ok(())
    }
    /// The nodes that carried the platform when a fault was injected, with their UIDs; none if that is not known.
    fn carried(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// Power over the machines of a cluster, by whoever owns them. Every call is idempotent.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Takes its power away, at once.
    async fn power_off(&self, node: &str) -> Result<(), Error>;
    /// Gives it power again.
    async fn power_on(&self, node: &str) -> Result<(), Error>;
    /// Cuts it off the network.
    async fn cut_off(&self, node: &str) -> Result<(), Error>;
    /// Connects it again.
    async fn connect(&self, node: &str) -> Result<(), Error>;
}
