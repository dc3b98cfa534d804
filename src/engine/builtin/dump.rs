//! The backup: one snapshot is counted and dumped, compressed on the way, read back in full, and only then a point.
//!
//! `pg_restore --list` is content with half a dump (seen with PostgreSQL 15), so the verification reads every block.

use super::manifest::{self, DUMP, DatabaseContent, PointManifest, UnfinishedPoint};
use super::properties::DatabaseProperties;
use super::{SnapshotReader, blocking, connect, execute};
use crate::client::{Ended, Error, ErrorKind, Running, chain};
use crate::clock::{self, Clock};
use crate::engine::Readings;
use crate::environment::Sql;
use crate::model::RecoveryPoint;
use postgres_protocol::escape::escape_literal;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use tokio_postgres::Client;
use tokio_util::io::SyncIoBridge;

const LEVEL: i32 = 3; // a third of gzip's time at the same size
const BUFFER: usize = 256 * 1024;

/// Takes a backup into `REPOSITORY/ID`.
pub async fn backup(
    sql: &dyn Sql,
    repository: &Path,
    id: &str,
    clock: &Clock,
    reader: Option<&dyn SnapshotReader>,
) -> Result<RecoveryPoint, Error> {
    let what = format!("backup of database `{}`", sql.database());
    let client = connect(sql, sql.database()).await?;
    let folder =
        UnfinishedPoint::create(repository.join(format!("{id}.partial"))).map_err(|e| Error::caused_by(&what, e))?;
    execute(&client, &what, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let name: String = value(&client, "SELECT pg_export_snapshot()").await?;
    let (snapshot, taken_at) = (clock.now(), clock::wall());
    let content = content(&client, sql.database()).await?;
    let path = folder.path.join(DUMP);
    let read = async {
        match reader {
            Some(reader) => reader.read(&name).await,
            None => Readings::new(),
        }
    };
    let (dumped, readings) = tokio::join!(dump(sql, &name, &path), read);
    let (digest, bytes) = dumped?;
    execute(&client, &what, "COMMIT").await?;
    if feed(&path, sql.tool("pg_restore", &["-f", "/dev/null"]).await?).await? != digest {
        return Err(Error::new(what, format!("`{}` reads back otherwise than it was written", path.display())));
    }
    let tool = version(sql).await?;
    let point = PointManifest { schema: 1, digest, bytes, content, snapshot, taken_at, tool };
    let to = repository.join(id);
    blocking(&what, move || {
        manifest::write_readings(&folder.path, &readings)?;
        point.write(&folder.path)?;
        folder.rename(&to)
    })
    .await?;
    Ok(RecoveryPoint { id: id.to_owned(), snapshot, taken_at, bytes: Some(bytes) })
}

/// Decompresses the dump into the standard input of `tool`; answers the file's digest. The tool's refusal is the error,
/// with the last line it said.
pub async fn feed(dump: &Path, tool: Running) -> Result<String, Error> {
    let what = format!("reading `{}`", dump.display());
    let file = File::open(dump).map_err(|e| Error::caused_by(&what, e))?;
    let Running { input, mut output, ended } = tool;
    let pump = blocking(&what, move || {
        let mut decoder = zstd::stream::read::Decoder::new(Digesting::new(file))?;
        let mut input = SyncIoBridge::new(input);
        copy(&mut decoder, &mut input)?;
        input.shutdown()?;
        Ok(decoder.finish().into_inner().digest())
    });
    let mut nothing = tokio::io::sink();
    let (pumped, ended, _) = tokio::join!(pump, ended, tokio::io::copy(&mut output, &mut nothing));
    let ended = ended?;
    if ended.success() {
        return pumped;
    }
    match pumped {
        // A broken pipe is only the echo of the tool's own end.
        Err(error) if error.kind != ErrorKind::BrokenPipe => Err(error),
        _ => Err(refusal("`pg_restore` failed", &ended)),
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

async fn dump(sql: &dyn Sql, snapshot: &str, path: &Path) -> Result<(String, u64), Error> {
    let what = format!("pg_dump of `{}`", sql.database());
    let snapshot = format!("--snapshot={snapshot}");
    // A waiting ACCESS EXCLUSIVE lock would hold the dump up, and the dump everybody behind it.
    let args = ["-Fc", "-Z0", "--no-owner", "--lock-wait-timeout=10s", &snapshot, "-d", sql.database()];
    let Running { input, output, ended } = sql.tool("pg_dump", &args).await?;
    drop(input);
    let file = File::create_new(path).map_err(|e| Error::caused_by(&what, e))?;
    let pump = blocking(&what, move || {
        let mut encoder = zstd::stream::write::Encoder::new(Digesting::new(file), LEVEL)?;
        encoder.include_checksum(true)?;
        copy(&mut SyncIoBridge::new(output), &mut encoder)?;
        let written = encoder.finish()?;
        written.inner.sync_all()?;
        let bytes = written.inner.metadata()?.len();
        Ok((written.digest(), bytes))
    });
    let (pumped, ended) = tokio::join!(pump, ended);
    let ended = ended?;
    if ended.success() { pumped } else { Err(refusal(what, &ended)) }
}

/// Why a tool refused. Tools older than the server, or than the dump, are worth a hint.
fn refusal(what: impl Into<String>, ended: &Ended) -> Error {
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
    })
}

async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(client: &Client, query: &str) -> Result<T, Error> {
    let row = client.query_one(query, &[]).await.and_then(|row| row.try_get(0));
    row.map_err(|e| Error::caused_by(format!("`{query}`"), e))
}

async fn version(sql: &dyn Sql) -> Result<String, Error> {
    let said = sql.tool("pg_dump", &["--version"]).await?.text("the version of `pg_dump`").await?;
    Ok(said.trim().to_owned())
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => to.write_all(&buffer[..n])?,
        }
    }
}

/// Takes the digest of all that passes.
pub struct Digesting<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T> Digesting<T> {
    /// Around a file, at its beginning.
    pub fn new(inner: T) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }
    /// Of all that has passed.
    pub fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
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
