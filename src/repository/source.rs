//! The files of a point as `rustic_core` wants them: in order, opened ahead, unchanged only when they are.
//!
//! For rustic a file is unchanged when size and time are, so the identity of a file is in the nanoseconds of its time. It
//! reads as many files at once as there are cores, so small ones far away are opened before their turn.

use super::content::{Content, Pump, Unread};
use super::gate::Gate;
use super::names;
use super::new_file::{NewFile, Turn};
use crate::client::Error;
use crate::clock::wall;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use futures::stream::{BoxStream, Peekable};
use jiff::Timestamp;
use parking_lot::Mutex;
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{ReadSource, ReadSourceEntry, RusticResult};
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// How many files are opened ahead.
const AHEAD: usize = 32;

/// Files in a stream.
pub(super) type NewFiles = BoxStream<'static, Result<NewFile, Error>>;

/// Size and time of the files that the point before has, in order.
pub(super) type Before = std::sync::mpsc::Receiver<(PathBuf, u64, Option<Timestamp>)>;

/// The files of one point; they can be taken once.
pub(super) struct Source {
    walk: Mutex<Option<Walk>>,
}

impl Source {
    pub fn new(files: NewFiles, before: Option<Before>, gate: Arc<Gate>) -> Self {
        let (earlier, all_read) = mpsc::channel(1);
        let walk = Walk {
            files: files.peekable(),
            held: BTreeMap::new(),
            last_path: None,
            before,
            next_before: None,
            queue: VecDeque::new(),
            ended: false,
            earlier: Some(earlier),
            all_read: Some(all_read),
            pump: Pump { handle: Handle::current(), gate },
        };
        Self { walk: Mutex::new(Some(walk)) }
    }
}

impl ReadSource for Source {
    type Open = Content;
    type Iter = std::iter::Flatten<std::option::IntoIter<Walk>>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        self.walk.lock().take().into_iter().flatten()
    }
}

/// Goes through the files in order.
pub(super) struct Walk {
    files: Peekable<NewFiles>,
    /// Files whose path is a folder of others, until their turn behind it.
    held: BTreeMap<PathBuf, NewFile>,
    last_path: Option<PathBuf>,
    before: Option<Before>,
    next_before: Option<(PathBuf, u64, Option<Timestamp>)>,
    queue: VecDeque<ReadSourceEntry<Content>>,
    ended: bool,
    /// Held by each file until it has been read; the last one waits until nobody holds it.
    earlier: Option<mpsc::Sender<Infallible>>,
    all_read: Option<mpsc::Receiver<Infallible>>,
    pump: Pump,
}

impl Iterator for Walk {
    type Item = RusticResult<ReadSourceEntry<Content>>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.queue.len() < AHEAD && !self.ended {
            match self.admit() {
                Ok(Some(entry)) => self.queue.push_back(entry),
                Ok(None) => self.ended = true,
                Err(error) => self.pump.gate.fail(error),
            }
            self.ended |= self.pump.gate.failure().is_some();
        }
        if self.pump.gate.failure().is_some() {
            return None; // there will be no point: read no further
        }
        self.queue.pop_front().map(Ok)
    }
}

impl Walk {
    /// The next file in the order of paths.
    fn admit(&mut self) -> Result<Option<ReadSourceEntry<Content>>, Error> {
        let Some((path, file)) = self.next_file()? else { return Ok(None) };
        let wrong = |why: &str| Err(Error::new(format!("cannot put `{}`", file.name), why));
        if self.last_path.as_ref().is_some_and(|last| *last >= path) {
            return wrong("the files are not in order, or one comes twice");
        }
        if self.earlier.is_none() {
            return wrong("it comes behind the last file");
        }
        let node = node(&path, &file)?;
        let unchanged = file.identity.is_some() && self.was_there(&path, &node.meta);
        self.last_path = Some(path.clone());
        self.pump.gate.hand();
        let is_last = file.turn == Turn::Last;
        let earlier = if is_last { None } else { self.earlier.clone() };
        let wait = if is_last { self.all_read.take() } else { None };
        if is_last {
            self.earlier = None;
        }
        let unread =
            Unread { pump: self.pump.clone(), name: file.name, size: file.size, open: file.open, earlier, wait };
        let content =
            if file.turn == Turn::Ahead && !unchanged { Content::new_started(unread) } else { Content::new(unread) };
        Ok(Some(ReadSourceEntry { path, node, open: Some(content) }))
    }

    /// A file whose path is a folder of the next ones is held back and comes behind them under another path.
    fn next_file(&mut self) -> Result<Option<(PathBuf, NewFile)>, Error> {
        loop {
            let pump = self.pump.clone();
            let next = match pump.wait_for(Pin::new(&mut self.files).peek())? {
                Some(Err(error)) => return Err(error.clone()),
                Some(Ok(file)) => Some(names::path(&file.name)),
                None => None,
            };
            let first = self.held.first_key_value().map(|(path, _)| path);
            if first.is_some_and(|held| next.as_ref().is_none_or(|next| held < next)) {
                return Ok(self.held.pop_first());
            }
            let (Some(path), Some(file)) = (next, pump.wait_for(self.files.next())?) else { return Ok(None) };
            let file = file?;
            let following = pump.wait_for(Pin::new(&mut self.files).peek())?;
            let is_folder = |next: &NewFile| names::path(&next.name).starts_with(&path) && next.name != file.name;
            if following.is_some_and(|next| next.as_ref().is_ok_and(is_folder)) {
                self.held.insert(names::beside_folder(&path), file);
                continue;
            }
            return Ok(Some((path, file)));
        }
    }

    /// Did the point before have this file, as rustic will find? Both are in order.
    fn was_there(&mut self, path: &Path, meta: &Metadata) -> bool {
        let Some(before) = &self.before else { return false };
        loop {
            if self.next_before.is_none() {
                self.next_before = before.recv().ok();
            }
            let Some((there, size, modified)) = &self.next_before else { return false };
            match there.as_path().cmp(path) {
                Ordering::Less => self.next_before = None,
                Ordering::Equal => return *size == meta.size && *modified == meta.mtime,
                Ordering::Greater => return false,
            }
        }
    }
}

/// What is known of a file, in the words of the format.
fn node(path: &Path, file: &NewFile) -> Result<Node, Error> {
    let wrong = |e: &dyn std::fmt::Display| Error::new(format!("cannot put `{}`", file.name), e);
    // Without an identity nothing may look unchanged; with one, an unknown time must be the same each time.
    let modified = match (file.modified, &file.identity) {
        (Some(modified), _) => modified,
        (None, Some(_)) => Timestamp::UNIX_EPOCH,
        (None, None) => wall(),
    };
    let nanoseconds = match &file.identity {
        Some(identity) => blake3::hash(identity.as_bytes()).as_bytes()[..4].try_into().map(u32::from_le_bytes),
        None => Ok(rand::random::<u32>()),
    };
    let nanoseconds = nanoseconds.map_err(|e| wrong(&e))? % 1_000_000_000;
    let nanoseconds = i32::try_from(nanoseconds).map_err(|e| wrong(&e))?;
    let seconds = modified.as_second().max(0); // before 1970 both would need one sign
    let mtime = Timestamp::new(seconds, nanoseconds).map_err(|e| wrong(&e))?;
    let size = file.size.unwrap_or(0);
    let mut meta = Metadata { size, mode: Some(0o600), mtime: Some(mtime), ..Metadata::default() };
    let attributes: Vec<_> = file
        .attributes
        .iter()
        .map(|(name, value)| serde_json::json!({ "name": format!("user.{name}"), "value": STANDARD.encode(value) }))
        .collect();
    meta.extended_attributes = serde_json::from_value(attributes.into()).map_err(|e| wrong(&e))?;
    let name = path.file_name().ok_or_else(|| wrong(&"it has no name"))?;
    Ok(Node::new_node(name, NodeType::File, meta))
}
