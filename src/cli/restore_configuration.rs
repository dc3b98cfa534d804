//! `lifeboat restore FILE --only configuration`: opens the sealed configuration of a point and writes it below a new folder.
//!
//! Apart from the other restores because it needs neither an engine nor a server, and a key that is on no other way.

use super::console::{out, say};
use super::failure::Failure;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::protect::{self, OpenedConfiguration};
use crate::report::words;
use crate::repository::RepositorySettings;
use crate::spec::Protection;
use serde_json::json;
use std::path::Path;

/// With what a sealed configuration is opened, and what is done with it.
pub(super) struct WantedConfiguration<'a> {
    /// The file with the secret key.
    pub(super) identity: Option<&'a Path>,
    /// The new directory below which it is written.
    pub(super) into: Option<&'a Path>,
    /// Only list it.
    pub(super) dry_run: bool,
    /// Print what was restored as JSON.
    pub(super) json: bool,
}

pub(super) async fn main(
    protection: &Protection,
    to: &str,
    from: Option<&RepositorySettings>,
    wanted: &WantedConfiguration<'_>,
) -> CommandResult {
    let Some(identity) = wanted.identity else {
        let hint = "add `--identity KEYFILE`, with the secret key of one of its recipients".to_owned();
        return Err(Failure::Usage("the configuration is sealed: with what is it to be opened?".into(), Some(hint)));
    };
    let into = wanted.into.filter(|_| !wanted.dry_run);
    if into.is_none() && !wanted.dry_run {
        let hint = "`--into-directory NEW` writes it below a new directory, `--dry-run` lists it".to_owned();
        return Err(Failure::Usage("where is it to be restored to?".into(), Some(hint)));
    }
    let opened = protect::open_configuration(protection, to, from, identity).await?;
    if let Some(into) = into {
        opened.write(into)?;
    }
    if wanted.json {
        out(written(&opened, into)?)?;
        return Ok(exit::MET);
    }
    for (path, mode, bytes) in opened.paths() {
        let size = bytes.map_or("folder".to_owned(), |bytes| words::bytes(bytes as u64));
        say(format!("  {mode:03o} {size:>9} {}", path.display()));
    }
    let point = format!("the configuration of the point {} of {}", opened.point.id, opened.point.taken_at);
    out(match into {
        Some(into) => format!("{point} is below `{}`", into.display()),
        None => format!("{point} of the repository {} can be opened; nothing was written", opened.repository),
    })?;
    Ok(exit::MET)
}

fn written(opened: &OpenedConfiguration, into: Option<&Path>) -> Result<String, Error> {
    let path = |(path, mode, bytes): (&Path, u32, Option<usize>)| json!({ "path": path, "mode": format!("{mode:03o}"), "bytes": bytes });
    let told = json!({
        "repository": opened.repository, "point": opened.point.id, "taken_at": opened.point.taken_at, "directory": into,
        "files": opened.paths().map(path).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write what was restored", e))
}
