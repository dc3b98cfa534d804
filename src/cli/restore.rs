//! `lifeboat restore`: the way out where a run left a standing platform broken, or a point of a protection.

use super::find::{Reports, find_run, run_name};
use super::progress::Progress;
use super::restore_protection::{self, OfProtection, is_protection};
use super::talk::Talk;
use super::{CommandResult, exit};
use crate::run::ByHand;
use std::sync::Arc;

/// What `restore` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's folder or name, or a protection's file (`.yaml`)
    run: String,
    /// The recovery point; by default the newest from before the loss
    point: Option<String>,
    /// Restore nothing: you have brought back what was lost; put back only the rest
    #[arg(long, conflicts_with = "point")]
    done: bool,
    #[command(flatten)]
    protection: OfProtection,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    reports: Reports,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    if is_protection(&args.run) {
        return restore_protection::main(&args.run, &args.protection).await;
    }
    let folder = find_run(&args.reports.folder, &args.run)?;
    let what = if args.done { ByHand::Done } else { ByHand::Point(args.point.clone()) };
    let left = crate::run::restore(&folder, what, Arc::new(Progress::plain(args.talk))).await?;
    for thing in &left {
        eprintln!("left behind: {}: {thing}", run_name(&folder));
    }
    if left.is_empty() {
        eprintln!("restored; nothing is left of the run but its folder");
    }
    Ok(if left.is_empty() { exit::MET } else { exit::LEFT })
}
