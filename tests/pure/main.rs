//! What needs nothing but this machine: no servers are set up.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../../benches/engine/rows.rs"]
mod rows;

#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/skips.rs"]
mod skips;

mod bad_input;
mod bad_protect;
mod bad_restores;
mod commands;
mod engine_bench;
mod floors;
mod imports;
mod interrupted;
mod messages;
mod order;
mod outages;
mod planned;
mod screens;
mod truth;
