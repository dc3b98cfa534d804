//! Looks for damage in a restored copy: `pg_verifybackup` before anything is replayed, `pg_amcheck` while the copy is
//! asked, `pg_checksums` once it is stopped.
//!
//! Apart because each proves something else. The manifest proves that the copy is what was read, not that it was sound;
//! `pg_checksums` finds a flipped bit in any page; `pg_amcheck` finds indexes that do not fit their tables, for which no
//! checksum is wrong.

use super::base::BaseRecord;
use super::{bounded, connect};
use crate::client::{Ended, Error, postgres};
use crate::clock::Deadline;
use crate::environment::{Sql, Volumes};
use postgres_protocol::escape::escape_identifier;

/// Is the unpacked copy what the server sent? Its manifest must be the one that the record knows.
pub async fn verify(
    volumes: &dyn Volumes,
    component: &str,
    base: &BaseRecord,
    deadline: Deadline,
) -> Result<(), Error> {
    let what = "the base backup is damaged";
    let manifest = run(volumes, component, "cat", &["data/backup_manifest"], deadline).await?;
    if !manifest.0.success() {
        return Err(Error::new(what, manifest.0));
    }
    if blake3::hash(&manifest.1).to_hex().to_string() != base.manifest_digest {
        return Err(Error::new(what, "its manifest is not the one that was recorded"));
    }
    let (ended, said) = run(volumes, component, "pg_verifybackup", &["--exit-on-error", "data"], deadline).await?;
    if ended.success() { Ok(()) } else { Err(Error::new(what, reason(&ended, &said))) }
}

/// Is every page of the stopped copy as its checksum says? `None` if the cluster has no checksums.
pub async fn checksums(
    volumes: &dyn Volumes,
    component: &str,
    base: &BaseRecord,
    deadline: Deadline,
) -> Result<Option<()>, Error> {
    if !base.checksums {
        return Ok(None);
    }
    let (ended, said) = run(volumes, component, "pg_checksums", &["--check", "-D", "data"], deadline).await?;
    if ended.success() { Ok(Some(())) } else { Err(Error::new("`pg_checksums` found damage", reason(&ended, &said))) }
}

/// Do tables and indexes of the started copy fit each other? `None` if the server has no `amcheck`. The extension is
/// taken out again where it was not.
pub async fn relations(copy: &dyn Sql, deadline: Deadline) -> Result<Option<()>, Error> {
    let client = connect(copy, "postgres").await?;
    let available = postgres::rows(&client, "SELECT FROM pg_available_extensions WHERE name = 'amcheck'").await?;
    if available.is_empty() {
        return Ok(None);
    }
    let databases = postgres::rows(&client, "SELECT datname::text FROM pg_database WHERE datallowconn").await?;
    for row in databases {
        let database: String = row.get(0);
        bounded(deadline, "`pg_amcheck`", of_database(copy, &database)).await?;
    }
    Ok(Some(()))
}

async fn of_database(copy: &dyn Sql, database: &str) -> Result<(), Error> {
    let client = connect(copy, database).await?;
    let had = !postgres::rows(&client, "SELECT FROM pg_extension WHERE extname = 'amcheck'").await?.is_empty();
    let failed = |e| Error::caused_by(format!("cannot look at database `{database}`"), e);
    if !had {
        client.batch_execute("CREATE EXTENSION amcheck").await.map_err(failed)?;
    }
    let checked = async {
        let args = ["--heapallindexed", "-j", "2", database];
        copy.tool("pg_amcheck", &args).await?.finish().await
    };
    let checked = checked.await;
    if !had {
        let drop = format!("DROP EXTENSION {}", escape_identifier("amcheck"));
        client.batch_execute(&drop).await.map_err(failed)?;
    }
    let (ended, said) = checked?;
    let what = format!("`pg_amcheck` found damage in database `{database}`");
    if ended.success() { Ok(()) } else { Err(Error::new(what, reason(&ended, &said))) }
}

async fn run(
    volumes: &dyn Volumes,
    component: &str,
    name: &str,
    args: &[&str],
    deadline: Deadline,
) -> Result<(Ended, Vec<u8>), Error> {
    bounded(deadline, &format!("`{name}`"), async { volumes.side_tool(component, name, args).await?.finish().await })
        .await
}

/// The first thing that a tool said: these tell findings on standard output, errors on the other, and a sum at the end.
fn reason(ended: &Ended, said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = ended.said.lines().chain(said.lines()).map(str::trim).filter(|line| !line.is_empty());
    lines.take(2).collect::<Vec<_>>().join(" ")
}
