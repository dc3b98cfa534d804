//! `lifeboat check`: what is wrong with files, all of it.

use super::console::out;
use super::exit;
use crate::plan;
use std::path::PathBuf;

/// What `check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Drill or scenario files; a drill is checked together with its scenario
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Check drills as if they named this environment
    #[arg(long, value_name = "KIND")]
    environment: Option<String>,
}

pub(super) fn main(args: &Args) -> u8 {
    let mut code = exit::MET;
    for file in &args.files {
        match plan::check(file, args.environment.as_deref()) {
            Ok(()) => out(format!("{}: OK", file.display())),
            Err(wrong) => {
                eprintln!("{wrong}");
                code = exit::USAGE;
            }
        }
    }
    code
}
