//! `lifeboat completions`: what a shell needs to complete our commands.

use super::console::out;
use super::{Cli, CommandResult, exit};
use clap::CommandFactory;
use clap_complete::{Shell, generate};

/// What `completions` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn main(args: &Args) -> CommandResult {
    let mut bytes = vec![];
    generate(args.shell, &mut Cli::command(), "lifeboat", &mut bytes);
    out(bytes)?;
    Ok(exit::MET)
}
