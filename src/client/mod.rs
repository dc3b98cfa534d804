//! How Lifeboat talks to the world: MLflow, PostgreSQL, S3, containers, processes. No judgement here.

pub mod access;
pub mod containers;
mod error;
pub mod experiments;
mod foreign_keys;
pub mod gateway;
pub mod kubernetes;
pub mod log;
pub mod mlflow;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod re_point;
pub mod registered;
mod running;
pub mod s3;
pub mod shell;
pub mod tasks;
pub mod tls;
mod until;

pub use error::{Error, ErrorKind, chain};
pub use foreign_keys::{ForeignKey, NamedForeignKey, deletions, foreign_keys, named_foreign_keys};
pub use running::{Ended, Running};
pub use s3::versions;
pub use until::{Overdue, until, until_none};
