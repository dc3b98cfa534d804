//! The restore: fill a database at the side, compare; and then swap. The repository tells every damaged byte while it is read.
//!
//! Nothing that clients see is touched before the new database is whole. A server that runs MLflow would serve
//! partial data from a database that is still being filled (seen with MLflow 3.17), hence the side database.

use super::dump::{BUFFER, refusal, rows};
use super::manifest::{DUMP, DatabaseContent, DumpContent, DumpDigest, PointManifest};
use super::{connect, execute};
use crate::client::{Error, Running};
use crate::clock::Stopwatch;
use crate::environment::Sql;
use crate::model::Finding;
use crate::repository::OpenPoint;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::Client;

/// How long the renames wait for sessions to end before they are ended, and ended again.
const END_AGAIN: Duration = Duration::from_millis(20);

/// The database of a point, filled at the side and as its manifest says. Clients do not see it yet.
pub struct FilledDatabase<'a> {
    sql: &'a dyn Sql,
    server: Client,
    names: RestoreNames,
    laps: Laps,
    rows: i64,
    bytes: u64,
}

/// Fills the database of a point at the side; an error is a point that cannot be restored. Then it is removed.
pub async fn fill_side<'a>(
    sql: &'a dyn Sql,
    point: &OpenPoint,
    manifest: &PointManifest,
) -> Result<FilledDatabase<'a>, Error> {
    fill_with(sql, point, manifest, &[]).await
}

/// The same where the server may be another than that of the point.
pub async fn fill_anywhere<'a>(
    sql: &'a dyn Sql,
    point: &OpenPoint,
    manifest: &PointManifest,
) -> Result<FilledDatabase<'a>, Error> {
    match foreign(sql, manifest).await? {
        // Who may do what there is another server's affair.
        Some(manifest) => fill_with(sql, point, &manifest, &["--no-acl"]).await,
        None => fill_side(sql, point, manifest).await,
    }
}

async fn fill_with<'a>(
    sql: &'a dyn Sql,
    point: &OpenPoint,
    manifest: &PointManifest,
    more: &[&str],
) -> Result<FilledDatabase<'a>, Error> {
    let mut laps = Laps::start();
    let names = RestoreNames::of(sql.database())?;
    let server = connect(sql, "postgres").await?;
    drop_database(&server, &names.side).await?;
    let filled = fill(sql, &server, &names, point, manifest, more, &mut laps).await;
    let (rows, bytes) = (manifest.content.rows.values().sum(), manifest.dump.bytes);
    let database = FilledDatabase { sql, server, names, laps, rows, bytes };
    let refused = match filled {
        Ok(None) => return Ok(database),
        Ok(Some(reason)) => Error::new("the restored database", reason),
        Err(error) => error,
    };
    let _ = database.discard().await; // the error says more than a failed clean-up
    Err(refused)
}

impl FilledDatabase<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.names.side
    }

    /// Puts it in the live one's place; an error is a restore that did not work.
    pub async fn take_place(mut self) -> Result<Finding, Error> {
        self.laps.stopwatch.lap(); // what was done meanwhile is no part of the swap
        if let Err(error) = swap(self.sql, &self.server, &self.names).await {
            let _ = self.discard().await; // as above
            return Err(error);
        }
        self.laps.lap("swap");
        let finding = Finding::met().figure("rows", self.rows).figure("bytes", self.bytes);
        Ok(self.laps.done.into_iter().fold(finding, |f, (name, seconds)| f.figure(name, format!("{seconds:.3} s"))))
    }

    /// Removes it.
    pub async fn discard(self) -> Result<(), Error> {
        drop_database(&self.server, &self.names.side).await
    }
}

/// On another server than the point is of: the manifest with the live database's owner, if that server does not know the
/// point's, and without properties, which name roles too.
async fn foreign(sql: &dyn Sql, manifest: &PointManifest) -> Result<Option<PointManifest>, Error> {
    let query = "SELECT (SELECT system_identifier::text FROM pg_control_system()), coalesce( \
        (SELECT rolname::text FROM pg_roles WHERE rolname = $1), \
        (SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $2), current_user::text)";
    let server = connect(sql, "postgres").await?;
    let row = server.query_one(query, &[&manifest.content.owner, &sql.database()]).await;
    let row = row.map_err(|e| Error::caused_by("cannot ask the server who it is", e))?;
    let mut foreign = manifest.clone();
    (foreign.content.owner, foreign.content.properties) = (row.get(1), None);
    Ok((row.get::<_, String>(0) != manifest.content.system).then_some(foreign))
}

/// Fills the side database and compares it; answers what differs.
async fn fill(
    sql: &dyn Sql,
    server: &Client,
    names: &RestoreNames,
    point: &OpenPoint,
    manifest: &PointManifest,
    more: &[&str],
    laps: &mut Laps,
) -> Result<Option<String>, Error> {
    let DatabaseContent { owner, encoding, collate, ctype, rows: expected, .. } = &manifest.content;
    let create = format!(
        "CREATE DATABASE {} TEMPLATE template0 OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        escape_identifier(&names.side),
        escape_identifier(owner),
        escape_literal(encoding),
        escape_literal(collate),
        escape_literal(ctype)
    );
    execute(server, &format!("cannot create database `{}`", names.side), &create).await?;
    let args = [&["--exit-on-error", "--no-owner", "--role", owner, "-d", &names.side], more].concat();
    load(point, &manifest.dump, sql.tool("pg_restore", &args).await?).await?;
    laps.lap("load");
    let side = connect(sql, &names.side).await?;
    let difference = difference(expected, &rows(&side).await?);
    laps.lap("compare");
    if difference.is_none() {
        execute(&side, "cannot analyze the restored database", "ANALYZE").await?; // a dump has no statistics
        if let Some(properties) = &manifest.content.properties {
            let what = "cannot give the restored database its properties";
            execute(&side, what, &properties.statements(&names.side)).await?; // last: they change the session too
        }
        laps.lap("analyze");
    }
    Ok(difference)
}

/// Gives the dump to `pg_restore`. Its refusal is the error, with the last line it said.
async fn load(point: &OpenPoint, expected: &DumpContent, tool: Running) -> Result<(), Error> {
    let file = point.find(DUMP).await?;
    let what = format!("cannot read `{DUMP}` of the recovery point");
    let Running { mut input, mut output, ended } = tool;
    let given = async {
        let (mut dump, mut buffer, mut found) = (point.read(&file), vec![0; BUFFER], DumpDigest::default());
        loop {
            let n = dump.read(&mut buffer).await.map_err(|e| Error::caused_by(&what, e))?;
            if n == 0 {
                break;
            }
            found.add(&buffer[..n]);
            // A broken pipe is only the echo of the tool's own end.
            if input.write_all(&buffer[..n]).await.is_err() {
                return Ok(None);
            }
        }
        if found.content() != *expected {
            return Err(Error::new(&what, "it is not what was stored: its digest is not the manifest's"));
        }
        let _ = input.shutdown().await; // as above
        drop(input);
        Ok(Some(()))
    };
    let mut nothing = tokio::io::sink();
    let (given, ended, _) = tokio::join!(given, ended, tokio::io::copy(&mut output, &mut nothing));
    let (given, ended) = (given?, ended?);
    if given.is_some() && ended.success() { Ok(()) } else { Err(refusal("`pg_restore` failed", &ended)) }
}

/// Puts the side database in the live one's place. Both renames are one transaction on a connection of its own, whose
/// lock keeps new clients out until it ends, superusers too: dropped or killed at whatever moment, it leaves either state,
/// and a database that takes connections.
async fn swap(sql: &dyn Sql, server: &Client, names: &RestoreNames) -> Result<(), Error> {
    let (live, side, before) =
        (escape_identifier(&names.live), escape_identifier(&names.side), escape_identifier(&names.before));
    let what = format!("cannot swap database `{}`", names.live);
    drop_database(server, &names.before).await?;
    if !exists(server, &names.live).await? {
        end_sessions(server, &names.side).await?;
        return execute(server, &what, &format!("ALTER DATABASE {side} RENAME TO {live}")).await;
    }
    let renamer = connect(sql, "postgres").await?;
    let renames = format!("BEGIN; ALTER DATABASE {live} RENAME TO {before}; ALTER DATABASE {side} RENAME TO {live}");
    let mut renamed = std::pin::pin!(execute(&renamer, &what, &renames));
    loop {
        // Each RENAME waits up to 5 s for who is connected.
        match tokio::time::timeout(END_AGAIN, &mut renamed).await {
            Ok(renamed) => break renamed?,
            Err(_) => {
                end_sessions(server, &names.live).await?;
                end_sessions(server, &names.side).await?;
            }
        }
    }
    // A message of its own: who is gone by now has not asked for it.
    execute(&renamer, &what, "COMMIT").await?;
    drop_database(server, &names.before).await
}

/// Removes the side database that a killed restore left. The one of before the swap is named and stays: whether the new
/// one is good, nobody has looked at.
pub async fn tidy(sql: &dyn Sql) -> Result<Vec<String>, Error> {
    let names = RestoreNames::of(sql.database())?;
    let server = connect(sql, "postgres").await?;
    drop_database(&server, &names.side).await?;
    let before = exists(&server, &names.before).await?;
    let named =
        format!("database `{0}`, as it was before the restore; DROP DATABASE {0} when it is of no use", names.before);
    Ok(before.then_some(named).into_iter().collect())
}

async fn end_sessions(server: &Client, database: &str) -> Result<(), Error> {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    let ended = server.query(end, &[&database]).await;
    ended.map(drop).map_err(|e| Error::caused_by(format!("cannot end the sessions of `{database}`"), e))
}

async fn exists(server: &Client, database: &str) -> Result<bool, Error> {
    let row = server.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&database]).await;
    row.map(|row| row.is_some()).map_err(|e| Error::caused_by("cannot read `pg_database`", e))
}

async fn drop_database(server: &Client, database: &str) -> Result<(), Error> {
    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", escape_identifier(database));
    execute(server, &format!("cannot drop database `{database}`"), &drop).await
}

/// The first table that is not as the manifest says.
fn difference(expected: &BTreeMap<String, i64>, found: &BTreeMap<String, i64>) -> Option<String> {
    let wrong = expected.iter().find_map(|(table, rows)| match found.get(table) {
        Some(n) if n == rows => None,
        Some(n) => Some(format!("table `{table}` was restored with {n} rows instead of {rows}")),
        None => Some(format!("table `{table}` was not restored")),
    });
    let more = || found.keys().find(|table| !expected.contains_key(*table));
    wrong.or_else(|| more().map(|table| format!("table `{table}` is not in the manifest")))
}

/// The three databases of a restore.
struct RestoreNames {
    live: String,
    side: String,
    before: String,
}

impl RestoreNames {
    fn of(live: &str) -> Result<Self, Error> {
        let name = |suffix| format!("{live}_lifeboat_{suffix}");
        let names = Self { live: live.to_owned(), side: name("restore"), before: name("before") };
        // PostgreSQL cuts longer names off without an error: two of the three would be one.
        if names.side.len() > 63 {
            return Err(Error::new(format!("cannot restore `{live}`"), "the database's name is too long"));
        }
        Ok(names)
    }
}

/// The seconds that each part took.
struct Laps {
    stopwatch: Stopwatch,
    done: Vec<(&'static str, f64)>,
}

impl Laps {
    fn start() -> Self {
        Self { stopwatch: Stopwatch::start(), done: vec![] }
    }
    fn lap(&mut self, name: &'static str) {
        self.done.push((name, self.stopwatch.lap()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_other_rows_is_named() {
        let of = |rows: &[(&str, i64)]| rows.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect::<BTreeMap<_, _>>();
        let expected = of(&[("public.a", 1), ("public.b", 2)]);
        assert_eq!(difference(&expected, &expected), None);
        let said = difference(&expected, &of(&[("public.a", 1), ("public.b", 1)])).unwrap_or_default();
        assert_eq!(said, "table `public.b` was restored with 1 rows instead of 2");
        assert!(difference(&expected, &of(&[("public.a", 1)])).is_some_and(|s| s.contains("`public.b`")));
        assert!(difference(&of(&[]), &expected).is_some_and(|s| s.contains("`public.a`")));
    }

    #[test]
    fn a_name_that_postgresql_would_cut_off_is_refused() {
        assert!(RestoreNames::of("mlflow").is_ok());
        assert!(RestoreNames::of(&"x".repeat(50)).is_err());
    }
}
