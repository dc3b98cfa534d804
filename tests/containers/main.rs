//! The platform of containers, and what acts on it.
//!
//! Without an engine these tests say so and pass; `LIFEBOAT_TEST_CONTAINERS=require` makes them fail instead.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../support/beside.rs"]
mod beside;
#[path = "../support/disks.rs"]
mod disks;
#[path = "../support/fixture.rs"]
mod fixture;
#[path = "../support/killed.rs"]
mod killed;
#[path = "../support/notes.rs"]
mod notes;
#[path = "../support/services.rs"]
mod services;
#[path = "../support/skips.rs"]
mod skips;
#[path = "../support/strike.rs"]
mod strike;

mod cleanup;
mod platform;
mod removal;
mod volumes;
