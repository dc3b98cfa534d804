//! Objects copied from bucket to bucket by their server. Ours compares both listings afterwards.

use crate::measure::{Bench, Server};
use crate::size::Size;
use crate::work::{Bytes, Side, Work};
use lifeboat::client::Error;

/// The bucket that is copied.
pub const FROM: &str = "bench-from";
/// The bucket that it is copied to.
pub const TO: &str = "bench-to";
/// Bytes of a small object.
pub const SMALL: usize = 16 << 10;
/// Bytes of a large one.
pub const LARGE: usize = 16 << 20;

/// The work.
pub async fn work(bench: &Bench, size: Size, server: Server) -> Result<Work, Error> {
    let side = |name: &str, version: &str, copy: &dyn Fn(&str) -> String| Side {
        name: name.into(),
        version: version.into(),
        before: format!("\"$BENCH\" act empty {TO}"),
        parts: vec![("16 KB", copy("small")), ("16 MB", copy("large"))],
        between: String::new(),
        check: format!("\"$BENCH\" act same {FROM} {TO}"),
        bytes: Bytes::Parts(vec![(size.small * SMALL) as u64, (size.large * LARGE) as u64]),
    };
    let rclone = bench.run("rclone version | head -1 | cut -d' ' -f2").await?;
    let s5cmd = bench.run("s5cmd version | cut -d- -f1").await?;
    let options = "--transfers 64 --checkers 64 --fast-list --use-server-modtime --s3-no-check-bucket";
    Ok(Work {
        name: format!("copy of {} × 16 KB and {} × 16 MB", size.small, size.large),
        server,
        ours: side("lifeboat", env!("CARGO_PKG_VERSION"), &|set| format!("\"$BENCH\" act copy {FROM} {TO} {set}/")),
        peers: vec![
            side("rclone copy", &rclone, &|set| {
                format!("rclone copy -q {options} bench:{FROM}/{set} bench:{TO}/{set}")
            }),
            side("s5cmd cp", &s5cmd, &|set| {
                format!("s5cmd --log error --numworkers 64 cp 's3://{FROM}/{set}/*' s3://{TO}/{set}/")
            }),
        ],
        after: String::new(),
    })
}
