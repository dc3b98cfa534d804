//! The objects of a bucket into a repository on disk, encrypted and checksummed: Lifeboat and what people script.
//!
//! `restic` reads no bucket, so `rclone` brings the objects to a folder first. `rclone` with `crypt` keeps one state:
//! no history, and the same content twice takes its room twice. Lifeboat's point has a database besides, an empty one
//! here.

use crate::copy::{FROM, LARGE, SMALL};
use crate::measure::{Bench, Server};
use crate::size::Size;
use crate::tools::on_path;
use crate::work::{Bytes, Side, Work};
use lifeboat::client::Error;
use std::fs;

const OPTIONS: &str = "--transfers 32 --checkers 32 --fast-list --use-server-modtime --s3-no-check-bucket";

/// The work, with those peers whose programs are there.
pub async fn work(
    bench: &Bench,
    url: &str,
    size: Size,
    server: Server,
    missing: &mut Vec<String>,
) -> Result<Work, Error> {
    let empty = url.rsplit_once('/').map_or_else(|| url.to_owned(), |(server, _)| format!("{server}/bench_empty"));
    bench.run("psql -qtAX -c \"SELECT 1 FROM pg_database WHERE datname = 'bench_empty'\" | grep -q 1 || createdb bench_empty").await?;
    let protection = format!(
        "protection: bench\nplatform:\n  postgres: {{ url: '{empty}', password: {{ file: database-password }} }}\n  \
         artifacts: {{ s3: {{ bucket: {FROM}, endpoint: '{}', region: '{}', credentials: {{ access: {{ env: AWS_ACCESS_KEY_ID }}, secret: {{ env: AWS_SECRET_ACCESS_KEY }} }} }} }}\n\
         engine: {{ builtin: {{ postgres: logical, artifacts: objects }} }}\nrepositories:\n  \
         - here: {{ directory: store, password: {{ file: password }} }}\n",
        bench.variable("S3_ENDPOINT_URL"),
        bench.variable("AWS_REGION")
    );
    let written = fs::write(bench.folder.join("store.yaml"), protection);
    written.map_err(|error| Error::caused_by("cannot write `store.yaml`", error))?;
    let side = |name: &str, version: &str, folder: &str, backup: String, check: &str| Side {
        name: name.into(),
        version: version.into(),
        before: format!("rm -rf {folder} objects; mkdir {folder}"),
        parts: vec![("backup", backup)],
        between: String::new(),
        check: check.into(),
        bytes: Bytes::Stored(bench.folder.join(folder)),
    };
    let count = size.small + size.large;
    let rclone = bench.run("rclone version | head -1 | cut -d' ' -f2").await?;
    let crypt = "export RCLONE_CONFIG_SEALED_TYPE=crypt RCLONE_CONFIG_SEALED_REMOTE=$PWD/sealed \
         RCLONE_CONFIG_SEALED_PASSWORD=$(rclone obscure - <password)";
    let mut peers = vec![side(
        "rclone copy to crypt",
        &rclone,
        "sealed",
        format!("{crypt}; rclone copy -q {OPTIONS} bench:{FROM} sealed:; sync -f sealed"),
        &format!("{crypt}; test $(rclone lsf -R --files-only sealed: | wc -l) = {count}; rm -rf sealed"),
    )];
    if on_path("restic") {
        let version = bench.run("restic version | cut -d' ' -f2").await?;
        peers.push(side(
            "rclone copy to a folder, restic backup",
            &format!("{rclone}, {version}"),
            "restic",
            format!("rclone copy -q {OPTIONS} bench:{FROM} objects; restic init -q; restic backup -q --no-cache objects; sync -f restic"),
            &format!("test $(restic ls --no-cache latest | grep -c '/[0-9]*$') -ge {count}; rm -rf objects restic"),
        ));
    } else {
        missing.push("objects by restic: there is no `restic`; on Debian, `apt-get install restic`".into());
    }
    #[allow(clippy::cast_precision_loss)] // of gigabytes
    let bytes = (size.small * SMALL + size.large * LARGE) as f64 / 1e9;
    Ok(Work {
        name: format!("{} × 16 KB and {} × 16 MB ({bytes:.2} GB) into a repository", size.small, size.large),
        server,
        ours: side(
            "lifeboat",
            env!("CARGO_PKG_VERSION"),
            "store",
            "\"$LIFEBOAT\" backup store.yaml --create".into(),
            "\"$LIFEBOAT\" points store.yaml --json >points; rm -rf store",
        ),
        peers,
        after: "rm -rf store sealed restic objects".into(),
    })
}
