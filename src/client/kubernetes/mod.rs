//! What faults, steps and engines ask of a Kubernetes cluster's API.
//!
//! Apart from the environment `kubernetes`, which makes and removes a platform: these functions know no platform. They
//! are given a namespace and a client.

mod call;
mod connect;
pub mod exec;
pub mod job;
pub mod manifest;
mod namespace;
pub mod nodes;
pub mod permission;
pub mod pods;
mod workload;

pub use call::{CALL, ask, cannot, found, made, refusal, retry, says, why};
pub use connect::connect;
pub use namespace::{COMPONENT, NamespaceClient, RUN, cluster_uid, of_component};
pub use permission::Permission;
pub use workload::{WorkloadKind, WorkloadResource, rolled_out};
