//! The power over volumes: a new data directory beside a database server's own, filled, started privately, and swapped.
//!
//! Apart from the other powers because it is a small protocol of its own. The side folder holds two parts, the new data
//! directory and the log that is replayed into it; the component's own directory is not touched before `swap`, and
//! what it was stays until `settle`. Not here: what is put into the directory, and whether it is good; that is the
//! engine's.

use super::Sql;
use crate::client::{Error, Running};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt};

/// A part of the side folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum SidePart {
    /// The new data directory.
    Data,
    /// The write-ahead log that is replayed into it. From the data directory it is `../wal`.
    Wal,
}

/// What lies on a component's volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)] // what lies there, each for itself
pub struct VolumeState {
    /// The major version of the server that the data directory is for; none if there is none, or it is empty.
    pub major: Option<u32>,
    /// The major version of the server's own programs.
    pub programs: u32,
    /// Does a server run on it?
    pub running: bool,
    /// Is there a new directory beside it, in whatever state?
    pub side: bool,
    /// Was the directory swapped in, and neither settled nor put back yet?
    pub swapped: bool,
    /// Is the directory of before a swap still there?
    pub before: bool,
    /// Bytes that are free beside it.
    pub free: u64,
}

/// Power over the data directory of a database server, by the id of its component. Every call but `unpack` and `swap` is
/// idempotent, and what changes something is on the timeline before it is done.
#[async_trait]
pub trait Volumes: Send + Sync {
    /// What lies there; reads only.
    async fn volume(&self, component: &str) -> Result<VolumeState, Error>;
    /// Makes a new side folder with its parts empty, in place of one that an earlier attempt left. The server may run
    /// meanwhile.
    async fn make_side(&self, component: &str) -> Result<(), Error>;
    /// Unpacks a tar stream into a part of the side folder, as the server's user.
    async fn unpack(
        &self,
        component: &str,
        part: SidePart,
        mut tar: Pin<Box<dyn AsyncRead + Send>>,
    ) -> Result<(), Error> {
        let what = format!("cannot unpack the {part} of `{component}`");
        let Running { mut input, mut output, ended } =
            self.side_tool(component, "tar", &["-x", "-f", "-", "-C", &part.to_string()]).await?;
        let pump = async move {
            let copied = tokio::io::copy(&mut tar, &mut input).await;
            copied.map(drop).and(input.shutdown().await)
        };
        let mut nothing = tokio::io::sink();
        let (pumped, ended, _) = tokio::join!(pump, ended, tokio::io::copy(&mut output, &mut nothing));
        match (pumped, ended?) {
            (Err(error), ended) if ended.success() || error.kind() != ErrorKind::BrokenPipe => {
                Err(Error::caused_by(what, error))
            }
            (_, ended) if !ended.success() => Err(Error::new(what, ended)),
            _ => Ok(()),
        }
    }
    /// Starts a tool in the side folder, as the server's user and in UTC: one of the server's own version (`pg_waldump
    /// -p wal`), or a program of the system (`cp`).
    async fn side_tool(&self, component: &str, name: &str, args: &[&str]) -> Result<Running, Error>;
    /// Starts the server privately on the new data directory, with these settings over its own: nobody but the holder of
    /// the answer can connect, and that one as an administrator. Returns when it takes connections, be it read-only.
    async fn start_side(
        &self,
        component: &str,
        settings: &[(&str, String)],
        within: Duration,
    ) -> Result<Box<dyn Sql>, Error>;
    /// The last lines of that server's log.
    async fn side_log(&self, component: &str) -> String;
    /// Ends that server in good order.
    async fn stop_side(&self, component: &str) -> Result<(), Error>;
    /// Puts the new data directory in the place of the component's own, which is kept. The component must be stopped.
    /// Killed at whatever moment, it leaves what `put_back` can put back.
    async fn swap(&self, component: &str) -> Result<(), Error>;
    /// Undoes `swap`: the directory of before is in its place again, and the side folder is gone. The component must be
    /// stopped. Nothing if nothing was swapped, or if there was no directory before.
    async fn put_back(&self, component: &str) -> Result<(), Error>;
    /// Removes the directory of before a swap, and the side folder: from now on there is no way back.
    async fn settle(&self, component: &str) -> Result<(), Error>;
    /// Ends the private server and removes the side folder; never the directory of before a swap.
    async fn remove_side(&self, component: &str) -> Result<(), Error>;
}
