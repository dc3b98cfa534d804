//! The local platform, and what acts on it: real servers as processes of this machine.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/disks.rs"]
mod disks;
#[path = "../support/killed.rs"]
mod killed;
#[path = "../support/notes.rs"]
mod notes;
#[path = "../support/object_store.rs"]
mod object_store;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/services.rs"]
mod services;
#[path = "../support/skips.rs"]
mod skips;
#[path = "../support/strike.rs"]
mod strike;

mod artifacts;
mod backups_attacked;
mod by_commands;
mod checks;
mod cleanup;
mod drill_repositories;
mod engine;
mod failures;
mod install;
mod isolation;
mod lies;
mod model;
mod model_elsewhere;
mod physical;
mod physical_fixture;
mod physical_session;
mod platform;
mod policy;
mod proof;
mod protection;
mod protection_artifacts;
mod protection_configuration;
mod protection_killed;
mod protection_locked;
mod protection_physical;
mod protection_physical_fixture;
mod protection_tls;
mod protection_versions;
mod re_point;
mod repository;
mod rollback;
mod seed;
