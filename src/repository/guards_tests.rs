//! Tests of what must leave no point and harm no other: sources that fail, writers that meet, die, or are taken for dead.

use super::fixture_tests::{Fixture, QUICK, opened, point, settings};
use super::{NewFile, OpenRepository, Turn};
use crate::client::{Error, ErrorKind};
use crate::clock::Stopwatch;
use futures::stream;
use std::fs;
use std::io::{BufRead, BufReader, Cursor};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;
use tokio::time::sleep;

type MakesFile = fn() -> NewFile;

/// So many bytes, and then an error.
#[allow(clippy::unnecessary_wraps)] // as an opener answers
fn failing(bytes: usize) -> Result<Box<dyn AsyncRead + Send + Unpin>, Error> {
    let broken = stream::iter([Err::<bytes::Bytes, _>(std::io::Error::other("the disk is broken"))]);
    Ok(Box::new(Cursor::new(vec![7; bytes]).chain(tokio_util::io::StreamReader::new(broken))))
}

/// Never opened: its task ends before.
fn ends() -> Result<Box<dyn AsyncRead + Send + Unpin>, Error> {
    panic!("a task that ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_leaves_no_point() {
    let fixture = Fixture::new().await;
    let whole = fixture.put("mlflow", vec![NewFile::bytes("a", "bytes")]).await.unwrap();
    let failures: [(&str, MakesFile); 4] = [
        ("the disk is broken", || NewFile::stream("b", async || failing(3_000_000))),
        ("nobody listens", || NewFile::stream("b", async || Err(Error::new("cannot open", "nobody listens")))),
        ("shorter than it was said", || NewFile { size: Some(9), ..NewFile::bytes("b", "four") }),
        ("cut short", || NewFile::stream("b", async || ends())),
    ];
    for (why, file) in failures {
        for turn in [Turn::Ahead, Turn::Own] {
            let files = vec![NewFile::bytes("a", "bytes"), NewFile { turn, ..file() }, NewFile::bytes("c", "bytes")];
            let error = fixture.put("mlflow", files).await.unwrap_err();
            assert!(error.to_string().contains(why), "{why}: {error}");
            assert_eq!(fixture.ids().await, [whole.id.as_str()], "{why}");
        }
    }
    let list = stream::iter([Ok(NewFile::bytes("a", "bytes")), Err(Error::new("cannot list", "access denied"))]);
    let error = fixture.repository.put(point("mlflow"), list).await.unwrap_err();
    assert!(error.to_string().contains("access denied"), "{error}");
    assert_eq!(fixture.ids().await, [whole.id.as_str()]);
    assert!(fixture.flaws().await.iter().all(|flaw| !flaw.harms));
    fixture.put("mlflow", vec![NewFile::bytes("a", "bytes")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_out_of_order_or_twice_are_refused() {
    let fixture = Fixture::new().await;
    for names in [["b", "a"], ["a", "a"], ["a-b", "a/x"]] {
        let files = names.map(|name| NewFile::bytes(name, "bytes")).into();
        let error = fixture.put("mlflow", files).await.unwrap_err();
        assert!(error.to_string().contains("not in order"), "{names:?}: {error}");
    }
    let last = NewFile { turn: Turn::Last, ..NewFile::bytes("a", "bytes") };
    let error = fixture.put("mlflow", vec![last, NewFile::bytes("b", "bytes")]).await.unwrap_err();
    assert!(error.to_string().contains("behind the last file"), "{error}");
    assert_eq!(fixture.ids().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_file_is_opened_when_all_others_have_been_read() {
    let fixture = Fixture::new().await;
    let read = Arc::new(AtomicUsize::new(0));
    let slow = |n: usize| {
        let read = Arc::clone(&read);
        let file = NewFile::stream(format!("objects/{n:03}"), async move || {
            sleep(Duration::from_millis(20)).await;
            read.fetch_add(1, Ordering::SeqCst);
            opened(vec![0; 1000])
        });
        NewFile { turn: Turn::Ahead, ..file }
    };
    let mut files: Vec<_> = (0..100).map(slow).collect();
    let counted = Arc::clone(&read);
    let manifest = NewFile::stream("point.json", async move || opened(counted.load(Ordering::SeqCst).to_string()));
    files.push(NewFile { turn: Turn::Last, ..manifest });
    let stored = fixture.put("mlflow", files).await.unwrap();
    assert_eq!(fixture.read(&stored.id, "point.json").await, b"100");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_are_opened_ahead_but_not_without_bound() {
    let fixture = Fixture::new().await;
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let far = |n: usize| {
        let (open, most) = (Arc::clone(&open), Arc::clone(&most));
        let file = NewFile::stream(format!("{n:04}"), async move || {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(100)).await;
            open.fetch_sub(1, Ordering::SeqCst);
            opened("bytes")
        });
        NewFile { turn: Turn::Ahead, ..file }
    };
    fixture.put("mlflow", (0..200).map(far).collect()).await.unwrap();
    let most = most.load(Ordering::SeqCst);
    assert!(most > 16, "only {most} at once");
    assert!(most < 128, "{most} at once");
}

/// A file that waits until it is told to go on.
fn waiting() -> (NewFile, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let ((begun, has_begun), (go_on, told)) = (oneshot::channel(), oneshot::channel::<()>());
    let file = NewFile::stream("b", async move || {
        let _ = begun.send(());
        let _ = told.await;
        opened(vec![1; 100_000])
    });
    (file, has_begun, go_on)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_beside_a_writer_waits_for_it_and_harms_nothing() {
    let fixture = Fixture::new().await;
    let gone = fixture.put("mlflow", vec![NewFile::bytes("a", vec![3; 100_000])]).await.unwrap();
    let (file, has_begun, go_on) = waiting();
    let writer = fixture.repository.clone();
    let files = stream::iter([Ok(NewFile::bytes("a", vec![2; 100_000])), Ok(file)]);
    let put = tokio::spawn(async move { writer.put(point("mlflow"), files).await });
    has_begun.await.unwrap();
    let error = fixture.repository.prune(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Locked, "{error}");
    assert_eq!(fixture.repository.remove(std::slice::from_ref(&gone.id)).await.unwrap_err().kind, ErrorKind::Locked);
    fixture.repository.prune_plan(Duration::ZERO, &[]).await.unwrap();
    assert_eq!(fixture.read(&gone.id, "a").await.len(), 100_000, "readers are not held up");
    go_on.send(()).unwrap();
    let stored = put.await.unwrap().unwrap();
    fixture.repository.remove(&[gone.id]).await.unwrap();
    fixture.repository.prune(Duration::ZERO).await.unwrap();
    assert_eq!(fixture.flaws().await, []);
    assert_eq!(fixture.read(&stored.id, "b").await.len(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_taken_for_dead_completes_no_point() {
    let fixture = Fixture::new().await;
    let (file, has_begun, go_on) = waiting();
    let writer = fixture.repository.clone();
    let put = tokio::spawn(async move { writer.put(point("mlflow"), stream::iter([Ok(file)])).await });
    has_begun.await.unwrap();
    fs::write(fixture.path("lifeboat/lease/0000000002"), "another").unwrap();
    go_on.send(()).unwrap();
    let error = put.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("took this process for dead"), "{error}");
    assert_eq!(fixture.ids().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_dropped_completes_no_point_and_the_next_goes_on() {
    let fixture = Fixture::new().await;
    let (file, has_begun, go_on) = waiting();
    let writer = fixture.repository.clone();
    let put = tokio::spawn(async move { writer.put(point("mlflow"), stream::iter([Ok(file)])).await });
    has_begun.await.unwrap();
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    fixture.put("mlflow", vec![NewFile::bytes("a", "bytes")]).await.unwrap();
    assert_eq!(fixture.ids().await.len(), 1);
    assert!(go_on.send(()).is_err(), "a source that hangs is let go");
}

const CHILD: &str = "LIFEBOAT_TEST_REPOSITORY";

/// Killed by the next test in the middle of its put.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child of another test"]
async fn puts_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let repository = OpenRepository::open(&settings(folder.as_ref()), QUICK).await.unwrap();
    // More than a pack, and then nothing for ever.
    let noise = (0..5_000_u64).flat_map(|n| blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof_bytes());
    let file = NewFile::bytes("a", noise.collect::<Vec<u8>>());
    let hangs = NewFile::stream("b", async || {
        println!("hangs");
        std::future::pending::<()>().await;
        opened("")
    });
    repository.put(point("mlflow"), stream::iter([Ok(file), Ok(hangs)])).await.unwrap();
}

/// Ten kilobytes of noise.
trait Noise {
    fn finalize_xof_bytes(&self) -> Vec<u8>;
}

impl Noise for blake3::Hasher {
    fn finalize_xof_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 10_000];
        self.finalize_xof().fill(&mut bytes);
        bytes
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_in_a_put_leaves_a_valid_repository_and_the_next_put_works() {
    let fixture = Fixture::new().await;
    let before = fixture.put("mlflow", vec![NewFile::bytes("a", "bytes")]).await.unwrap();
    let packs = |files: Vec<String>| files.iter().filter(|name| name.starts_with("data/")).count();
    let had = packs(fixture.files());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "repository::guards_tests::puts_until_it_is_killed"]);
    let mut child = command.env(CHILD, fixture.folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("hangs")), "it never came so far");
    let waited = Stopwatch::start();
    while packs(fixture.files()) == had && waited.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(50)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(packs(fixture.files()) > had, "it had written something");
    fs::create_dir_all(fixture.path("lifeboat/unfinished")).unwrap();
    fs::write(fixture.path("lifeboat/unfinished/half"), "half a pack").unwrap();

    assert_eq!(fixture.ids().await, [before.id.as_str()]);
    assert!(fixture.flaws().await.iter().all(|flaw| !flaw.harms), "packs too many at most");
    let next = fixture.put("mlflow", vec![NewFile::bytes("a", "bytes")]).await.unwrap();
    assert!(!fixture.path("lifeboat/unfinished/half").exists());
    fixture.repository.prune(Duration::ZERO).await.unwrap();
    assert_eq!(fixture.flaws().await, []);
    assert_eq!(fixture.ids().await, [before.id, next.id]);
}
