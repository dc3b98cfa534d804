//! A protection whose points hold the artifacts too, on a real PostgreSQL and a real S3 server: B1, B2.

use crate::protection::Protected;
use crate::repository::ObjectLockServer;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use lifeboat::client::{s3, versions};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// Keys and contents: an empty one, one in parts, and such as a tree has trouble with.
pub fn contents() -> BTreeMap<String, Vec<u8>> {
    let large = (0..40_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect::<Vec<u8>>();
    let small = |text: &str| text.as_bytes().to_vec();
    [
        ("1/a/model.pkl", large),
        ("1/a/empty", vec![]),
        ("1/a-b/MLmodel", small("flavors: {}")),
        ("1/a.c/50% \"odd\" \u{e9}.txt", small("odd")),
        ("2/x/changed", small("before")),
        ("2/x/damaged", small("the bytes of before")),
        ("2/x/deleted", small("deleted later")),
    ]
    .map(|(path, bytes)| (format!("artifacts/{path}"), bytes))
    .into()
}

pub async fn all(client: &Client, bucket: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (key, _) in s3::list(client, bucket, "").await.unwrap() {
        let bytes = s3::get(client, bucket, &key).await.unwrap();
        found.insert(key, bytes);
    }
    found
}

pub fn figure<'a>(restored: &'a Value, name: &str) -> &'a str {
    let figures = restored["finding"]["figures"].as_array().unwrap();
    figures.iter().find(|it| it[0] == name).unwrap_or_else(|| panic!("{name}: {restored:#}"))[1].as_str().unwrap()
}

async fn purge(client: &Client, bucket: &str) {
    let all = versions::list(client, bucket, "").await.unwrap();
    let all: Vec<_> = all.into_iter().map(|it| (it.key, Some(it.id))).collect();
    assert_eq!(versions::delete(client, bucket, &all).await.unwrap(), []);
    client.delete_bucket().bucket(bucket).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_are_in_the_point_and_come_back_byte_for_byte() {
    let Some(store) = ObjectLockServer::start().await else { return };
    let (it, client) = (Protected::start().await, store.client());
    store.make_bucket("mlflow", false).await;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket("mlflow").versioning_configuration(enabled).send().await.unwrap();
    let before = contents();
    for (key, bytes) in &before {
        s3::put(&client, "mlflow", key, bytes.clone()).await.unwrap();
    }
    s3::put(&client, "mlflow", "elsewhere/no-artifact", b"another's".to_vec()).await.unwrap();
    let file = it.folder.path().join("mlflow.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let bucket = store.bucket("mlflow", "artifacts");
    let unprotected = text.replace(" } }\nengine", &format!(" }}, artifacts: {{ s3: {bucket} }} }}\nengine"));
    fs::write(&file, &unprotected).unwrap();
    let why = it.refused("backup mlflow.yaml --create", 2);
    assert!(why.contains("no backup is taken of the artifacts"), "{why}");
    let engine = "postgres: logical, artifacts: objects";
    fs::write(&file, text.replace("postgres: logical", engine)).unwrap();
    let why = it.refused("backup mlflow.yaml --create", 2);
    assert!(why.contains("does not say where the artifacts are"), "{why}");
    fs::write(&file, unprotected.replace("postgres: logical", engine)).unwrap();
    it.done("backup mlflow.yaml --create");
    it.done("verify mlflow.yaml");

    // One is deleted, one is another, one is damaged on the server's disk without its knowledge, one is new.
    client.delete_object().bucket("mlflow").key("artifacts/2/x/deleted").send().await.unwrap();
    s3::put(&client, "mlflow", "artifacts/2/x/changed", b"after!".to_vec()).await.unwrap();
    store.damage("mlflow/artifacts/2/x/damaged");
    s3::put(&client, "mlflow", "artifacts/3/new", b"later".to_vec()).await.unwrap();
    it.sql("mlflow", "DELETE FROM runs").await;
    let planned = it.done("restore mlflow.yaml --to latest --replace --only artifacts --dry-run");
    assert_eq!((&planned["bucket"], &planned["database"]), (&"mlflow".into(), &Value::Null), "{planned:#}");
    let restored = it.done("restore mlflow.yaml --to latest --replace --only artifacts");
    assert_eq!((figure(&restored, "artifacts"), figure(&restored, "artifacts put back")), ("7", "3"), "{restored:#}");
    let found = all(&client, "mlflow").await;
    assert!(before.iter().all(|(key, bytes)| found.get(key) == Some(bytes)), "{:?}", found.keys());
    assert_eq!(found.len(), before.len() + 2, "what came later and what is another's stays");
    assert_eq!(it.rows("mlflow").await, Some(0), "only the artifacts");

    // Again, with the database: nothing is left to be put back.
    let restored = it.done("restore mlflow.yaml --to latest --replace");
    assert_eq!(figure(&restored, "artifacts put back"), "0", "{restored:#}");
    assert_eq!(it.rows("mlflow").await, Some(1000));

    // Beside the live bucket.
    let why = it.refused("restore mlflow.yaml --to latest --into-bucket mlflow", 5);
    assert!(why.contains("it is the protected bucket"), "{why}");
    store.make_bucket("beside", false).await;
    s3::put(&client, "beside", "artifacts/there", b"there".to_vec()).await.unwrap();
    let why = it.refused("restore mlflow.yaml --to latest --into-bucket beside", 5);
    assert!(why.contains("it holds `artifacts/there`"), "{why}");
    client.delete_object().bucket("beside").key("artifacts/there").send().await.unwrap();
    it.done("restore mlflow.yaml --to latest --into-bucket beside --into looked_at");
    assert_eq!(all(&client, "beside").await, before);
    assert_eq!(it.rows("looked_at").await, Some(1000));

    // A bucket without versions can be protected too.
    let of_beside = fs::read_to_string(&file).unwrap().replace("bucket: mlflow", "bucket: beside");
    fs::write(it.folder.path().join("beside.yaml"), of_beside.replace("protection: mlflow", "protection: beside"))
        .unwrap();
    it.done("backup beside.yaml");
    s3::put(&client, "beside", "artifacts/2/x/changed", b"after!".to_vec()).await.unwrap();
    let restored = it.done("restore beside.yaml --to latest --replace --only artifacts");
    assert_eq!(figure(&restored, "artifacts put back"), "1", "{restored:#}");
    assert_eq!(all(&client, "beside").await, before);

    // The next point does not read again what has not changed, and so not what was damaged since. The bucket is lost and
    // comes back with its versions.
    store.damage("mlflow/artifacts/1/a/model.pkl");
    let second = it.done("backup mlflow.yaml");
    let (large, all_of_it) = (40_000_000, second[0]["bytes"].as_u64().unwrap());
    assert!(all_of_it > large, "{second:#}");
    purge(&client, "mlflow").await;
    let why = it.refused("backup mlflow.yaml", 5);
    assert!(why.contains("NoSuchBucket") || why.contains("cannot list"), "{why}");
    let restored = it.done("restore mlflow.yaml --to latest --from far --replace --only artifacts");
    assert_eq!(figure(&restored, "artifacts put back"), "8", "{restored:#}");
    let found = all(&client, "mlflow").await;
    assert!(before.iter().all(|(key, bytes)| found.get(key) == Some(bytes)), "{:?}", found.keys());
    assert!(versions::kept(&client, "mlflow").await.unwrap(), "the bucket keeps versions as before");
}
