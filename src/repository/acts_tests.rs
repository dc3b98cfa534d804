//! Tests of a repository in a temporary directory: what is put comes back, what is damaged is found, what goes is gone.

use super::fixture_tests::{Fixture, names, read_all};
use super::{NewFile, OpenRepository, Turn, in_pack_order};
use crate::client::{Error, ErrorKind};
use futures::StreamExt;
use std::fs;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_comes_back_under_its_name() {
    let fixture = Fixture::new().await;
    let odd = ["", ".", "..", "a", "a%", "a/", "a/b", "a//b", "a-b", "50%25", "line\nbreak", "é\"\\"];
    let mut odd: Vec<_> = odd.iter().map(|name| format!("objects/{name}")).collect();
    odd.sort_by(|a, b| super::order(a, b));
    let mut files: Vec<_> = odd.iter().map(|name| NewFile::bytes(name.as_str(), name.as_bytes())).collect();
    files[3].attributes = vec![("s3.etag".into(), "\"x\"".into())];
    let dump: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    files.insert(0, NewFile::bytes("database/mlflow.dump", dump.clone()));
    let stored = fixture.put("mlflow", files).await.unwrap();
    assert_eq!((stored.files, stored.unchanged), (1 + odd.len() as u64, 0));
    assert_eq!(stored.bytes, dump.len() as u64 + odd.iter().map(|it| it.len() as u64).sum::<u64>());

    let contents = fixture.repository.point(&stored.id).await.unwrap();
    let mut listed: Vec<_> = contents.list("objects").map(Result::unwrap).collect().await;
    let mut found: Vec<_> = listed.iter().map(|file| file.name.clone()).collect();
    found.sort_by(|a, b| super::order(a, b));
    assert_eq!(found, odd);
    assert_eq!(listed.iter().filter(|it| it.attributes == [("s3.etag".into(), "\"x\"".into())]).count(), 1);
    in_pack_order(&mut listed);
    for file in &listed {
        assert_eq!(read_all(contents.read(file)).await.unwrap(), file.name.as_bytes());
        assert_eq!(contents.find(&file.name).await.unwrap().size, file.name.len() as u64);
    }
    let file = contents.find("database/mlflow.dump").await.unwrap();
    assert_eq!(file.size, dump.len() as u64, "the size of a stream is known once it is stored");
    assert!(read_all(contents.read(&file)).await.unwrap() == dump);
    assert_eq!(contents.find("objects/none").await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(names(&contents, "nothing/here").await, Vec::<String>::new());
    let points = fixture.repository.points().await.unwrap().points;
    assert_eq!(
        (points[0].id.as_str(), points[0].label.as_str(), points[0].files),
        (&*stored.id, "mlflow", stored.files)
    );
    assert_eq!(points[0].tags, ["full", "scheduled"]);
    assert_eq!(fixture.flaws().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_created_once_and_opened_with_its_password() {
    let fixture = Fixture::new().await;
    let why = |it: Result<OpenRepository, Error>| it.map(|_| ()).unwrap_err();
    let again = OpenRepository::create(&fixture.settings, fixture.patience).await;
    assert!(why(again).to_string().contains("there is one already"));
    let opened = OpenRepository::open(&fixture.settings, fixture.patience).await.unwrap();
    assert_eq!(opened.points().await.unwrap().points, []);

    let before = fixture.bytes_of_all_files();
    fs::write(fixture.folder.path().join("password"), "another").unwrap();
    let error = why(OpenRepository::open(&fixture.settings, fixture.patience).await);
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("the password is wrong") && !error.to_string().contains("another\""), "{error}");

    fs::rename(fixture.path("config"), fixture.path("notes.txt")).unwrap();
    let error = why(OpenRepository::open(&fixture.settings, fixture.patience).await);
    assert!(error.to_string().contains("they are no repository"), "{error}");
    let error = why(OpenRepository::create(&fixture.settings, fixture.patience).await);
    assert!(error.to_string().contains("is not empty"), "{error}");
    fs::rename(fixture.path("notes.txt"), fixture.path("config")).unwrap();
    assert_eq!(fixture.bytes_of_all_files(), before, "nothing was touched");

    fs::remove_dir_all(fixture.path("")).unwrap();
    let error = why(OpenRepository::open(&fixture.settings, fixture.patience).await);
    assert!(error.to_string().contains("there is none"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_damaged_byte_in_any_file_is_found_and_named() {
    let fixture = Fixture::new().await;
    fixture.put("mlflow", vec![NewFile::bytes("a", "some bytes"), NewFile::bytes("b/c", "others")]).await.unwrap();
    assert_eq!(fixture.flaws().await, []);
    let files = fixture.files();
    for kind in ["config", "keys/", "index/", "snapshots/", "data/"] {
        assert!(files.iter().any(|name| name.starts_with(kind)), "{files:?}");
    }
    for name in &files {
        let whole = fs::read(fixture.path(name)).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(fixture.path(name), damaged).unwrap();
            let flaws = fixture.flaws().await;
            let named = flaws.iter().any(|flaw| flaw.harms && flaw.file.as_deref() == Some(name));
            assert!(named, "byte {at} of {name}: {flaws:#?}");
        }
        fs::write(fixture.path(name), &whole).unwrap();
    }
    for name in files.iter().filter(|name| !name.starts_with("snapshots/")) {
        let moved = fixture.folder.path().join("moved");
        fs::rename(fixture.path(name), &moved).unwrap();
        assert!(fixture.flaws().await.iter().any(|flaw| flaw.harms), "{name} is missing");
        fs::rename(&moved, fixture.path(name)).unwrap();
    }
    fs::write(fixture.path("data/notes.txt"), "x").unwrap();
    let flaws = fixture.flaws().await;
    assert_eq!(flaws.len(), 1);
    assert_eq!((flaws[0].file.as_deref(), flaws[0].harms), (Some("data/notes.txt"), false), "{flaws:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_cannot_be_read_hides_no_other_and_a_damaged_file_ends_with_an_error() {
    let fixture = Fixture::new().await;
    let first = fixture.put("mlflow", vec![NewFile::bytes("a", "some bytes")]).await.unwrap();
    let second = fixture.put("mlflow", vec![NewFile::bytes("a", "other bytes")]).await.unwrap();
    fixture.damage(&format!("snapshots/{}", first.id));
    let list = fixture.repository.points().await.unwrap();
    assert_eq!(list.points.iter().map(|it| &it.id).collect::<Vec<_>>(), [&second.id]);
    assert_eq!(list.unreadable[0].0, format!("snapshots/{}", first.id));
    let contents = fixture.repository.point(&second.id).await.unwrap();
    let file = contents.find("a").await.unwrap();
    fixture.files().iter().filter(|name| name.starts_with("data/")).for_each(|name| fixture.damage(name));
    assert!(read_all(contents.read(&file)).await.is_err());
    assert_eq!(fixture.repository.point("00").await.map(|_| ()).unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_point_needs_is_marked_and_then_removed() {
    let fixture = Fixture::new().await;
    let noise = |seed: u64| {
        (0..200_000_u64).map(|n| blake3::hash(&(n ^ (seed << 32)).to_le_bytes()).as_bytes()[0]).collect::<Vec<_>>()
    };
    let first = fixture.put("mlflow", vec![NewFile::bytes("a", noise(1))]).await.unwrap();
    let second = fixture.put("mlflow", vec![NewFile::bytes("a", noise(2))]).await.unwrap();
    let repository = &fixture.repository;
    let absent = vec![first.id.clone(), "0".repeat(64)];
    assert_eq!(repository.remove(&absent).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(repository.points().await.unwrap().points.len(), 2, "none is removed when one is not there");
    repository.remove(std::slice::from_ref(&first.id)).await.unwrap();
    let before = fixture.bytes_of_all_files();
    let would = repository.prune_plan(Duration::ZERO, &[]).await.unwrap();
    assert!(would.bytes > 200_000, "{would:?}");
    assert_eq!(fixture.bytes_of_all_files(), before, "a dry run changes nothing");

    let marked = repository.prune(Duration::from_hours(1)).await.unwrap();
    assert!(marked.bytes == 0 && marked.marked > 200_000, "{marked:?}");
    assert_eq!(fixture.flaws().await.iter().filter(|flaw| flaw.harms).count(), 0);
    let removed = repository.prune(Duration::ZERO).await.unwrap();
    assert!(removed.bytes > 200_000 && removed.marked == 0, "{removed:?}");
    assert!(fixture.bytes_of_all_files().len() < before.len());
    assert_eq!(fixture.flaws().await, []);
    let contents = repository.point(&second.id).await.unwrap();
    let file = contents.find("a").await.unwrap();
    assert!(read_all(contents.read(&file)).await.unwrap() == noise(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_file_is_not_read_and_a_changed_one_of_the_same_size_and_second_is() {
    let fixture = Fixture::new().await;
    let time = "2026-01-01T00:00:00Z".parse().ok();
    let file = |bytes: &'static str, identity: Option<&str>| {
        let identity = identity.map(str::to_owned);
        vec![NewFile { size: Some(4), modified: time, identity, turn: Turn::Ahead, ..NewFile::bytes("a", bytes) }]
    };
    fixture.put("mlflow", file("AAAA", Some("v1"))).await.unwrap();
    let same = fixture.put("mlflow", file("????", Some("v1"))).await.unwrap();
    assert_eq!(same.unchanged, 1);
    assert_eq!(fixture.read(&same.id, "a").await, b"AAAA");
    let other = fixture.put("mlflow", file("BBBB", Some("v2"))).await.unwrap();
    assert_eq!(other.unchanged, 0);
    assert_eq!(fixture.read(&other.id, "a").await, b"BBBB");
    let timeless = || vec![NewFile { identity: Some("v3".into()), ..NewFile::bytes("a", "EEEE") }];
    fixture.put("mlflow", timeless()).await.unwrap();
    assert_eq!(fixture.put("mlflow", timeless()).await.unwrap().unchanged, 1, "an identity is enough");
    for bytes in ["CCCC", "DDDD"] {
        let unknown = fixture.put("mlflow", file(bytes, None)).await.unwrap();
        assert_eq!((unknown.unchanged, fixture.read(&unknown.id, "a").await), (0, bytes.as_bytes().to_vec()));
    }
}
