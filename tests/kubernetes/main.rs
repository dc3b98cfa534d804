//! A platform in a real cluster: set up, hurt in every way, removed; and removed when its maker is gone.
//!
//! The cluster is the one that `LIFEBOAT_TEST_KUBECONFIG` names; without it these tests say so and pass, unless
//! `LIFEBOAT_TEST_CLUSTER=require`.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/notes.rs"]
mod notes;
#[path = "../support/services.rs"]
mod services;

mod access;
mod failures;
mod fixture;
mod platform;
mod role;
