//! The configuration of a platform: gathered and sealed before a backup, opened and written after a loss.
//!
//! Apart because its bytes are secrets. They are sealed on this machine, for recipients of age whose keys are elsewhere,
//! before they go anywhere: whoever has the repository and its password, or this machine, cannot read what was kept
//! before. It is one archive (`tar`) in one sealed file, so `age -d` and `tar` open it without Lifeboat.

use super::restore::goal;
use super::{on_nothing, points_of};
use crate::client::{Error, ErrorKind};
use crate::engine::{CONFIGURATION, RestorePlan, SealedConfiguration};
use crate::environment;
use crate::model::RecoveryPoint;
use crate::repository::{OpenRepository, Patience, RepositorySettings};
use crate::spec::{Configuration, Protection, Seal};
use age::x25519::Recipient;
use age::{DecryptError, Decryptor, Encryptor, IdentityFile};
use futures::StreamExt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use tokio::io::AsyncReadExt;
use tokio_tar::{Archive, Builder, EntryType, Header};

/// A configuration has no more bytes than this: it is held in memory.
const MOST: u64 = 64 * 1024 * 1024;

/// A file or a folder of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ConfigurationEntry {
    /// Its path on the machine that took the backup, without the slash at its beginning.
    path: PathBuf,
    mode: u32,
    /// Nothing of a folder.
    bytes: Option<Vec<u8>>,
}

/// A configuration that was opened and is not written yet.
pub struct OpenedConfiguration {
    /// The repository that it is from.
    pub repository: String,
    /// The point that it is from.
    pub point: RecoveryPoint,
    entries: Vec<ConfigurationEntry>,
}

/// Gathers the files and seals them.
///
/// # Errors
/// When one cannot be read, or is neither a file nor a folder; when there is no recipient.
pub(super) async fn seal(configuration: &Configuration) -> Result<SealedConfiguration, Error> {
    let recipients = recipients(&configuration.seal)?;
    let mut gathered = Gathered { entries: vec![], left: MOST };
    for path in &configuration.files {
        let what = || format!("cannot keep the configuration `{}`", path.display());
        let whole = std::path::absolute(path).map_err(|e| Error::caused_by(what(), e))?;
        gathered.add(&whole).map_err(|e| Error::caused_by(what(), e))?;
    }
    let what = "cannot seal the configuration";
    let archive = archive(&gathered.entries).await.map_err(|e| Error::caused_by(what, e))?;
    let encryptor = Encryptor::with_recipients(recipients.iter().map(|recipient| recipient as _));
    let encryptor = encryptor.map_err(|e| Error::new(what, e))?;
    let sealed = || {
        let mut writer = encryptor.wrap_output(vec![])?;
        writer.write_all(&archive)?;
        writer.finish()
    };
    sealed().map(SealedConfiguration).map_err(|e| Error::caused_by(what, e))
}

fn recipients(seal: &Seal) -> Result<Vec<Recipient>, Error> {
    let mut lines = seal.age.clone();
    if let Some(path) = &seal.recipients {
        let what = format!("cannot read the recipients in `{}`", path.display());
        let text = fs::read_to_string(path).map_err(|e| Error::caused_by(what, e))?;
        lines.extend(text.lines().map(|line| line.trim().to_owned()));
    }
    lines.retain(|line| !line.is_empty() && !line.starts_with('#'));
    let what = "cannot seal the configuration";
    let parsed = lines.iter().map(|line| line.parse().map_err(|_| Error::new(what, "a line is no recipient of age")));
    let recipients: Vec<Recipient> = parsed.collect::<Result<_, _>>()?;
    if recipients.is_empty() {
        return Err(Error::new(what, "there is no recipient, and in the clear it is not kept"));
    }
    Ok(recipients)
}

/// What was found so far, and how many bytes may follow.
struct Gathered {
    entries: Vec<ConfigurationEntry>,
    left: u64,
}

impl Gathered {
    /// A file, or a folder with all that is in it. A link to a file is kept as that file.
    fn add(&mut self, whole: &Path) -> io::Result<()> {
        let (found, name) = (fs::metadata(whole)?, whole.display().to_string());
        let path = whole.strip_prefix("/").unwrap_or(whole).to_owned();
        let mode = found.permissions().mode() & 0o777;
        if found.is_dir() {
            self.entries.push(ConfigurationEntry { path, mode, bytes: None });
            let mut entries = fs::read_dir(whole)?.collect::<io::Result<Vec<_>>>()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let inner = entry.path();
                if inner.is_symlink() && inner.is_dir() {
                    let why = format!("`{}` is a link to a folder: name that folder too, or move it", inner.display());
                    return Err(io::Error::other(why));
                }
                self.add(&inner)?;
            }
            return Ok(());
        }
        if !found.is_file() {
            return Err(io::Error::other(format!("`{name}` is neither a file nor a folder")));
        }
        let mut bytes = vec![];
        fs::File::open(whole)?.take(self.left + 1).read_to_end(&mut bytes)?;
        let most = || io::Error::other(format!("it has more than {} MiB: is that configuration?", MOST / 1024 / 1024));
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(most)?;
        self.entries.push(ConfigurationEntry { path, mode, bytes: Some(bytes) });
        Ok(())
    }
}

async fn archive(entries: &[ConfigurationEntry]) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(vec![]);
    for ConfigurationEntry { path, mode, bytes } in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(if bytes.is_some() { EntryType::Regular } else { EntryType::Directory });
        header.set_mode(*mode);
        let bytes = bytes.as_deref().unwrap_or_default();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes).await?;
    }
    builder.into_inner().await
}

/// Opens the configuration of a point with an identity of age. Reads only.
///
/// # Errors
/// When there is no such point, it has no configuration, or the identity does not open it.
pub async fn open_configuration(
    protection: &Protection,
    to: &str,
    from: Option<&RepositorySettings>,
    identity: &Path,
) -> Result<OpenedConfiguration, Error> {
    let what = format!("cannot open the configuration with `{}`", identity.display());
    let text = fs::read(identity).map_err(|e| Error::caused_by(&what, e))?;
    let identities = IdentityFile::from_buffer(io::Cursor::new(text)).map_err(|_| no_identity(&what))?;
    let mut failed = vec![];
    for repository in from.map_or(protection.repositories.as_slice(), std::slice::from_ref) {
        match sealed(protection, repository, to).await {
            Ok((point, sealed)) => {
                let archive = open(identities, &sealed, &what)?;
                let entries = entries(&archive).await.map_err(|e| Error::caused_by(&what, e))?;
                return Ok(OpenedConfiguration { repository: repository.name.clone(), point, entries });
            }
            Err(error) => failed.push((repository.name.as_str(), error)),
        }
    }
    Err(super::restore::no_choice(failed))
}

fn no_identity(what: &str) -> Error {
    Error::new(what, "it has no identity of age").hint("a file of `age-keygen` has a line `AGE-SECRET-KEY-1…`")
}

/// The sealed configuration of a point.
async fn sealed(
    protection: &Protection,
    repository: &RepositorySettings,
    to: &str,
) -> Result<(RecoveryPoint, Vec<u8>), Error> {
    let goal = goal(protection, repository, to).await?;
    let opened = OpenRepository::open(repository, Patience::default()).await?;
    let points = on_nothing(protection, opened.clone()).await?.points().await?;
    let point = RestorePlan::of_points(&points, &goal)?.point;
    let contents = opened.tagged_point(&protection.name, &point.id).await?;
    let file = match contents.find(CONFIGURATION).await {
        Err(error) if error.kind == ErrorKind::NotFound => {
            let kept = points_of(protection, repository).await?.points;
            let with: Vec<_> = kept.iter().filter(|it| SealedConfiguration::is_in(it)).map(super::name).collect();
            let hint = if with.is_empty() { "no point has one".into() } else { format!("in: {}", with.join(", ")) };
            return Err(Error::new(format!("the point `{}`", point.id), "it has no configuration").hint(hint));
        }
        file => file?,
    };
    let (mut bytes, what) = (vec![], "cannot read the configuration");
    contents.read(&file).read_to_end(&mut bytes).await.map_err(|e| Error::caused_by(what, e))?;
    Ok((point, bytes))
}

/// The archive in the sealed file, whole: one that was cut short or changed does not open.
fn open(identities: IdentityFile<age::NoCallbacks>, sealed: &[u8], what: &str) -> Result<Vec<u8>, Error> {
    let identities = identities.into_identities().map_err(|_| no_identity(what))?;
    if identities.is_empty() {
        return Err(no_identity(what));
    }
    let reader = Decryptor::new(sealed).and_then(|it| it.decrypt(identities.iter().map(|identity| &**identity as _)));
    let mut reader = reader.map_err(|error| match error {
        DecryptError::NoMatchingKeys => {
            let hint = "take the identity of one of the recipients that the protection named then";
            Error::new(what, "it is not sealed for this identity").hint(hint)
        }
        error => Error::new(what, error),
    })?;
    let mut archive = vec![];
    reader.read_to_end(&mut archive).map_err(|e| Error::caused_by(what, e))?;
    Ok(archive)
}

async fn entries(archive: &[u8]) -> io::Result<Vec<ConfigurationEntry>> {
    let mut all = vec![];
    let mut archive = Archive::new(archive);
    let mut entries = archive.entries()?;
    while let Some(entry) = entries.next().await {
        let mut entry = entry?;
        let (path, mode) = (entry.path()?.into_owned(), entry.header().mode()? & 0o777);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        let kind = entry.header().entry_type();
        if !inside || path.as_os_str().is_empty() || !(kind.is_file() || kind.is_dir()) {
            return Err(io::Error::other(format!("`{}` is not a file or folder below it", path.display())));
        }
        let mut bytes = vec![];
        entry.read_to_end(&mut bytes).await?;
        all.push(ConfigurationEntry { path, mode, bytes: kind.is_file().then_some(bytes) });
    }
    Ok(all)
}

impl OpenedConfiguration {
    /// Each path with its mode, and its bytes if it is a file.
    pub fn paths(&self) -> impl Iterator<Item = (&Path, u32, Option<usize>)> {
        self.entries.iter().map(|it| (it.path.as_path(), it.mode, it.bytes.as_ref().map(Vec::len)))
    }

    /// Writes it below a new folder, with its modes. Nobody else can enter that meanwhile.
    ///
    /// # Errors
    /// When something is there already, or it cannot be written.
    pub fn write(&self, into: &Path) -> Result<(), Error> {
        let into = environment::empty(into)?;
        let write = || {
            if !into.exists() {
                DirBuilder::new().mode(0o700).create(&into)?;
            }
            fs::set_permissions(&into, fs::Permissions::from_mode(0o700))?;
            self.entries.iter().try_for_each(|entry| entry.write(&into))?;
            // Last, deepest first: a folder may be one that its owner cannot write into.
            let folders = self.entries.iter().rev().filter(|entry| entry.bytes.is_none());
            folders.map(|it| (into.join(&it.path), it.mode)).try_for_each(|(path, mode)| set_mode(&path, mode))
        };
        write().map_err(|e| Error::caused_by(format!("cannot write the configuration into `{}`", into.display()), e))
    }
}

impl ConfigurationEntry {
    fn write(&self, into: &Path) -> io::Result<()> {
        let path = into.join(&self.path);
        let folder = if self.bytes.is_none() { Some(path.as_path()) } else { path.parent() };
        folder.map_or(Ok(()), |folder| DirBuilder::new().recursive(true).mode(0o700).create(folder))?;
        let Some(bytes) = &self.bytes else { return Ok(()) };
        // Never through a link, and never into what is there.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?.write_all(bytes)?;
        set_mode(&path, self.mode)
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
#[path = "configuration_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
