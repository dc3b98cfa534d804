//! The folder of a run on this machine: it holds the file with the database's password.

use crate::client::Error;
use crate::store;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file that says to which run a folder belongs.
const MARKER: &str = ".lifeboat-run";

/// The folder on this machine with the file of the database's password.
pub fn folder(run: &str) -> PathBuf {
    store::state().join(run)
}

/// Makes that folder.
pub fn make_folder(run: &str, passfile: &str) -> Result<(), Error> {
    let folder = folder(run);
    let make = || {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(MARKER), run)?;
        store::replace_private(&folder.join("passfile"), passfile.as_bytes()) // a dead run may have made it
    };
    make().map_err(|e| Error::caused_by(format!("cannot make `{}`", folder.display()), e).hint("set LIFEBOAT_STATE"))
}

/// Removes a folder of this run; one that does not say so stays.
pub fn remove_folder(folder: &Path, run: &str) -> Option<String> {
    let mark = fs::read_to_string(folder.join(MARKER));
    let removed = match mark {
        Ok(name) if name == run => fs::remove_dir_all(folder),
        _ => fs::remove_dir(folder),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Some(format!("folder `{}`: {error}", folder.display())),
        _ => None,
    }
}
