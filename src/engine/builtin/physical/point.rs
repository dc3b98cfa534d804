//! A base backup as a point of a repository: `database/base.tar`, and last of all `point.json`, which says what it is.
//!
//! The stream goes into the repository as it comes; what it held is known only at its end, so the manifest waits for that.
//! If `pg_basebackup` fails, so does the manifest, and there is no point.

use super::base::{BaseBackup, BaseRecord};
use super::connect;
use crate::client::{Error, postgres};
use crate::clock::Deadline;
use crate::engine::SealedConfiguration;
use crate::environment::Sql;
use crate::repository::{NewFile, NewPoint, OpenPoint, OpenRepository, Stored, Turn};
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::sync::oneshot;

/// The stream's name in a point.
const BASE: &str = "database/base.tar";
/// The manifest's name in a point.
const MANIFEST: &str = "point.json";
/// How long `pg_basebackup` may take to end, and the server to say its time, once the stream is at its end.
const END: Duration = Duration::from_secs(30);

/// What a point holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseManifest {
    /// The base backup.
    pub base: BaseRecord,
    /// The folder of its log, below that of the run's points; nothing where server and timeline tell it.
    pub log: Option<String>,
    /// Who took it: an administrator of the server, and so of every copy.
    #[serde(default)]
    pub administrator: String,
}

/// What a base backup is called.
pub struct PointName<'a> {
    /// What it is a point of, as the repository knows it.
    pub subject: &'a str,
    /// Its own name.
    pub name: &'a str,
    /// The folder of its log, if it is one of the run's.
    pub log: Option<String>,
    /// The configuration that goes into it, if one does.
    pub sealed: Option<&'a SealedConfiguration>,
}

/// Puts a base backup into the repository under this name. Dropped, it ends `pg_basebackup`, and there is no point.
pub async fn put(
    sql: &dyn Sql,
    repository: &OpenRepository,
    mut backup: BaseBackup,
    PointName { subject, name, log, sealed }: PointName<'_>,
) -> Result<Stored, Error> {
    let what = "backup of the database server";
    let stream: Pin<Box<dyn AsyncRead + Send>> = std::mem::replace(&mut backup.stream, Box::pin(tokio::io::empty()));
    let base = NewFile::stream(BASE, move || std::future::ready(Ok(Box::new(stream) as _)));
    let (ended, at_its_end) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel::<Result<Vec<u8>, Error>>();
    let manifest = NewFile::stream(MANIFEST, move || async move {
        let _ = ended.send(()); // whoever gave up says so below
        let text = told.await.unwrap_or_else(|_| Err(Error::new(what, "it was given up")))?;
        Ok(Box::new(Cursor::new(text)) as Box<dyn AsyncRead + Send + Unpin>)
    });
    let manifest = NewFile { turn: Turn::Last, ..manifest };
    let tags = SealedConfiguration::tags(sealed, name);
    let point = NewPoint { label: subject.to_owned(), tags, time: crate::clock::wall() };
    let files = SealedConfiguration::file(sealed).into_iter().chain([base, manifest]);
    let put = repository.put(point, futures::stream::iter(files.map(Ok).collect::<Vec<_>>()));
    let finished = async {
        at_its_end.await.ok()?; // else the repository gave up before
        let finished = async {
            let (base, _) = backup.finish(sql, Deadline::within(END)).await?;
            let row = postgres::one(&connect(sql, "postgres").await?, "SELECT current_user::text").await?;
            let manifest = BaseManifest { base, log, administrator: row.get(0) };
            serde_json::to_vec_pretty(&manifest).map_err(|e| Error::caused_by(what, e))
        };
        let finished = finished.await;
        let failed = finished.as_ref().err().cloned();
        let _ = tell.send(finished); // as above
        failed
    };
    match tokio::join!(put, finished) {
        (_, Some(error)) => Err(error), // that the repository got half of it follows from that
        (stored, None) => stored.map_err(|error| Error::caused_by(what, error)),
    }
}

/// The contents of the point of this name, with its manifest.
pub async fn open(repository: &OpenRepository, subject: &str, name: &str) -> Result<(OpenPoint, BaseManifest), Error> {
    let point = repository.tagged_point(subject, name).await?;
    let manifest = point.json(MANIFEST).await?;
    Ok((point, manifest))
}

/// The stream of a point's base backup.
pub async fn stream(point: &OpenPoint) -> Result<Pin<Box<dyn AsyncRead + Send>>, Error> {
    let file = point.find(BASE).await?;
    Ok(Box::pin(point.read(&file)))
}
