//! What no other test may run beside: the container engine and the cluster's nodes are taken away.
//!
//! In a program of its own, since the programs of tests run one after the other. Its own tests may run side by side: one
//! takes the engine away, others nodes in turn, and neither needs what the other takes.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/fixture.rs"]
mod fixture;
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

mod engine_lost;
mod hanging_switch;
mod nodes;
