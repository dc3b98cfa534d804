//! Deleted objects brought back by removing their delete markers.
//!
//! Ours lists the bucket, plans into a journal, removes the markers in batches and lists again as proof. The bare client
//! that is handed the markers does nothing but send the same batches: it is the least time that the store needs. The
//! other lists first, since nobody is handed the markers after a disaster. A third sends a request for each marker, one
//! after the other, as `mc undo` does; with 30 ms added to each request it shows what a distance costs. `mc undo` itself
//! is not measured: it takes what a listing gives in a row for the versions of one key, and the store of this platform
//! lists the markers of a page behind its versions, so that it removed the objects themselves (seen with the `mc` of
//! 2025-03-13 and VersityGW 1.8.0). The runbook's loop starts a program for each marker.

use crate::measure::{Bench, Server};
use crate::tools::on_path;
use crate::work::{Bytes, Side, Work};
use lifeboat::client::Error;

/// The bucket of batches, which keeps versions.
pub const BUCKET: &str = "bench-undelete";
/// That of one request each, and how many objects it has.
pub const SINGLE: (&str, usize) = ("bench-undelete-single", 1_000);
/// That of the loop.
pub const LOOP: (&str, usize) = ("bench-undelete-loop", 50);
const RUNBOOK: &str = "aws --endpoint-url \"$S3_ENDPOINT_URL\" s3api list-object-versions --bucket BUCKET --output text \
     --query 'DeleteMarkers[?IsLatest].[Key,VersionId]' | while read -r key id; do \
       aws --endpoint-url \"$S3_ENDPOINT_URL\" s3api delete-object --bucket BUCKET --key \"$key\" --version-id \"$id\" \
         >/dev/null; done";

/// The works, with those peers whose programs are there; `slow` is the way to the store that takes longer.
pub async fn works(
    bench: &Bench,
    objects: usize,
    server: Server,
    slow: &str,
    missing: &mut Vec<String>,
) -> Result<Vec<Work>, Error> {
    let own = env!("CARGO_PKG_VERSION");
    let act = |act: &str, bucket: &str| format!("\"$BENCH\" act {act} {bucket} undelete");
    let work = |of: (&str, usize), added: &str, way: &str, peers: Vec<(&str, &str, String)>| {
        let way = if way.is_empty() { String::new() } else { format!("export S3_ENDPOINT_URL={way}; ") };
        let side = |name: &str, version: &str, script: &str| side(name, version, of, format!("{way}{script}"));
        Work {
            name: format!("undelete of {} objects{added}", of.1),
            server,
            ours: side("lifeboat", own, &act("undelete", of.0)),
            peers: peers.iter().map(|(name, version, script)| side(name, version, script)).collect(),
            after: String::new(),
        }
    };
    let bare = |name, verb, bucket| (name, own, act(verb, bucket));
    let single = || vec![bare("bare client, a request each", "one-by-one", SINGLE.0)];
    let mut works = vec![
        work(
            (BUCKET, objects),
            "",
            "",
            vec![
                bare("bare client, told the markers", "remove", BUCKET),
                bare("bare client, lists first", "list-and-remove", BUCKET),
            ],
        ),
        work(SINGLE, "", "", single()),
        work(SINGLE, ", 30 ms added to each request", slow, single()),
    ];
    if on_path("aws") {
        let version = bench.run("aws --version | cut -d' ' -f1 | cut -d/ -f2").await?;
        let run = RUNBOOK.replace("BUCKET", LOOP.0);
        works.push(work(LOOP, "", "", vec![("loop of `aws s3api delete-object`", &version, run)]));
    } else {
        missing.push("undelete by a loop of `aws`: there is no `aws`; on Debian, `apt-get install awscli`".into());
    }
    Ok(works)
}

fn side(name: &str, version: &str, (bucket, objects): (&str, usize), script: String) -> Side {
    Side {
        name: name.into(),
        version: version.into(),
        before: format!("rm -rf undelete; mkdir undelete; \"$BENCH\" act delete {bucket} undelete"),
        parts: vec![("undelete", script)],
        between: String::new(),
        check: format!("\"$BENCH\" act count {bucket} {objects}"),
        bytes: Bytes::None,
    }
}
