//! The container engine's API (Docker's, which Podman speaks too): calls, commands inside containers, logs.
//!
//! Apart from the environment of containers, whose names, labels and images are its own.

mod engine;
mod exec;
mod logs;

pub use engine::{ContainerEngine, HINT, LIMIT, ask, no_answer, settle, status};
pub use exec::{exec, exec_as};
pub use logs::{tail, write};
