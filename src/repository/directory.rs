//! A repository in a directory.
//!
//! Not `rustic_backend`'s: that leaves out of a list what it cannot read, which `prune` would take for absent, and leaves
//! what was half-written. Here a file is written beside the others, synced, and moved to its name.

use super::{Lock, Patience, Place, PlacedFile, Repository, Writing};
use crate::client::{Error, ErrorKind};
use crate::kind::Kind;
use crate::node::read;
use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `directory: PATH`
pub const KIND: Kind<dyn Repository> = Kind {
    name: "directory",
    about: "Keeps recovery points in a directory, in restic's format.",
    example: "directory: /backups/mlflow",
    schema: |g| g.subschema_for::<Directory>(),
    parse: |n, p| read::<Directory>(n, p).map(|k| Box::new(k) as _),
};

/// Where files are before they have their names. restic does not look there.
const UNFINISHED: &str = "lifeboat/unfinished";
/// The same for files of those who hold no lease, which the holder must leave alone.
const WAITING: &str = "lifeboat/waiting";

/// A directory of files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Directory(PathBuf);

#[async_trait]
impl Repository for Directory {
    fn location(&self) -> String {
        self.0.display().to_string()
    }

    fn locks(&self) -> bool {
        false
    }

    async fn place(&self, _: Option<Lock>, _: Patience) -> Result<Arc<dyn Place>, Error> {
        Ok(Arc::new(self.clone()))
    }
}

impl Directory {
    /// Does what blocks where it may, and says what did not work.
    async fn work<T: Send + 'static>(
        &self,
        what: String,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let root = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&root)).await.map_err(|e| Error::new(&what, e))?;
        done.map_err(|e| {
            let kind = if e.kind() == io::ErrorKind::NotFound { Some(ErrorKind::NotFound) } else { None };
            let error = Error::caused_by(format!("{what} in `{}`", self.0.display()), e);
            match kind {
                Some(kind) => error.kind(kind),
                None => error,
            }
        })
    }
}

#[async_trait]
impl Place for Directory {
    fn location(&self) -> String {
        Repository::location(self)
    }

    async fn list(&self, under: &str) -> Result<Vec<PlacedFile>, Error> {
        let under = under.to_owned();
        self.work(format!("cannot list `{under}`"), move |root| {
            let folder = under.rsplit_once('/').map_or("", |(folder, _)| folder);
            let mut files = vec![];
            walk(&root.join(folder), folder, &under, &mut files)?;
            Ok(files)
        })
        .await
    }

    async fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Error> {
        let path = name.to_owned();
        let read = move |root: &Path| {
            let mut file = File::open(root.join(path))?;
            let mut bytes = vec![];
            match range {
                None => {
                    file.read_to_end(&mut bytes)?;
                }
                Some(range) => {
                    file.seek(SeekFrom::Start(range.start))?;
                    bytes.resize(usize::try_from(range.end - range.start).map_err(io::Error::other)?, 0);
                    file.read_exact(&mut bytes).map_err(cut_short)?;
                }
            }
            Ok(bytes.into())
        };
        self.work(format!("cannot read `{name}`"), read).await
    }

    async fn write(&self, name: &str, bytes: Bytes, how: Writing) -> Result<bool, Error> {
        let path = name.to_owned();
        self.work(format!("cannot write `{name}`"), move |root| write(root, &path, &bytes, how)).await
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        let path = name.to_owned();
        self.work(format!("cannot remove `{name}`"), move |root| match fs::remove_file(root.join(path)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        })
        .await
    }

    async fn prepare(&self) -> Result<(), Error> {
        let parts = ["data", "index", "keys", "locks", "snapshots"];
        self.work("cannot make the folders".into(), move |root| {
            parts.iter().try_for_each(|part| make_folder(&root.join(part)))
        })
        .await
    }

    async fn tidy(&self) -> Result<(), Error> {
        let tidy = |root: &Path| match fs::remove_dir_all(root.join(UNFINISHED)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
        self.work(format!("cannot remove `{UNFINISHED}`"), tidy).await
    }
}

fn cut_short(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "the file is cut short"),
        _ => error,
    }
}

/// All files below a folder whose names begin with `under`; none if it is not there.
fn walk(folder: &Path, name: &str, under: &str, files: &mut Vec<PlacedFile>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let part = entry.file_name().to_string_lossy().into_owned();
        let name = if name.is_empty() { part } else { format!("{name}/{part}") };
        let about = match entry.metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue, // removed since
            about => about?,
        };
        if about.is_dir() {
            let inside = format!("{name}/");
            if inside.starts_with(under) || under.starts_with(&inside) {
                walk(&entry.path(), &name, under, files)?;
            }
        } else if name.starts_with(under) {
            files.push(PlacedFile { name, size: about.len() });
        }
    }
    Ok(())
}

fn write(root: &Path, name: &str, bytes: &[u8], how: Writing) -> io::Result<bool> {
    let unfinished = root.join(if how == Writing::Kept { UNFINISHED } else { WAITING });
    let path = root.join(name);
    let folder = path.parent().unwrap_or(root);
    make_folder(&unfinished)?;
    make_folder(folder)?;
    let beside = unfinished.join(format!("{:032x}", rand::random::<u128>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| match how {
        Writing::Kept | Writing::Loose => fs::rename(&beside, &path).map(|()| true),
        // A link is refused where a file has that name, and the file is whole from its first moment.
        Writing::New => match fs::hard_link(&beside, &path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => linked.map(|()| true),
        },
    });
    if how == Writing::New || written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    let written = written?;
    File::open(folder)?.sync_all()?;
    Ok(written)
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_given_once_and_what_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let place = Directory(folder.path().join("new"));
        assert_eq!(place.list("").await.unwrap(), []);
        assert!(place.write("a/b", "1".into(), Writing::New).await.unwrap());
        assert!(!place.write("a/b", "2".into(), Writing::New).await.unwrap());
        assert_eq!(&place.read("a/b", None).await.unwrap()[..], b"1");
        assert!(place.write("a/b", "345".into(), Writing::Kept).await.unwrap());
        assert_eq!(&place.read("a/b", Some(1..2)).await.unwrap()[..], b"4");
        assert!(place.read("a/b", Some(1..4)).await.is_err(), "fewer bytes than asked for are an error");
        let expected = PlacedFile { name: "a/b".into(), size: 3 };
        assert_eq!(place.list("a/").await.unwrap(), [expected]);
        place.remove("a/b").await.unwrap();
        place.remove("a/b").await.unwrap();
        assert_eq!(place.read("a/b", None).await.unwrap_err().kind, ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn what_cannot_be_listed_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data"), "no folder").unwrap();
        assert!(Directory(folder.path().into()).list("data/").await.is_err());
    }

    #[tokio::test]
    async fn what_was_half_written_is_tidied_away() {
        let folder = tempfile::tempdir().unwrap();
        let place = Directory(folder.path().into());
        place.write("config", "1".into(), Writing::Kept).await.unwrap();
        fs::write(folder.path().join(UNFINISHED).join("half"), "x").unwrap();
        place.tidy().await.unwrap();
        assert_eq!(place.list("").await.unwrap().len(), 1);
    }
}
