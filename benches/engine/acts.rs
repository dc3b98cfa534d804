//! What this program does when a script starts it with `act`: the library's work, the bare client's, and making ready.
//!
//! In processes of their own, so that their memory and processor time are measured like any other program's.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures::{StreamExt, TryStreamExt, stream};
use lifeboat::client::s3::bucket_copy::{BucketPart, copy_bucket};
use lifeboat::client::s3::rollback::{Rollback, RollbackGoal, RollbackSubject};
use lifeboat::client::s3::{self, CopyLimits, PacedStore};
use lifeboat::client::{Error, versions};
use lifeboat::clock::{Stopwatch, wall};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const ENDPOINT: &str = "S3_ENDPOINT_URL";
/// The bare client's batches: as ours, small ones first, and so many at once.
const BATCHES: (usize, usize, usize) = (100, 50, 1_000);
const AT_ONCE: usize = 16;

/// Carries out the act of these arguments.
pub async fn act(arguments: &[&str]) -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (access, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
    // Without the limits of time that small requests have.
    let store = Arc::new(PacedStore::new(&s3::client(&variable(ENDPOINT), &access, &secret)));
    let client = &store.client;
    match arguments {
        ["delete", bucket, folder] => delete(client, bucket, Path::new(folder)).await,
        ["undelete", bucket, folder] => undelete(&store, bucket, Path::new(folder)).await,
        ["remove", bucket, folder] => {
            let text = read(&Path::new(folder).join("markers"))?;
            let markers = text.lines().filter_map(|line| line.split_once('\t'));
            remove(client, bucket, markers.map(|(id, key)| (key.into(), id.into())).collect()).await
        }
        ["one-by-one", bucket, _] => {
            for (key, id) in markers(client, bucket).await? {
                let removed = client.delete_object().bucket(*bucket).key(key).version_id(id).send().await;
                removed.map_err(|error| s3::failure("cannot remove a marker", &error))?;
            }
            Ok(())
        }
        ["list-and-remove", bucket, _] => remove(client, bucket, markers(client, bucket).await?).await,
        ["count", bucket, count] => {
            let found = s3::objects(client, bucket, "").await?.len();
            right(found.to_string() == *count, format!("{found} objects instead of {count}"))
        }
        ["copy", from, to, prefix] => {
            let part = |bucket: &str| BucketPart { bucket: bucket.into(), prefix: prefix.to_string() };
            let stopwatch = Stopwatch::start();
            let outcome = copy_bucket(&store, &part(from), &part(to), CopyLimits::default()).await?;
            let (copies, proof) = (outcome.seconds, stopwatch.seconds() - outcome.seconds);
            println!("copies {copies:.2} s, proof {proof:.2} s, {} requests", outcome.pace.requests);
            right(outcome.met(), format!("{outcome:?}"))
        }
        ["empty", bucket] => {
            let objects = s3::objects(client, bucket, "").await?;
            let all: Vec<_> = objects.into_iter().map(|object| (object.key, None)).collect();
            right(versions::delete(client, bucket, &all).await?.is_empty(), "not all could be deleted")
        }
        ["same", from, to] => {
            let (from, to) = (s3::objects(client, from, "").await?, s3::objects(client, to, "").await?);
            let sizes = |all: &[s3::ListedObject]| all.iter().map(|it| (it.key.clone(), it.size)).collect::<Vec<_>>();
            right(sizes(&from) == sizes(&to), format!("{} objects instead of {}", to.len(), from.len()))
        }
        _ => Err(Error::new("cannot act", format!("unknown: {arguments:?}"))),
    }
}

fn right(so: bool, why: impl Into<String>) -> Result<(), Error> {
    if so { Ok(()) } else { Err(Error::new("the result is wrong", why.into())) }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::caused_by(format!("cannot read `{}`", path.display()), error))
}

/// Puts objects, each with a content of its own that does not compress.
pub async fn fill(client: &Client, bucket: &str, prefix: &str, count: usize, size: usize) -> Result<(), Error> {
    let at_once = if size > 1 << 20 { 4 } else { 32 };
    let put = |n: usize| async move {
        let (key, mut body) = (format!("{prefix}{:02}/{n:06}", n % 30), vec![0; size]);
        blake3::Hasher::new().update(key.as_bytes()).finalize_xof().fill(&mut body);
        s3::put(client, bucket, &key, body).await
    };
    stream::iter((0..count).map(put)).buffer_unordered(at_once).try_collect().await
}

/// Deletes all objects, and notes when, and which markers that made.
async fn delete(client: &Client, bucket: &str, folder: &Path) -> Result<(), Error> {
    let objects = s3::objects(client, bucket, "").await?;
    let all: Vec<_> = objects.into_iter().map(|object| (object.key, None)).collect();
    let begin = wall();
    right(versions::delete(client, bucket, &all).await?.is_empty(), "not all could be deleted")?;
    let window = format!("{begin}\n{}\n", wall());
    let markers = markers(client, bucket).await?;
    let markers: Vec<_> = markers.iter().map(|(key, id)| format!("{id}\t{key}")).collect();
    let written = fs::write(folder.join("window"), window);
    let written = written.and_then(|()| fs::write(folder.join("markers"), markers.join("\n")));
    written.map_err(|error| Error::caused_by("cannot note the markers", error))
}

async fn undelete(store: &Arc<PacedStore>, bucket: &str, folder: &Path) -> Result<(), Error> {
    let window = read(&folder.join("window"))?;
    let times: Vec<jiff::Timestamp> = window.lines().filter_map(|line| line.parse().ok()).collect();
    let [begin, end] = times[..] else { return Err(Error::new("cannot undelete", "when is not known")) };
    let goal = RollbackGoal::Deleted { begin, end };
    let subject = RollbackSubject { bucket: bucket.into(), prefix: String::new(), goal };
    let rollback = Rollback { store, subject, recorded: None, limits: CopyLimits::default() };
    let mut stopwatch = Stopwatch::start();
    let planned = rollback.plan(&folder.join("journal")).await?;
    let plan = stopwatch.lap();
    let outcome = planned.carry_out().await?;
    let (acts, proof) = (outcome.seconds, stopwatch.lap() - outcome.seconds);
    println!("plan {plan:.2} s, acts {acts:.2} s, proof {proof:.2} s, {} requests", outcome.pace.requests);
    right(outcome.met(), format!("{outcome:?}"))
}

/// The delete markers of a bucket by their keys, page by page.
async fn markers(client: &Client, bucket: &str) -> Result<BTreeMap<String, String>, Error> {
    let (mut markers, mut next) = (BTreeMap::new(), (None, None));
    loop {
        let request = client.list_object_versions().bucket(bucket);
        let page = request.set_key_marker(next.0.take()).set_version_id_marker(next.1.take()).send().await;
        let page = page.map_err(|error| s3::failure("cannot list versions", &error))?;
        let found = page.delete_markers.unwrap_or_default().into_iter().filter(|it| it.is_latest == Some(true));
        markers.extend(found.filter_map(|marker| marker.key.zip(marker.version_id)));
        if page.is_truncated != Some(true) {
            return Ok(markers);
        }
        next = (page.next_key_marker, page.next_version_id_marker);
    }
}

/// Sends nothing but the batches.
async fn remove(client: &Client, bucket: &str, markers: BTreeMap<String, String>) -> Result<(), Error> {
    let (mut size, step, most) = BATCHES;
    let (mut markers, mut batches) = (markers.into_iter().peekable(), vec![]);
    while markers.peek().is_some() {
        let batch = markers.by_ref().take(size);
        let ids = batch.map(|(key, id)| ObjectIdentifier::builder().key(key).version_id(id).build());
        let ids: Vec<_> = ids.collect::<Result<_, _>>().map_err(|error| Error::caused_by("a batch", error))?;
        let delete = Delete::builder().quiet(true).set_objects(Some(ids)).build();
        batches.push(delete.map_err(|error| Error::caused_by("a batch", error))?);
        size = (size + step).min(most);
    }
    let send = |delete: Delete| async move {
        let answer = client.delete_objects().bucket(bucket).delete(delete).send().await;
        let answer = answer.map_err(|error| s3::failure("cannot remove markers", &error))?;
        right(answer.errors.unwrap_or_default().is_empty(), "not all were removed")
    };
    stream::iter(batches.into_iter().map(send)).buffer_unordered(AT_ONCE).try_collect().await
}
