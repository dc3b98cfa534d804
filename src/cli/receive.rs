//! `lifeboat receive`: receives the log of a protection's server as it is written, until it is told to end.
//!
//! Made for a service manager: it says on standard error whatever changes, one line each, and ends at SIGTERM.

use super::console::say;
use super::{CommandResult, exit};
use crate::clock::wall;
use crate::engine::ReceivingNews;
use crate::protect;
use crate::run::Interrupt;
use crate::spec::load_protection;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// What `receive` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The protection's file
    file: PathBuf,
    /// End once all is received that the server had written at the beginning
    #[arg(long)]
    once: bool,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let interrupt = Interrupt::listen()?;
    let (received, stored) = (AtomicBool::new(false), AtomicBool::new(true));
    let tell = |news: &ReceivingNews| {
        let (which, good, said) = match news {
            ReceivingNews::Received(said) => (&received, true, said),
            ReceivingNews::NotReceived(said) => (&received, false, said),
            ReceivingNews::Stored(said) => (&stored, true, said),
            ReceivingNews::NotStored(said) => (&stored, false, said),
        };
        which.store(good, Ordering::SeqCst);
        let mark = if good { "" } else { "warning: " };
        say(format!("{} {mark}{said}", wall().strftime("%FT%TZ")));
    };
    protect::receive(&protection, args.once, interrupt.requested(), &tell).await?;
    let whole = received.load(Ordering::SeqCst) && stored.load(Ordering::SeqCst);
    Ok(if whole { exit::MET } else { exit::MISSED })
}
