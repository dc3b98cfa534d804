//! Deleted objects brought back by removing their delete markers.
//!
//! Ours lists the bucket, plans into a journal, removes the markers in batches and lists again as proof. The bare client
//! that is handed the markers does nothing but send the same batches: it is the least time that the store needs. The
//! other lists first, since nobody is handed the markers after a disaster.

use crate::measure::Server;
use crate::work::{Bytes, Side, Work};

/// The bucket, which keeps versions.
pub const BUCKET: &str = "bench-undelete";

/// The work.
pub fn work(objects: usize, server: Server) -> Work {
    let side = |name: &str, act: &str| Side {
        name: name.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        before: format!("rm -rf undelete; mkdir undelete; \"$BENCH\" act delete {BUCKET} undelete"),
        parts: vec![("undelete", format!("\"$BENCH\" act {act} {BUCKET} undelete"))],
        check: format!("\"$BENCH\" act count {BUCKET} {objects}"),
        bytes: Bytes::None,
    };
    Work {
        name: format!("undelete of {objects} objects"),
        server,
        ours: side("lifeboat", "undelete"),
        peers: vec![
            side("bare client, told the markers", "remove"),
            side("bare client, lists first", "list-and-remove"),
        ],
    }
}
