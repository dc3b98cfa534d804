//! A whole server backed up and brought back to a moment, up to its first answer: Lifeboat, pgBackRest, and a dump.
//!
//! Between backup and restore, one percent of the rows change, the moment is noted, and a mistake follows, which must not
//! be there afterwards; the dump cannot do that and brings its own moment back. Lifeboat and pgBackRest both encrypt,
//! compress with zstd and check every page. The second work restores once more, over a server of which one percent
//! changed: pgBackRest replaces only what differs, Lifeboat restores beside it and keeps it until all is proved.

use crate::database::{COUNT, NEW, SEAL};
use crate::measure::{Bench, Server};
use crate::tools::on_path;
use crate::work::{Bytes, Side, Work};
use lifeboat::client::Error;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// What every script may call.
const FUNCTIONS: &str = include_str!("physical.sh");

/// What a server must have at least of, to replay what the other had: it was told on the command line.
const LEAST: &str = "psql -qtAX -c \"SELECT string_agg(format('-c %s=%s', name, setting), ' ') FROM pg_settings WHERE name IN \
     ('max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction')\"";

/// The works, with those peers whose programs are there. The server archives already, by a command that does nothing.
pub async fn works(
    bench: &mut Bench,
    url: &str,
    data: &Path,
    server: Server,
    missing: &mut Vec<String>,
) -> Result<Vec<Work>, Error> {
    prepare(bench, url, data).await?;
    let script = |text: &str| format!(". ./functions; {text}");
    let side = |name: &str, version: &str, folder: &str, backup: &str, disaster: &str, restore: &str| Side {
        name: name.into(),
        version: version.into(),
        before: script(&format!("quiet; new restored {folder}; rm -rf spool")),
        parts: vec![("backup", script(backup)), ("restore to a moment, to the first answer", script(restore))],
        between: script(disaster),
        check: script(&format!("right {restore}; quiet")),
        bytes: Bytes::Stored(bench.folder.join(folder)),
    };
    let ours = side(
        "lifeboat",
        env!("CARGO_PKG_VERSION"),
        "physical",
        // What receives the log runs beside, as it does all the time elsewhere.
        "\"$LIFEBOAT\" receive physical.yaml 2>receive.log & trap 'kill $!; wait $! || true' EXIT
         \"$LIFEBOAT\" backup physical.yaml --create",
        "disaster ours; \"$LIFEBOAT\" receive physical.yaml --once 2>>receive.log",
        "ours",
    );
    let (mut peers, mut again) = (vec![], vec![]);
    if on_path("openssl") {
        let version = bench.run("pg_dump --version | cut -d' ' -f3").await?;
        let restore = format!(
            "{NEW}; {SEAL} -d <custom/dump >open; pg_restore -j2 -d bench_restored open; rm open
             sql -d bench_restored -c ANALYZE -c 'SELECT count(*) FROM runs' >/dev/null"
        );
        peers.push(Side {
            before: script("quiet; new restored custom; dropdb --if-exists bench_restored"),
            check: script(
                "[ \"$(sql -d bench_restored -c 'SELECT count(*) FROM metrics')\" = \"$ROWS\" ]; dropdb bench_restored",
            ),
            ..side(
                "pg_dump -Fc | openssl, pg_restore -j2: to the dump's own moment",
                &version,
                "custom",
                &format!("pg_dump -Fc | {SEAL} >custom/dump; sync custom/dump custom"),
                "",
                &restore,
            )
        });
    }
    if on_path("pgbackrest") {
        let version = bench.run("pgbackrest version | cut -d' ' -f2").await?;
        let archive = "quiet; new restored pgbackrest; install -m 644 pgbackrest.conf pgbackrest/conf
             stanza stanza-create
             sql -c \"ALTER SYSTEM SET archive_command = 'pgbackrest --config=$PWD/pgbackrest/conf --stanza=bench archive-push %p'\" \
                 -c 'SELECT pg_reload_conf()' >/dev/null";
        peers.push(Side {
            before: script(archive),
            ..side(
                "pgbackrest",
                &version,
                "pgbackrest/repo",
                "stanza backup --type=full",
                "disaster peer; stanza check",
                "peer",
            )
        });
        // What it restored, of which one percent changes.
        let changed = "quiet; new restored; peer; change \"$RESTORED_PORT\" 10; $AS_SERVER pg_ctl -D restored/data -w stop >/dev/null";
        again.push(Side {
            name: "pgbackrest --delta".into(),
            version,
            before: script(changed),
            parts: vec![("restore", script("peer --delta"))],
            between: String::new(),
            check: script("right peer"),
            bytes: Bytes::None,
        });
    } else {
        missing
            .push("a server by pgBackRest: there is no `pgbackrest`; on Debian, `apt-get install pgbackrest`".into());
    }
    let delta = Side {
        name: "lifeboat".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        before: script("quiet; new restored"),
        parts: vec![("restore", script("ours"))],
        between: String::new(),
        check: script("right ours"),
        bytes: Bytes::None,
    };
    let work = |name: &str, ours, peers| Work { name: name.into(), server, ours, peers, after: script("quiet") };
    Ok(vec![work("server", ours, peers), work("server restored over one of which 1 % changed", delta, again)])
}

/// The files and variables that the scripts need.
async fn prepare(bench: &mut Bench, url: &str, data: &Path) -> Result<(), Error> {
    let what = "cannot make the comparison of servers ready";
    let wrong = |error| Error::caused_by(what, error);
    let owner = fs::metadata(data).map_err(wrong)?;
    let (uid, gid) = (owner.uid(), owner.gid());
    let other = uid != fs::metadata(&bench.folder).map_err(wrong)?.uid();
    let mode = fs::Permissions::from_mode(0o711); // the server's user must be able to enter it
    fs::set_permissions(&bench.folder, mode).map_err(wrong)?;
    let passfile = bench.folder.join("server-passfile");
    fs::copy(bench.variable("PGPASSFILE"), &passfile).map_err(wrong)?;
    if other {
        chown(&passfile, Some(uid), Some(gid)).map_err(wrong)?;
    }
    let (port, folder) = (bench.variable("PGPORT").to_owned(), bench.folder.display().to_string());
    let protection = format!(
        "protection: bench\nplatform: {{ postgres: {{ url: '{url}', password: {{ file: database-password }} }} }}\n\
         engine: {{ builtin: {{ postgres: physical }} }}\nspool: spool\nrepositories:\n  \
         - here: {{ directory: physical/repository, password: {{ file: password }} }}\n"
    );
    let pgbackrest = format!(
        "[global]\nrepo1-path={folder}/pgbackrest/repo\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=bench\n\
         compress-type=zst\nprocess-max=2\nstart-fast=y\nlog-level-file=off\nlog-level-console=error\n\
         lock-path={folder}/pgbackrest/lock\n\n[bench]\npg1-path={}\npg1-port={port}\npg1-user={}\npg1-database={}\n",
        data.display(),
        bench.variable("PGUSER"),
        bench.variable("PGDATABASE"),
    );
    fs::write(bench.folder.join("physical.yaml"), protection).map_err(wrong)?;
    fs::write(bench.folder.join("pgbackrest.conf"), pgbackrest).map_err(wrong)?;
    fs::write(bench.folder.join("functions"), FUNCTIONS).map_err(wrong)?;
    let rows = bench.run(&format!("psql -qtAX -c '{COUNT}'")).await?;
    let free = lifeboat::client::ports::free()?;
    let run_as = format!("env PGPASSFILE={} setpriv --reuid={uid} --regid={gid} --clear-groups", passfile.display());
    bench.variables.extend([
        ("AS_SERVER".into(), if other { run_as } else { String::new() }),
        ("SERVER_DATA".into(), data.display().to_string()),
        ("RESTORED_PORT".into(), free.to_string()),
        ("ROWS".into(), rows),
        ("LEAST".into(), bench.run(LEAST).await?),
        ("PGOPTIONS".into(), "-c client_min_messages=warning".into()),
    ]);
    Ok(())
}
