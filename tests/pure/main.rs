//! What needs nothing but this machine: no servers are set up.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod bad_input;
mod commands;
mod floors;
mod imports;
mod messages;
mod order;
mod outages;
mod screens;
mod truth;
