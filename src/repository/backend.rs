//! A place as `rustic_core` wants it: synchronous, files by kind and id; with the gate in front of every snapshot.
//!
//! Its threads wait for a task of the runtime, never for a future of their own: those that are left over when an act has
//! failed end with an error when the runtime is gone, instead of a panic.

use super::gate::Gate;
use super::{Place, Writing};
use crate::client::Error;
use bytes::{Bytes, BytesMut};
use rustic_core::repofile::ALL_FILE_TYPES;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A place for one act on a repository.
pub(super) struct Backend {
    place: Arc<dyn Place>,
    gate: Arc<Gate>,
    handle: Handle,
}

impl Backend {
    /// Must be called where there is a runtime.
    pub fn new(place: Arc<dyn Place>, gate: Arc<Gate>) -> Self {
        Self { place, gate, handle: Handle::current() }
    }

    fn wait<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (done, wait) = oneshot::channel();
        self.handle.spawn(async move { done.send(work.await) });
        wait.blocking_recv().unwrap_or_else(|_| Err(Error::new("cannot reach the repository", "the program is ending")))
    }

    /// Writes; what does not work closes the gate.
    fn write(&self, name: String, bytes: Bytes, is_snapshot: bool) -> Result<(), Error> {
        self.gate.open()?;
        let (place, gate) = (Arc::clone(&self.place), Arc::clone(&self.gate));
        let written = self.wait(async move {
            if !is_snapshot {
                return place.write(&name, bytes, Writing::Kept).await.map(|_| ());
            }
            gate.open_for_snapshot().await?;
            place.keep_locked(&needed(&*place).await?).await?;
            gate.open_for_snapshot().await?;
            place.write(&name, bytes, Writing::Kept).await?;
            // Whoever slept between the question and the write is told now, and no point is left.
            let after = gate.open_for_snapshot().await;
            if after.is_err() {
                place.remove(&name).await?;
            }
            after
        });
        written.inspect_err(|error| self.gate.fail(error.clone()))
    }
}

/// All files that a snapshot may need.
async fn needed(place: &dyn Place) -> Result<Vec<String>, Error> {
    let mut names = vec![file(FileType::Config, &Id::default())];
    for tpe in ALL_FILE_TYPES.into_iter().filter(|tpe| *tpe != FileType::Snapshot) {
        names.extend(place.list(&folder(tpe)).await?.into_iter().map(|file| file.name));
    }
    Ok(names)
}

/// The name of the files of a kind up to their id.
pub(super) fn folder(tpe: FileType) -> String {
    format!("{}/", tpe.dirname())
}

/// The name of a file, as restic's default layout has it.
pub(super) fn file(tpe: FileType, id: &Id) -> String {
    let hex = id.to_hex();
    match tpe {
        FileType::Config => "config".to_owned(),
        FileType::Pack => format!("data/{}/{}", &hex[..2], hex.as_str()),
        _ => format!("{}{}", folder(tpe), hex.as_str()),
    }
}

/// An error of ours as one of rustic's.
pub(super) fn foreign(error: Error) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, error.to_string(), error)
}

impl ReadBackend for Backend {
    fn location(&self) -> String {
        self.place.location()
    }

    /// Errors close the gate: whoever believes that nothing is there writes or removes too much.
    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let place = Arc::clone(&self.place);
        let prefix = if tpe == FileType::Config { tpe.dirname().to_owned() } else { folder(tpe) };
        let files = self.wait(async move { place.list(&prefix).await });
        let files = files.map_err(|error| {
            self.gate.fail(error.clone());
            foreign(error)
        })?;
        let known = files.into_iter().filter_map(|it| {
            let id = match tpe {
                FileType::Config => (it.name == "config").then(Id::default),
                _ => it.name.rsplit('/').next()?.parse().ok().filter(|id| file(tpe, id) == it.name),
            };
            Some((id?, u32::try_from(it.size).unwrap_or(u32::MAX)))
        });
        Ok(known.collect())
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        let (place, name) = (Arc::clone(&self.place), file(tpe, id));
        self.wait(async move { place.read(&name, None).await }).map_err(foreign)
    }

    fn read_partial(&self, tpe: FileType, id: &Id, _: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let (place, name) = (Arc::clone(&self.place), file(tpe, id));
        let range = u64::from(offset)..u64::from(offset) + u64::from(length);
        self.wait(async move { place.read(&name, Some(range)).await }).map_err(foreign)
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        file(tpe, id)
    }
}

impl WriteBackend for Backend {
    fn create(&self) -> RusticResult<()> {
        let place = Arc::clone(&self.place);
        self.wait(async move { place.prepare().await }).map_err(foreign)
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, _: bool, content: BytesList) -> RusticResult<()> {
        let mut parts = content.into_vec();
        let bytes = if parts.len() == 1 {
            parts.remove(0)
        } else {
            let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            parts.iter().for_each(|part| whole.extend_from_slice(part));
            whole.freeze()
        };
        self.write(file(tpe, id), bytes, tpe == FileType::Snapshot).map_err(foreign)
    }

    fn remove(&self, tpe: FileType, id: &Id, _: bool) -> RusticResult<()> {
        let (place, gate, name) = (Arc::clone(&self.place), Arc::clone(&self.gate), file(tpe, id));
        let removed = gate.open().and_then(|()| self.wait(async move { place.remove(&name).await }));
        removed.map_err(|error| {
            gate.fail(error.clone());
            foreign(error)
        })
    }
}
