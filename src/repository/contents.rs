//! What a point holds: its files listed and read back, with bounded memory.
//!
//! Apart from the list of points because this needs the repository's index, which is read once for all files of a point.

use super::gate::Gate;
use super::names;
use super::open::{OpenRepository, native};
use super::verify::hex;
use crate::client::{Error, ErrorKind};
use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use rustic_core::repofile::{Node, SnapshotFile, SnapshotId};
use rustic_core::{IndexedFullStatus, LsOptions, Repository as Rustic, RusticError};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

/// How many pieces of a file wait for their reader, and how many files of a list. A piece has 8 MiB at most.
const PIECES: usize = 2;
const FILES: usize = 256;

/// A file of a point.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// Its name in the point.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was changed last, without fractions of seconds. If nobody knew: when it was put, or for a file with an
    /// identity, 1970.
    pub modified: Option<Timestamp>,
    /// What else is known of it, by name.
    pub attributes: Vec<(String, String)>,
    /// The pack that its first bytes are in, and where. Files that are read in this order read each pack once.
    pack: Option<(String, u32)>,
    node: Box<Node>,
}

/// Sorts files so that those that lie together are read together.
pub fn in_pack_order(files: &mut [StoredFile]) {
    files.sort_by(|a, b| a.pack.cmp(&b.pack));
}

/// A point whose files can be listed and read.
#[derive(Clone)]
pub struct OpenPoint {
    rustic: Arc<Rustic<IndexedFullStatus>>,
    snapshot: Arc<SnapshotFile>,
    what: String,
}

impl OpenRepository {
    /// Opens a point. Reads the index; others may write meanwhile.
    ///
    /// # Errors
    /// Of the kind `NotFound` when there is no such point.
    pub async fn point(&self, id: &str) -> Result<OpenPoint, Error> {
        let what = format!("cannot read the point `{id}` of `{}`", self.location());
        let absent = || Error::new(&what, "there is no such point").kind(ErrorKind::NotFound);
        let id: SnapshotId = id.parse().map_err(|_| absent())?;
        let gate = Arc::new(Gate::default());
        let found = self.work(&gate, what.clone(), move |rustic| {
            if !rustic.list::<SnapshotId>()?.any(|it| it == id) {
                return Ok(None);
            }
            let mut snapshot: SnapshotFile = rustic.get_file(&id)?;
            snapshot.id = id;
            Ok(Some((rustic.to_indexed()?, snapshot)))
        });
        let (rustic, snapshot) = found.await?.ok_or_else(absent)?;
        Ok(OpenPoint { rustic: Arc::new(rustic), snapshot: Arc::new(snapshot), what })
    }
}

impl OpenRepository {
    /// Opens the point of this label that has this tag.
    ///
    /// # Errors
    /// Of the kind `NotFound` when there is none.
    pub async fn tagged_point(&self, label: &str, tag: &str) -> Result<OpenPoint, Error> {
        let points = self.points().await?.points;
        let found = points.into_iter().find(|point| point.label == label && point.tags.iter().any(|it| it == tag));
        let absent = || {
            let what = format!("the recovery point `{tag}`");
            Error::new(what, "its repository does not have it").kind(ErrorKind::NotFound)
        };
        self.point(&found.ok_or_else(absent)?.id).await
    }
}

impl OpenPoint {
    /// The JSON of a file.
    ///
    /// # Errors
    /// When the point has no such file, or it cannot be read.
    pub async fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let (file, mut text) = (self.find(name).await?, vec![]);
        let what = format!("cannot read `{name}` of the recovery point");
        self.read(&file).read_to_end(&mut text).await.map_err(|e| Error::caused_by(&what, e))?;
        serde_json::from_slice(&text).map_err(|e| Error::caused_by(&what, e))
    }

    /// All files whose names begin with the folder `under`, or all if it is empty, in order. The stream ends after an error.
    pub fn list(&self, under: &str) -> impl Stream<Item = Result<StoredFile, Error>> + Send + use<> {
        let (send, receive) = mpsc::channel(FILES);
        let (contents, under) = (self.clone(), under.trim_end_matches('/').to_owned());
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let _inside = runtime.enter();
            if let Err(error) = contents.walk(&under, |file| send.blocking_send(Ok(file)).is_ok()) {
                let _ = send.blocking_send(Err(error));
            }
        });
        futures::stream::unfold(receive, async |mut receive| receive.recv().await.map(|file| (file, receive)))
    }

    fn walk(&self, under: &str, mut wants_more: impl FnMut(StoredFile) -> bool) -> Result<(), Error> {
        let failed = |e: Box<rustic_core::RusticError>| native(&self.what, &e);
        let folder = if under.is_empty() { PathBuf::from("/") } else { names::path(under) };
        let root = match self.rustic.node_from_path(self.snapshot.tree, &folder) {
            Ok(node) => node,
            Err(error) if absent(&error) => return Ok(()), // nothing is under it
            Err(error) => return Err(failed(error)),
        };
        if !root.is_dir() {
            return Ok(());
        }
        for found in self.rustic.ls(&root, &LsOptions::default()).map_err(failed)? {
            let (path, node) = found.map_err(failed)?;
            if node.is_file() && !wants_more(self.file(&folder.join(path), node)?) {
                break;
            }
        }
        Ok(())
    }

    fn file(&self, path: &Path, node: Node) -> Result<StoredFile, Error> {
        let (mut size, mut pack) = (0, None);
        for id in node.content.iter().flatten() {
            let entry = self.rustic.get_index_entry(id).map_err(|e| native(&self.what, &e))?;
            size += u64::from(entry.data_length());
            pack.get_or_insert_with(|| (entry.pack.to_hex().to_string(), entry.location.offset));
        }
        let attributes = node.meta.extended_attributes.iter().filter_map(|it| {
            let value = String::from_utf8(it.value.clone()?).ok()?;
            Some((it.name.strip_prefix("user.")?.to_owned(), value))
        });
        let modified = node.meta.mtime.and_then(|time| Timestamp::from_second(time.as_second()).ok());
        let attributes = attributes.collect();
        Ok(StoredFile { name: names::name(path), size, modified, attributes, pack, node: Box::new(node) })
    }

    /// The file of a name.
    ///
    /// # Errors
    /// Of the kind `NotFound` when the point has no such file.
    pub async fn find(&self, name: &str) -> Result<StoredFile, Error> {
        let (contents, path) = (self.clone(), names::path(name));
        let runtime = Handle::current();
        let find = move || {
            let _inside = runtime.enter();
            let beside = names::beside_folder(&path);
            for path in [path, beside] {
                match contents.rustic.node_from_path(contents.snapshot.tree, &path) {
                    Ok(node) if node.is_file() => return contents.file(&path, node).map(Some),
                    Err(error) if !absent(&error) => return Err(native(&contents.what, &error)),
                    _ => {}
                }
            }
            Ok(None)
        };
        let found = tokio::task::spawn_blocking(find).await.map_err(|e| Error::new(&self.what, e))??;
        found.ok_or_else(|| Error::new(&self.what, format!("it has no file `{name}`")).kind(ErrorKind::NotFound))
    }

    /// The bytes of a file. What cannot be read whole ends with an error.
    pub fn read(&self, file: &StoredFile) -> impl AsyncRead + Send + Unpin + use<> {
        let (send, receive) = mpsc::channel(PIECES);
        let (contents, node, name) = (self.clone(), file.node.clone(), file.name.clone());
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let _inside = runtime.enter();
            let mut pieces = Pieces(send);
            if let Err(error) = contents.rustic.dump(&node, &mut pieces) {
                let error = native(&format!("cannot read `{name}` of a point"), &error);
                let _ = pieces.0.blocking_send(Err(io::Error::other(error)));
            } else {
                let _ = pieces.0.blocking_send(Ok(Bytes::new()));
            }
        });
        StreamReader::new(Box::pin(until_its_end(receive)))
    }
}

impl OpenPoint {
    /// Are these bytes the file's? They are compared by the digests of its pieces; of the repository nothing is read but
    /// its index.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    pub async fn same(&self, file: &StoredFile, mut bytes: impl AsyncRead + Send + Unpin) -> Result<bool, Error> {
        let cannot = |e: io::Error| Error::caused_by(format!("cannot compare `{}`", file.name), e);
        for id in file.node.content.iter().flatten() {
            let entry = self.rustic.get_index_entry(id).map_err(|e| native(&self.what, &e))?;
            let mut piece = Vec::new();
            let mut limited = (&mut bytes).take(u64::from(entry.data_length()));
            limited.read_to_end(&mut piece).await.map_err(cannot)?;
            if hex(&Sha256::digest(&piece)) != id.to_hex().to_string() {
                return Ok(false);
            }
        }
        Ok(bytes.read(&mut [0]).await.map_err(cannot)? == 0)
    }
}

/// Is nothing of that name there? rustic gives this no kind of its own; its text is that of the pinned version.
fn absent(error: &RusticError) -> bool {
    let text = error.to_string();
    ["not found in tree", "is not a directory"].iter().any(|why| text.contains(why))
}

/// The pieces up to the empty one; without it the file was cut short.
fn until_its_end(receive: mpsc::Receiver<io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures::stream::unfold(Some(receive), async |receive| {
        let mut receive = receive?;
        match receive.recv().await {
            Some(Ok(bytes)) if bytes.is_empty() => None,
            Some(Ok(bytes)) => Some((Ok(bytes), Some(receive))),
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Err(io::ErrorKind::UnexpectedEof.into()), None)),
        }
    })
}

struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
