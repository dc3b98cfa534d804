//! A database backed up and restored beside the live one, logically: Lifeboat, and what people script.
//!
//! Every side starts with an empty repository, encrypts, has its files on disk when it ends (`sync`), and leaves the
//! restored database with statistics (`ANALYZE`). Lifeboat alone proves its backup while it takes it, and compares
//! the rows of every table after the restore.

use crate::measure::{Bench, Server};
use crate::tools::on_path;
use crate::work::{Bytes, Side, Work};
use lifeboat::client::Error;
use lifeboat::environment::Platform;
use lifeboat::workload::seed;
use std::fs;

/// The database that everybody restores into.
const RESTORED: &str = "bench_restored";
/// Counts the rows that everybody must bring back.
pub const COUNT: &str = "SELECT count(*) FROM metrics";
/// Encrypts a stream, for tools that cannot.
pub const SEAL: &str = "openssl enc -aes-256-ctr -pbkdf2 -pass file:password";
const LOAD: &str = "psql -qX -v ON_ERROR_STOP=1 -o /dev/null -d bench_restored";
/// Makes the database that everybody restores into.
pub const NEW: &str = "createdb -T template0 bench_restored";
const ANALYZE: &str = "psql -qX -d bench_restored -c ANALYZE";

/// Fills the platform's database.
pub async fn fill(platform: &dyn Platform, metrics: u64) -> Result<(), Error> {
    seed::plant(platform, 0.1).await?;
    let sql = platform.sql()?;
    let client = sql.connect(sql.database()).await?;
    let fill = format!(
        "INSERT INTO metrics SELECT 'loss', random(), r.start_time + s, r.run_uuid, s, false \
         FROM runs r, generate_series(1, {metrics} / (SELECT count(*) FROM runs)) s"
    );
    for statement in [&fill, "VACUUM ANALYZE", "CHECKPOINT"] {
        let done = client.batch_execute(statement).await;
        done.map_err(|error| Error::caused_by("cannot fill the database", error))?;
    }
    Ok(())
}

/// The work, with those peers whose programs are there.
pub async fn work(bench: &Bench, url: &str, server: Server, missing: &mut Vec<String>) -> Result<Work, Error> {
    let rows: u64 = bench.run(&format!("psql -qtAX -c '{COUNT}'")).await?.parse().unwrap_or_default();
    let bytes: u64 =
        bench.run("psql -qtAX -c 'SELECT pg_database_size(current_database())'").await?.parse().unwrap_or(0);
    let protection = format!(
        "protection: bench\nplatform: {{ postgres: {{ url: '{url}', password: {{ file: database-password }} }} }}\n\
         engine: {{ builtin: {{ postgres: logical }} }}\nrepositories:\n  \
         - here: {{ directory: lifeboat, password: {{ file: password }} }}\n"
    );
    let written = fs::write(bench.folder.join("bench.yaml"), protection);
    written.map_err(|error| Error::caused_by("cannot write `bench.yaml`", error))?;
    let postgres = bench.run("pg_dump --version | cut -d' ' -f3").await?;
    let side = |name: &str, version: &str, folder: &str, backup: String, restore: String| Side {
        name: name.into(),
        version: version.into(),
        before: format!("rm -rf {folder}; mkdir {folder}; dropdb --if-exists {RESTORED}; psql -qX -c CHECKPOINT"),
        parts: vec![("backup", backup), ("restore", restore)],
        between: String::new(),
        check: format!("test $(psql -qtAX -d {RESTORED} -c '{COUNT}') = {rows}"),
        bytes: Bytes::Stored(bench.folder.join(folder)),
    };
    let ours = side(
        "lifeboat",
        env!("CARGO_PKG_VERSION"),
        "lifeboat",
        "\"$LIFEBOAT\" backup bench.yaml --create".into(),
        format!("\"$LIFEBOAT\" restore bench.yaml --to latest --into {RESTORED}"),
    );
    let mut peers = vec![];
    if on_path("openssl") {
        peers.push(side(
            "pg_dump | gzip | openssl",
            &postgres,
            "gzip",
            format!("pg_dump | gzip | {SEAL} > gzip/dump; sync gzip/dump gzip"),
            format!("{NEW}; {SEAL} -d < gzip/dump | gunzip | {LOAD}; {ANALYZE}"),
        ));
        peers.push(side(
            "pg_dump -Fc | openssl, pg_restore -j2",
            &postgres,
            "custom",
            format!("pg_dump -Fc | {SEAL} > custom/dump; sync custom/dump custom"),
            // Several jobs want a file.
            format!("{NEW}; {SEAL} -d < custom/dump > open; pg_restore -j2 -d {RESTORED} open; {ANALYZE}; rm open"),
        ));
    } else {
        missing.push("the database by pg_dump with gzip and with -Fc: there is no `openssl`".into());
    }
    if on_path("restic") {
        let version = bench.run("restic version | cut -d' ' -f2").await?;
        peers.push(side(
            "pg_dump | restic",
            &version,
            "restic",
            "restic init -q; pg_dump | restic backup -q --no-cache --stdin --stdin-filename dump.sql".into(),
            format!("{NEW}; restic dump -q --no-cache latest dump.sql | {LOAD}; {ANALYZE}"),
        ));
    } else {
        missing.push("the database by restic: there is no `restic`; on Debian, `apt-get install restic`".into());
    }
    #[allow(clippy::cast_precision_loss)] // of gigabytes
    let name = format!("database of {rows} metrics ({:.2} GB)", bytes as f64 / 1e9);
    Ok(Work { name, server, ours, peers, after: String::new() })
}
