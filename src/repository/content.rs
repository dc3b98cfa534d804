//! One file's bytes on their way to `rustic_core`: read by a task of the runtime, and never cut short in silence.
//!
//! A short read ruins rustic's chunker for the rest of a file, so a read here fills the buffer. A failed file is left out
//! by rustic, so every failure closes the gate. What waits in the channel of a file is a megabyte at most.

use super::gate::Gate;
use super::new_file::Opener;
use crate::client::Error;
use bytes::{Buf, Bytes, BytesMut};
use rustic_core::{ReadSourceOpen, RusticResult};
use std::convert::Infallible;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Bytes that are sent at once, and how many of them wait in a channel: a megabyte for each file.
const CHUNK: usize = 128 * 1024;
const CHUNKS: usize = 8;
/// What is said of a failed read until the file's name is known.
const CANNOT_READ: &str = "cannot read";

/// Reads files in tasks of the runtime.
#[derive(Clone)]
pub(super) struct Pump {
    pub handle: Handle,
    pub gate: Arc<Gate>,
}

impl Pump {
    /// Waits, on a thread that is no worker of the runtime, for what a stream gives, or until the gate is closed.
    pub fn wait_for<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        let _inside = self.handle.enter();
        let done = futures::executor::block_on(async {
            tokio::select! {
                biased;
                () = self.gate.closed() => None,
                done = work => Some(done),
            }
        });
        done.ok_or_else(|| self.gate.failure().unwrap_or_else(|| Error::new(CANNOT_READ, "it was interrupted")))
    }
}

/// A file that nobody has opened yet.
pub(super) struct Unread {
    pub pump: Pump,
    pub name: String,
    pub size: Option<u64>,
    pub open: Opener,
    /// Held until it has been read.
    pub earlier: Option<mpsc::Sender<Infallible>>,
    /// Ends when all others have been read.
    pub wait: Option<mpsc::Receiver<Infallible>>,
}

impl Unread {
    fn start(self) -> ContentReader {
        let (chunks, received) = mpsc::channel(CHUNKS);
        let Self { pump, name, size, open, earlier, wait } = self;
        let gate = Arc::clone(&pump.gate);
        pump.handle.spawn(async move {
            tokio::select! {
                biased;
                () = gate.closed() => {} // a source that hangs holds nobody up
                () = read(open, wait, Arc::clone(&gate), chunks) => {}
            }
        });
        ContentReader { pump, name, left: size, received, current: Bytes::new(), ended: false, _earlier: earlier }
    }
}

/// Sends a file's bytes in chunks, an empty one for its end; or an error.
async fn read(
    open: Opener,
    wait: Option<mpsc::Receiver<Infallible>>,
    gate: Arc<Gate>,
    chunks: mpsc::Sender<Result<Bytes, Error>>,
) {
    if let Some(mut earlier) = wait {
        let _ = earlier.recv().await; // none is ever sent: this is the end of the last sender
        if let Some(error) = gate.failure() {
            let _ = chunks.send(Err(error)).await;
            return;
        }
    }
    let mut reader = match open().await {
        Ok(reader) => reader,
        Err(error) => {
            let _ = chunks.send(Err(error)).await;
            return;
        }
    };
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            match reader.read_buf(&mut chunk).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    let _ = chunks.send(Err(Error::caused_by(CANNOT_READ, error))).await;
                    return;
                }
            }
        }
        let is_end = chunk.is_empty();
        if chunks.send(Ok(chunk.freeze())).await.is_err() || is_end {
            return;
        }
    }
}

/// A file's bytes, opened ahead or not. One that is dropped unopened is unchanged.
pub(super) struct Content {
    state: Option<ContentState>,
    gate: Arc<Gate>,
}

enum ContentState {
    Unread(Box<Unread>),
    Started(ContentReader),
}

impl Content {
    pub fn new(unread: Unread) -> Self {
        Self { gate: Arc::clone(&unread.pump.gate), state: Some(ContentState::Unread(Box::new(unread))) }
    }

    pub fn new_started(unread: Unread) -> Self {
        Self { gate: Arc::clone(&unread.pump.gate), state: Some(ContentState::Started(unread.start())) }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if self.state.is_some() {
            self.gate.settle();
        }
    }
}

impl ReadSourceOpen for Content {
    type Reader = ContentReader;

    fn open(mut self) -> RusticResult<ContentReader> {
        let state = self.state.take();
        match state {
            Some(ContentState::Unread(unread)) => Ok(unread.start()),
            Some(ContentState::Started(reader)) => Ok(reader),
            None => Err(super::backend::foreign(Error::new("cannot read", "it was opened before"))),
        }
    }
}

/// Reads a file's bytes and fills whatever buffer it is given.
pub(super) struct ContentReader {
    pump: Pump,
    name: String,
    left: Option<u64>,
    received: mpsc::Receiver<Result<Bytes, Error>>,
    current: Bytes,
    ended: bool,
    _earlier: Option<mpsc::Sender<Infallible>>,
}

impl ContentReader {
    /// The next bytes; none at the end.
    fn receive(&mut self) -> Result<Bytes, Error> {
        if self.ended {
            return Ok(Bytes::new());
        }
        let what = || format!("cannot read `{}`", self.name);
        let chunk = self.received.blocking_recv();
        let chunk = chunk.unwrap_or_else(|| Err(Error::new(what(), "it was cut short")));
        let chunk = chunk.map_err(|mut error| {
            if error.what == CANNOT_READ {
                error.what = what();
            }
            error
        })?;
        let length = chunk.len() as u64;
        if let Some(left) = self.left {
            let rest =
                left.checked_sub(length).ok_or_else(|| Error::new(what(), "it is longer than it was said to be"));
            self.left = Some(rest?);
            if chunk.is_empty() && left > 0 {
                return Err(Error::new(what(), format!("it is {left} bytes shorter than it was said to be")));
            }
        }
        if chunk.is_empty() {
            self.ended = true;
            self.pump.gate.settle();
        }
        Ok(chunk)
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.current.is_empty() {
                self.current = self.receive().map_err(|error| {
                    self.pump.gate.fail(error.clone());
                    io::Error::other(error)
                })?;
                if self.current.is_empty() {
                    break;
                }
            }
            let n = self.current.len().min(buffer.len() - filled);
            buffer[filled..filled + n].copy_from_slice(&self.current[..n]);
            self.current.advance(n);
            filled += n;
        }
        Ok(filled)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::{AsyncRead, ReadBuf};

    /// Gives seven bytes at a time.
    struct Slow(usize);

    impl AsyncRead for Slow {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
            let n = self.0.min(7).min(buffer.remaining());
            buffer.put_slice(&vec![1; n]);
            self.0 -= n;
            Poll::Ready(Ok(()))
        }
    }

    fn started(size: Option<u64>, bytes: usize) -> (ContentReader, Arc<Gate>) {
        let gate = Arc::new(Gate::default());
        let pump = Pump { handle: Handle::current(), gate: Arc::clone(&gate) };
        let open: Opener = Box::new(move || Box::pin(async move { Ok(Box::new(Slow(bytes)) as _) }));
        let unread = Unread { pump, name: "slow".into(), size, open, earlier: None, wait: None };
        (unread.start(), gate)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn short_reads_fill_the_buffer() {
        let (mut reader, _) = started(None, 300_000);
        let lengths = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; 4096];
            std::iter::from_fn(|| Some(reader.read(&mut buffer).unwrap()).filter(|n| *n > 0)).collect::<Vec<_>>()
        });
        let lengths = lengths.await.unwrap();
        assert_eq!(lengths.iter().sum::<usize>(), 300_000);
        assert!(lengths[..lengths.len() - 1].iter().all(|n| *n == 4096), "{lengths:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_length_than_was_said_is_an_error() {
        for (said, is) in [(100, 99), (100, 101)] {
            let (mut reader, gate) = started(Some(said), is);
            let read = tokio::task::spawn_blocking(move || reader.read_to_end(&mut vec![])).await.unwrap();
            let why = read.unwrap_err().to_string();
            assert!(why.contains("`slow`") && why.contains("than it was said to be"), "{why}");
            assert!(gate.failure().is_some());
        }
    }
}
