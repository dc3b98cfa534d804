//! Puts a point: its files in order, read once, whole or not at all.

use super::gate::Gate;
use super::new_file::NewFile;
use super::open::OpenRepository;
use super::source::{Before, Source};
use crate::client::Error;
use crate::clock::Stopwatch;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustic_core::repofile::SnapshotFile;
use rustic_core::{BackupOptions, IndexedIdsStatus, LsOptions, Repository as Rustic, RusticResult, SnapshotOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The host of every snapshot. A pod has another name each time, and its files would never be found unchanged.
const HOST: &str = "lifeboat";

/// What a point that is put is called.
#[derive(Debug, Clone)]
pub struct NewPoint {
    /// What it is a point of. Unchanged files are looked for in the newest point of the same label.
    pub label: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its time.
    pub time: Timestamp,
}

/// A point that has been put.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Its id, in 64 hexadecimal digits.
    pub id: String,
    /// How many files it holds.
    pub files: u64,
    /// How many of them had not changed and were not read.
    pub unchanged: u64,
    /// The bytes of all its files.
    pub bytes: u64,
    /// Bytes by which it has made the repository larger.
    pub added: u64,
    /// How long it took, the waiting for others included.
    pub took: Duration,
}

impl OpenRepository {
    /// Puts a point of these files, which come in [`order`](super::order) of their names. It is there when this answers,
    /// and only then.
    ///
    /// # Errors
    /// When a file cannot be read to its end, is not as long as it was said to be, or comes out of order; when another
    /// writes; when the repository cannot be written. There is no point then.
    pub async fn put<S>(&self, point: NewPoint, files: S) -> Result<Stored, Error>
    where
        S: Stream<Item = Result<NewFile, Error>> + Send + 'static,
    {
        let time = Stopwatch::start();
        let what = format!("cannot put a point into `{}`", self.location());
        let gate = self.writer("a backup").await?;
        let (inner, files) = (Arc::clone(&gate), files.boxed());
        let runtime = tokio::runtime::Handle::current();
        let put = move |rustic: Rustic<_>| {
            let _inside = runtime.enter();
            let rustic = Arc::new(rustic.to_indexed_ids()?);
            let before = newest(&rustic, &point.label)?;
            let mut options = BackupOptions::default();
            options.no_scan = true;
            match &before {
                Some(before) => options.parent_opts.parents = vec![before.id.to_hex().to_string()],
                None => options.parent_opts.force = true,
            }
            let snapshot = new_snapshot(&point)?;
            let known = before.map(|before| files_of(Arc::clone(&rustic), before));
            let source = Source::new(files, known, Arc::clone(&inner));
            let snapshot = rustic.archive(&options, &source, snapshot, &[PathBuf::from("/")])?;
            whole(&rustic, &inner, &snapshot)?;
            Ok(snapshot)
        };
        let snapshot = self.write(&gate, what.clone(), put).await?;
        let Some(summary) = &snapshot.summary else { return Err(Error::new(what, "the snapshot has no summary")) };
        Ok(Stored {
            id: snapshot.id.to_hex().to_string(),
            files: summary.total_files_processed,
            unchanged: summary.files_unmodified,
            bytes: summary.total_bytes_processed,
            added: summary.data_added_packed,
            took: time.elapsed(),
        })
    }
}

/// The last question: is each file in the snapshot that was handed over? If not, there is no point.
fn whole(rustic: &Rustic<IndexedIdsStatus>, gate: &Gate, point: &SnapshotFile) -> RusticResult<()> {
    let files = point.summary.as_ref().map_or(0, |it| it.total_files_processed);
    let handed = gate.handed();
    if files != handed {
        rustic.delete_snapshots(&[point.id])?;
        gate.fail(Error::new("cannot complete the point", format!("only {files} of {handed} files arrived in it")));
    }
    Ok(())
}

fn new_snapshot(point: &NewPoint) -> RusticResult<SnapshotFile> {
    let mut options = SnapshotOptions::default();
    options.host = Some(HOST.to_owned());
    options.label = Some(point.label.clone());
    options.time = Some(point.time.to_zoned(TimeZone::UTC));
    let mut snapshot = options.to_snapshot()?;
    point.tags.iter().for_each(|tag| snapshot.tags.add(tag.clone()));
    Ok(snapshot)
}

/// The newest point of a label.
fn newest(rustic: &Rustic<IndexedIdsStatus>, label: &str) -> RusticResult<Option<SnapshotFile>> {
    let of_label = rustic.get_matching_snapshots(|it| it.label == label && it.hostname == HOST)?;
    Ok(of_label.into_iter().max_by(|a, b| a.time.cmp(&b.time)))
}

/// Size and time of a point's files, read by a thread of its own as far as they are asked for.
fn files_of(rustic: Arc<Rustic<IndexedIdsStatus>>, point: SnapshotFile) -> Before {
    let (send, receive) = std::sync::mpsc::sync_channel(256);
    std::thread::spawn(move || {
        let Ok(root) = rustic.node_from_snapshot_and_path(&point, "") else { return };
        let Ok(nodes) = rustic.ls(&root, &LsOptions::default()) else { return };
        for (path, node) in nodes.map_while(Result::ok).filter(|(_, node)| node.is_file()) {
            if send.send((Path::new("/").join(path), node.meta.size, node.meta.mtime)).is_err() {
                return;
            }
        }
    });
    receive
}
