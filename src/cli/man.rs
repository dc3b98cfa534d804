//! `lifeboat man`: the manual pages, made from the same source as `--help`.

use super::console::{out, say};
use super::{Cli, CommandResult, exit};
use crate::client::Error;
use clap::CommandFactory;
use std::path::PathBuf;

/// What `man` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder that all pages are written into; without it the main page is printed
    folder: Option<PathBuf>,
}

pub(super) fn main(args: &Args) -> CommandResult {
    let cli = Cli::command().name("lifeboat");
    let Some(folder) = &args.folder else {
        let mut page = vec![];
        clap_mangen::Man::new(cli).render(&mut page).map_err(|e| Error::caused_by("cannot make the page", e))?;
        out(page)?;
        return Ok(exit::MET);
    };
    let cannot = |e| Error::caused_by(format!("cannot write the pages into `{}`", folder.display()), e);
    std::fs::create_dir_all(folder).map_err(cannot)?;
    clap_mangen::generate_to(cli, folder).map_err(cannot)?;
    say(format!("the pages are in {}", folder.display()));
    Ok(exit::MET)
}
