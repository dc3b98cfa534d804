//! Lifeboat rehearses the loss of an ML platform and proves, from outside, how long it was gone and what was lost.
//!
//! One direction of data: `spec → plan → run → measure → render`. Floors, from the ground up; imports point down
//! only, and a test holds that: `clock node kind model` · `store client` · `environment measure report` ·
//! `fault engine workload probe check` · `recovery` · `spec survey plan` · `run` · `cli`.

pub mod check;
pub mod cli;
pub mod client;
pub mod clock;
pub mod engine;
pub mod environment;
pub mod fault;
pub mod kind;
pub mod measure;
pub mod model;
pub mod node;
pub mod plan;
pub mod probe;
pub mod recovery;
pub mod report;
pub mod run;
pub mod spec;
pub mod store;
pub mod workload;
