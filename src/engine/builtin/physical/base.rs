//! A base backup: the server's own `pg_basebackup` as one stream of bytes, with its manifest taken out on the way.
//!
//! Apart from where it is kept: the stream goes wherever its reader takes it. The log that makes the copy consistent is
//! in the stream too (`-X fetch`), so that it can be restored by itself, without what was received; the receiver's
//! slot keeps the server from throwing it away meanwhile. Not compressed: that would defeat deduplication, and is the
//! repository's to decide. Pages are checked as they are read, and a damaged one fails the backup.

use super::tar::TarTap;
use super::{bounded, connect, micros, timestamp};
use crate::client::{Ended, Error, Running, postgres};
use crate::clock::Deadline;
use crate::engine::Lsn;
use crate::environment::Sql;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::AsyncRead;
use tokio::task::JoinHandle;
use tokio_util::io::InspectReader;

const MANIFEST: &str = "backup_manifest";

/// What is known of a base backup, as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRecord {
    /// The label in it.
    pub label: String,
    /// The cluster's own identifier.
    pub system: String,
    /// The timeline of its log.
    pub timeline: u32,
    /// From here on the log must be replayed.
    pub start: Lsn,
    /// Up to here it must be replayed at least: no state before this one can be restored.
    pub stop: Lsn,
    /// The server's version, as in `server_version_num`.
    pub version: u32,
    /// The server's clock before the copy began: all that was committed by then is in it.
    pub began: Timestamp,
    /// The server's clock when the copy was done: nothing that was committed later is in it.
    pub ended: Timestamp,
    /// Bytes of the stream.
    pub bytes: u64,
    /// Files in it.
    pub files: u64,
    /// BLAKE3 of the manifest, which has a SHA-256 of each file.
    pub manifest_digest: String,
    /// Can a damaged page be found by its checksum?
    pub checksums: bool,
}

impl BaseRecord {
    /// One without any log.
    #[cfg(test)]
    pub fn sample() -> Self {
        Self {
            label: "x".into(),
            system: "7".into(),
            timeline: 0,
            start: Lsn(0),
            stop: Lsn(0),
            version: 150_018,
            began: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            bytes: 1,
            files: 1,
            manifest_digest: String::new(),
            checksums: true,
        }
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }
}

/// A base backup on its way. Dropping it ends `pg_basebackup`.
pub struct BaseBackup {
    /// The stream, a tar archive; to be read to its end before [`Self::finish`].
    pub stream: Pin<Box<dyn AsyncRead + Send>>,
    tap: Arc<Mutex<TarTap>>,
    tool: ToolTask,
    record: BaseRecord,
}

/// A tool that is waited for beside its stream; it ends with this value.
struct ToolTask(JoinHandle<Result<Ended, Error>>);

impl Drop for ToolTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const SERVER: &str = "SELECT current_setting('server_version_num')::int, (SELECT system_identifier::text FROM \
     pg_control_system()), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
     current_setting('data_checksums') = 'on', pg_is_in_recovery()";

impl BaseBackup {
    /// Begins one. The receiver is to run by now, so that no log is missing between the two.
    pub async fn begin(sql: &dyn Sql, label: &str, deadline: Deadline) -> Result<Self, Error> {
        let row = bounded(deadline, "ask the server before the backup", async {
            postgres::one(&connect(sql, "postgres").await?, SERVER).await
        })
        .await?;
        let label_argument = format!("--label={label}");
        let args =
            ["-D", "-", "-Ft", "-X", "fetch", "-c", "fast", "--manifest-checksums=SHA256", "-w", &label_argument];
        let Running { input, output, ended } = sql.tool("pg_basebackup", &args).await?;
        drop(input);
        let tap = Arc::new(Mutex::new(TarTap::new(&[MANIFEST])));
        let passing = Arc::clone(&tap);
        let stream = InspectReader::new(output, move |bytes| passing.lock().push(bytes));
        let began = timestamp(row.get(2))?;
        let record = BaseRecord {
            label: label.to_owned(),
            system: row.get(1),
            timeline: 0,
            start: Lsn(0),
            stop: Lsn(0),
            version: u32::try_from(row.get::<_, i32>(0)).unwrap_or(0),
            began,
            ended: began,
            bytes: 0,
            files: 0,
            manifest_digest: String::new(),
            checksums: row.get(3),
        };
        Ok(Self { stream: Box::pin(stream), tap, tool: ToolTask(tokio::spawn(ended)), record })
    }

    /// Once the stream was read to its end: what it holds. An error is a backup that must not be kept.
    pub async fn finish(mut self, sql: &dyn Sql, deadline: Deadline) -> Result<(BaseRecord, Vec<u8>), Error> {
        let what = "`pg_basebackup`";
        let ended = bounded(deadline, what, async { (&mut self.tool.0).await.map_err(|e| Error::caused_by(what, e))? });
        let ended = ended.await?;
        if !ended.success() {
            return Err(refused(what, &ended));
        }
        let tap = std::mem::take(&mut *self.tap.lock());
        let manifest = tap.found.get(MANIFEST).filter(|_| tap.whole());
        let manifest = manifest.ok_or_else(|| Error::new(what, "its stream ended before the manifest"))?.clone();
        let clock = bounded(deadline, "ask the server's clock", async {
            let query = format!("SELECT {}", micros("clock_timestamp()"));
            postgres::one(&connect(sql, "postgres").await?, &query).await
        });
        let record = BaseRecord {
            ended: timestamp(clock.await?.get(0))?,
            bytes: tap.bytes,
            files: tap.files,
            manifest_digest: blake3::hash(&manifest).to_hex().to_string(),
            ..self.record.clone()
        };
        Ok((with_range(record, &manifest)?, manifest))
    }
}

/// The record with the range of the log that the manifest names.
fn with_range(record: BaseRecord, manifest: &[u8]) -> Result<BaseRecord, Error> {
    let what = "cannot read the manifest of the base backup";
    let manifest: Value = serde_json::from_slice(manifest).map_err(|e| Error::caused_by(what, e))?;
    let ranges = manifest["WAL-Ranges"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [range] = ranges else {
        return Err(Error::new(what, format!("it names {} ranges of the log instead of one", ranges.len())));
    };
    let lsn = |key: &str| range[key].as_str().unwrap_or_default().parse();
    let timeline = range["Timeline"].as_u64().and_then(|timeline| u32::try_from(timeline).ok());
    let timeline = timeline.ok_or_else(|| Error::new(what, "no timeline"))?;
    Ok(BaseRecord { timeline, start: lsn("Start-LSN")?, stop: lsn("End-LSN")?, ..record })
}

fn refused(what: &str, ended: &Ended) -> Error {
    let error = Error::new(what, ended);
    match &ended.said {
        said if said.contains("can only write single tablespace") => {
            error.hint("a database with tablespaces of its own cannot be backed up as one stream")
        }
        said if said.contains("checksum") => {
            error.hint("a page of the live database is damaged: restore an earlier point")
        }
        said if said.contains("pg_hba.conf") => {
            error.hint("let the administrator replicate: a line `host replication ROLE ADDRESS scram-sha-256`")
        }
        _ => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_the_log_is_the_manifests() {
        let record = BaseRecord::sample();
        assert_eq!(record.major(), 15);
        let manifest = br#"{ "WAL-Ranges": [ { "Timeline": 2, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" } ] }"#;
        let read = with_range(record.clone(), manifest).unwrap();
        assert_eq!((read.timeline, read.start.0, read.stop.0), (2, 0x200_0028, 0x200_0100));
        assert!(with_range(record.clone(), br#"{ "WAL-Ranges": [] }"#).is_err());
        assert!(with_range(record, b"half").is_err());
    }
}
