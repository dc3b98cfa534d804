//! Lifeboat rehearses the loss of an ML platform and proves, from outside, how long it was gone and what was lost.
//!
//! Data flows in one direction: `spec → plan → run → measure → report`. The floors, from the ground up; imports point
//! down only, and a test holds that: `clock node kind model outside` · `store client` · `environment measure report repository` ·
//! `fault engine workload probe check` · `recovery` · `spec plan protect` · `run` · `cli`. `README.md` beside this file has a
//! glossary.

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
pub mod outside;
pub mod plan;
pub mod probe;
pub mod protect;
pub mod recovery;
pub mod report;
pub mod repository;
pub mod run;
pub mod spec;
pub mod store;
pub mod workload;
