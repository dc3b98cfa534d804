//! A platform in a real cluster: set up, hurt in every way, removed; and removed when its maker is gone.
//!
//! The cluster is the one that `LIFEBOAT_TEST_KUBECONFIG` names; without it these tests say so and pass, unless
//! `LIFEBOAT_TEST_CLUSTER=require`. Nodes are lost in `alone/nodes.rs`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../support/beside.rs"]
mod beside;
#[path = "../support/disks.rs"]
mod disks;
#[path = "../support/killed.rs"]
mod killed;
#[path = "../support/notes.rs"]
mod notes;
#[path = "../support/services.rs"]
mod services;
#[path = "../support/skips.rs"]
mod skips;
#[path = "../support/steps.rs"]
mod steps;
#[path = "../support/strike.rs"]
mod strike;

mod access;
mod cleanup;
mod failures;
mod faults;
mod fixture;
mod job;
mod kept;
mod lock;
mod platform;
mod role;
mod standing;
