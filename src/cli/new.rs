//! `lifeboat new`: writes a commented first drill or scenario, to be changed as needed.

use super::console::{out, say};
use super::{CommandResult, Failure, exit};
use crate::client::Error;
use crate::{plan, spec};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What `new` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to write: a drill goes to drills/NAME.yaml, with a scenario of the same name if there is none yet; a
    /// scenario goes to scenarios/NAME.yaml
    what: FileKind,
    /// Its name: small letters, digits and hyphens
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum FileKind {
    /// Where, with which backups, watched how, and what is promised
    Drill,
    /// What goes wrong, and the runbook that mends it
    Scenario,
}

impl FileKind {
    fn path(self, name: &str) -> PathBuf {
        let folder = match self {
            Self::Drill => "drills",
            Self::Scenario => "scenarios",
        };
        Path::new(folder).join(format!("{name}.yaml"))
    }

    fn text(self, name: &str) -> String {
        let template = match self {
            Self::Drill => include_str!("new/drill.yaml"),
            Self::Scenario => include_str!("new/scenario.yaml"),
        };
        template.replace("NAME", name)
    }
}

pub(super) fn main(args: &Args) -> CommandResult {
    let name = args.name.as_str();
    if !spec::is_name(name) {
        let hint = "use small letters, digits and hyphens".to_owned();
        return Err(Failure::Usage(format!("`{name}` is no name for a file"), Some(hint)));
    }
    write(args.what, name)?;
    if args.what == FileKind::Drill && !FileKind::Scenario.path(name).exists() {
        write(FileKind::Scenario, name)?;
    }
    let path = args.what.path(name);
    plan::check(&path, None)?; // a scenario that was there may need another environment
    let shown = path.display();
    match args.what {
        FileKind::Drill => say(format!("next: `lifeboat plan {shown}`, then `lifeboat run {shown}`")),
        FileKind::Scenario => say(format!("next: `lifeboat new drill {name}` writes a drill for it")),
    }
    Ok(exit::MET)
}

/// Writes a file where there is none.
fn write(what: FileKind, name: &str) -> Result<(), Failure> {
    let path = what.path(name);
    let cannot = |error| Error::caused_by(format!("cannot write `{}`", path.display()), error);
    fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).map_err(cannot)?;
    let mut file = match fs::File::create_new(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let hint = "choose another name, or remove that file first".to_owned();
            return Err(Failure::Usage(format!("`{}` is there already", path.display()), Some(hint)));
        }
        made => made.map_err(cannot)?,
    };
    file.write_all(what.text(name).as_bytes()).map_err(cannot)?;
    out(path.display().to_string())?;
    Ok(())
}
