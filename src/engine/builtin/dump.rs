//! The backup: one snapshot is counted and dumped into the repository, checked on its way, and only then a point.
//!
//! `pg_restore --list` is content with half a dump (seen with PostgreSQL 15), so every block goes through `pg_restore` while
//! the dump is stored. The dump is not compressed: the repository does that, and finds what has not changed.

use super::artifacts::{self, ArtifactMethod};
use super::manifest::{DUMP, DatabaseContent, DumpContent, DumpDigest, MANIFEST, PointManifest, READINGS, SCHEMA};
use super::properties::DatabaseProperties;
use super::{connect, execute};
use crate::client::{Ended, Error, Running, chain};
use crate::clock;
use crate::engine::{EngineContext, Readings, SealedConfiguration};
use crate::environment::{Platform, Sql};
use crate::model::RecoveryPoint;
use crate::repository::{NewFile, NewPoint, OpenRepository, Turn};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use postgres_protocol::escape::escape_literal;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Client;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

/// How much of a dump is passed on at once.
pub const BUFFER: usize = 256 * 1024;
/// How many buffers wait for the repository.
const WAITING: usize = 4;

/// Takes a backup of `subject` into the repository, under this name; with a method for them, of the artifacts too.
pub async fn backup(
    context: &EngineContext,
    repository: &OpenRepository,
    subject: &str,
    artifact_method: Option<ArtifactMethod>,
    name: &str,
) -> Result<RecoveryPoint, Error> {
    let sql = context.platform.sql()?;
    let what = format!("backup of database `{}`", sql.database());
    let client = connect(sql, sql.database()).await?;
    execute(&client, &what, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let exported: String = value(&client, "SELECT pg_export_snapshot()").await?;
    let listed = match artifact_method {
        Some(method) => Some(artifacts::list(context.platform.objects()?, clock::wall(), method).await?),
        None => None,
    };
    // Of a point whose list was made after the onset it must not be said that it precedes that.
    let (snapshot, taken_at) = (context.clock.now(), clock::wall());
    let (content, tool) = (content(&client, sql.database()).await?, version(sql).await?);
    let dumped: Arc<Mutex<Option<DumpContent>>> = Arc::default();
    // The tools end with this future, however it ends. Those who read the dump may be held up and notice later.
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let (ended, end) = oneshot::channel();
    let mut files = vec![dump_file(&context.platform, &exported, &dumped, &stop, ended)];
    let (send, receive) = oneshot::channel();
    if context.reader.is_some() {
        files.push(readings_file(receive));
    }
    let artifacts = listed.as_ref().map(|listed| listed.content.clone());
    let manifest = move |dump| PointManifest { schema: SCHEMA, dump, content, taken_at, tool, artifacts };
    let last = manifest_file(Arc::clone(&dumped), manifest);
    let of_artifacts = listed.map(artifacts::ListedArtifacts::files).transpose()?;
    let sealed = context.repository.as_ref().and_then(|named| named.configuration.as_ref());
    let files = SealedConfiguration::file(sealed).into_iter().chain(files).chain(of_artifacts.into_iter().flatten());
    let files = files.chain(std::iter::once(last));
    let point = NewPoint { label: subject.to_owned(), tags: SealedConfiguration::tags(sealed, name), time: taken_at };
    let put = repository.put(point, futures::stream::iter(files).map(Ok));
    // The snapshot holds up what the server cleans away: it goes before the artifacts are read.
    let release = async {
        if let Some(reader) = &context.reader {
            let _ = send.send(reader.read(&exported).await); // whoever gave up wants it no more
        }
        let _ = end.await; // without a dump there is no point, which `put` says
        execute(&client, &what, "COMMIT").await
    };
    let (stored, released) = tokio::join!(put, release);
    let stored = stored.map_err(|error| Error::caused_by(&what, error))?;
    released?;
    Ok(RecoveryPoint { id: name.to_owned(), snapshot, taken_at, bytes: Some(stored.bytes) })
}

fn dump_file(
    platform: &Arc<dyn Platform>,
    snapshot: &str,
    dumped: &Arc<Mutex<Option<DumpContent>>>,
    stop: &CancellationToken,
    ended: oneshot::Sender<()>,
) -> NewFile {
    let (platform, snapshot, dumped) = (Arc::clone(platform), snapshot.to_owned(), Arc::clone(dumped));
    let stop = stop.clone();
    NewFile::stream(DUMP, move || async move { dump(platform, &snapshot, dumped, stop, ended).await })
}

/// What is read in the snapshot; the file waits for it.
fn readings_file(readings: oneshot::Receiver<Readings>) -> NewFile {
    NewFile::stream(READINGS, move || async move {
        let readings = readings.await.unwrap_or_default();
        let text = serde_json::to_vec(&readings).map_err(|e| Error::caused_by("cannot write what was read", e))?;
        Ok(Box::new(io::Cursor::new(text)) as Box<dyn AsyncRead + Send + Unpin>)
    })
}

/// Written when the dump has ended, since it tells of it.
fn manifest_file(
    dumped: Arc<Mutex<Option<DumpContent>>>,
    manifest: impl FnOnce(DumpContent) -> PointManifest + Send + 'static,
) -> NewFile {
    let file = NewFile::stream(MANIFEST, move || async move {
        let what = "cannot write the manifest";
        let dump = dumped.lock().take().ok_or_else(|| Error::new(what, "the dump has not ended"))?;
        let text = serde_json::to_vec_pretty(&manifest(dump)).map_err(|e| Error::caused_by(what, e))?;
        Ok(Box::new(io::Cursor::new(text)) as Box<dyn AsyncRead + Send + Unpin>)
    });
    NewFile { turn: Turn::Last, ..file }
}

/// Starts the dump: a stream that ends well only if `pg_dump` did, and if `pg_restore` could read all of it.
async fn dump(
    platform: Arc<dyn Platform>,
    snapshot: &str,
    dumped: Arc<Mutex<Option<DumpContent>>>,
    stop: CancellationToken,
    dump_ended: oneshot::Sender<()>,
) -> Result<Box<dyn AsyncRead + Send + Unpin>, Error> {
    let sql = platform.sql()?;
    let what = format!("pg_dump of `{}`", sql.database());
    let snapshot = format!("--snapshot={snapshot}");
    // A waiting ACCESS EXCLUSIVE lock would hold the dump up, and the dump everybody behind it.
    let args = ["-Fc", "-Z0", "--no-owner", "--lock-wait-timeout=10s", &snapshot, "-d", sql.database()];
    let (dump, check) = (sql.tool("pg_dump", &args).await?, sql.tool("pg_restore", &["-f", "/dev/null"]).await?);
    let (send, receive) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    tokio::spawn(async move {
        match stop.run_until_cancelled(pass(&what, dump, check, &send)).await {
            Some(Ok(content)) => *dumped.lock() = Some(content),
            Some(Err(error)) => drop(send.send(Err(io::Error::other(error.to_string()))).await), // nobody may hear it
            None => drop(send.try_send(Err(io::Error::other("the backup was given up")))),
        }
        drop(dump_ended); // whoever waits for it hears that
    });
    let pieces = futures::stream::unfold(receive, async |mut receive| receive.recv().await.map(|it| (it, receive)));
    Ok(Box::new(StreamReader::new(pieces.boxed())))
}

/// Passes the dump on, to the one who stores it and to the one who checks it.
async fn pass(
    what: &str,
    dump: Running,
    check: Running,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<DumpContent, Error> {
    let Running { input, mut output, ended } = dump;
    drop(input);
    let Running { input: mut checked, output: mut nothing, ended: check_ended } = check;
    let passed = async {
        let mut digest = DumpDigest::default();
        loop {
            let mut buffer = bytes::BytesMut::with_capacity(BUFFER);
            while buffer.len() < BUFFER && output.read_buf(&mut buffer).await? > 0 {}
            if buffer.is_empty() {
                break;
            }
            digest.add(&buffer);
            checked.write_all(&buffer).await?;
            let gone = |_| io::Error::other("nobody stores the dump any more");
            to.send(Ok(buffer.freeze())).await.map_err(gone)?;
        }
        checked.shutdown().await?;
        drop(checked);
        Ok(digest.content())
    };
    let mut sink = tokio::io::sink();
    let (passed, ended, check_ended, _) =
        tokio::join!(passed, ended, check_ended, tokio::io::copy(&mut nothing, &mut sink));
    let (ended, check_ended) = (ended?, check_ended?);
    match passed {
        _ if !ended.success() => Err(refusal(what, &ended)),
        _ if !check_ended.success() => Err(refusal("`pg_restore` cannot read the dump", &check_ended)),
        passed => passed.map_err(|e: io::Error| Error::caused_by(what, e)),
    }
}

/// The rows of every table that is not the server's own.
pub async fn rows(client: &Client) -> Result<BTreeMap<String, i64>, Error> {
    let failed = |e: tokio_postgres::Error| Error::new("cannot count rows", chain(&e));
    let tables = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n \
         ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence <> 't' \
         AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    let tables: Vec<String> = client.query(tables, &[]).await.map_err(failed)?.iter().map(|r| r.get(0)).collect();
    let counts: Vec<_> = tables.iter().map(|t| format!("SELECT {}, count(*) FROM {t}", escape_literal(t))).collect();
    let mut rows = BTreeMap::new();
    for some in counts.chunks(100) {
        let found = client.query(&some.join(" UNION ALL "), &[]).await.map_err(failed)?;
        rows.extend(found.iter().map(|row| (row.get::<_, String>(0), row.get::<_, i64>(1))));
    }
    Ok(rows)
}

/// Why a tool refused. Tools older than the server, or than the dump, are worth a hint.
pub fn refusal(what: impl Into<String>, ended: &Ended) -> Error {
    let error = Error::new(what, ended);
    let old = ["server version mismatch", "unsupported version"].iter().any(|sign| ended.said.contains(sign));
    if old { error.hint("use client tools of the server's version") } else { error }
}

async fn content(client: &Client, database: &str) -> Result<DatabaseContent, Error> {
    let row = client
        .query_one(
            "SELECT pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding)::text, datcollate::text, \
             datctype::text, current_setting('server_version'), \
             (SELECT system_identifier::text FROM pg_control_system()), \
             to_regclass('public.alembic_version') IS NOT NULL FROM pg_database WHERE datname = current_database()",
            &[],
        )
        .await
        .map_err(|e| Error::caused_by(format!("cannot read what `{database}` is"), e))?;
    let revisions = "SELECT string_agg(version_num, ',') FROM public.alembic_version";
    let alembic = if row.get(6) { value(client, revisions).await? } else { None };
    Ok(DatabaseContent {
        database: database.to_owned(),
        owner: row.get(0),
        encoding: row.get(1),
        collate: row.get(2),
        ctype: row.get(3),
        server: row.get(4),
        system: row.get(5),
        alembic,
        rows: rows(client).await?,
        properties: Some(DatabaseProperties::read(client).await?),
        roles: roles(client).await?,
    })
}

async fn roles(client: &Client) -> Result<BTreeMap<String, bool>, Error> {
    let query = "SELECT rolname::text, rolsuper FROM pg_roles WHERE rolname !~ '^pg_'";
    let roles = client.query(query, &[]).await.map_err(|e| Error::caused_by("cannot read the server's roles", e))?;
    Ok(roles.iter().map(|role| (role.get(0), role.get(1))).collect())
}

async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(client: &Client, query: &str) -> Result<T, Error> {
    let row = client.query_one(query, &[]).await.and_then(|row| row.try_get(0));
    row.map_err(|e| Error::caused_by(format!("`{query}`"), e))
}

async fn version(sql: &dyn Sql) -> Result<String, Error> {
    let said = sql.tool("pg_dump", &["--version"]).await?.text("the version of `pg_dump`").await?;
    Ok(said.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(said: &str) -> Ended {
        Ended { code: Some(1), said: said.to_owned() }
    }

    #[test]
    fn a_tool_that_is_too_old_is_told_with_both_versions_and_what_to_do() {
        let said = "pg_dump: error: aborting because of server version mismatch\n\
            pg_dump: detail: server version: 18.6; pg_dump version: 15.18\n";
        let error = refusal("pg_dump of `mlflow`", &ended(said));
        assert_eq!(error.why, "pg_dump: detail: server version: 18.6; pg_dump version: 15.18");
        assert_eq!(error.hint.as_deref(), Some("use client tools of the server's version"));
        let old = "pg_restore: error: unsupported version (1.16) in file header\n";
        assert!(refusal("`pg_restore` failed", &ended(old)).hint.is_some());
        assert_eq!(refusal("x", &ended("pg_dump: error: connection lost\n")).hint, None);
    }
}
