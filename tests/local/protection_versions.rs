//! A protection whose points list the versions of the artifacts, whose bytes stay in the bucket: B1, B2.

use crate::protection::Protected;
use crate::protection_artifacts::{all, contents, figure};
use crate::repository::ObjectLockServer;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use lifeboat::client::{s3, versions};
use serde_json::Value;
use std::fs;

/// Lets the points of the protection list the versions of the store's bucket `mlflow`.
pub fn list_versions(it: &Protected, store: &ObjectLockServer) {
    let file = it.folder.path().join("mlflow.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let bucket = store.bucket("mlflow", "artifacts");
    let text = text.replace(" } }\nengine", &format!(" }}, artifacts: {{ s3: {bucket} }} }}\nengine"));
    fs::write(&file, text.replace("postgres: logical", "postgres: logical, artifacts: versions")).unwrap();
}

/// Lets the bucket keep versions from now on.
pub async fn keep_versions(client: &Client) {
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket("mlflow").versioning_configuration(enabled).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_come_back_from_their_versions_by_the_server_alone() {
    let Some(store) = ObjectLockServer::start().await else { return };
    let (it, client) = (Protected::start().await, store.client());
    store.make_bucket("mlflow", false).await;
    let before = contents();
    for (key, bytes) in &before {
        s3::put(&client, "mlflow", key, bytes.clone()).await.unwrap();
    }
    list_versions(&it, &store);
    let why = it.refused("backup mlflow.yaml --create", 5);
    assert!(why.contains("the bucket `mlflow` keeps no versions") && why.contains("turn versioning on"), "{why}");
    keep_versions(&client).await;
    let taken = it.done("backup mlflow.yaml");
    let bytes = taken[0]["bytes"].as_u64().unwrap();
    assert!(bytes < 100_000, "no artifact's bytes are in the point: {taken:#}");

    // Two are gone, one of them twice; one is another; one is new.
    let key = |path: &str| format!("artifacts/{path}");
    for path in ["2/x/deleted", "2/x/deleted", "1/a/model.pkl"] {
        client.delete_object().bucket("mlflow").key(key(path)).send().await.unwrap();
    }
    s3::put(&client, "mlflow", &key("2/x/changed"), b"after!".to_vec()).await.unwrap();
    s3::put(&client, "mlflow", &key("3/new"), b"later".to_vec()).await.unwrap();
    it.sql("mlflow", "DELETE FROM runs").await;

    // Beside the live bucket, by the server, while the live one stays as it is.
    store.make_bucket("beside", false).await;
    let restored = it.done("restore mlflow.yaml --to latest --into-bucket beside");
    assert_eq!(figure(&restored, "artifacts"), "7", "{restored:#}");
    assert_eq!(all(&client, "beside").await, before);

    let restored = it.done("restore mlflow.yaml --to latest --replace");
    let figures = ["artifacts", "artifacts undeleted", "artifacts put back", "bytes moved by the server"];
    assert_eq!(figures.map(|name| figure(&restored, name)), ["7", "2", "1", "6"], "{restored:#}");
    assert_eq!(it.rows("mlflow").await, Some(1000));
    let found = all(&client, "mlflow").await;
    assert!(before.iter().all(|(key, bytes)| found.get(key) == Some(bytes)), "{:?}", found.keys());
    assert_eq!(found.len(), before.len() + 1, "what came later stays");
    let again = it.done("restore mlflow.yaml --to latest --replace --only artifacts");
    assert_eq!((figure(&again, "artifacts undeleted"), figure(&again, "artifacts put back")), ("0", "0"), "{again:#}");

    // A version that is purged does not come back: told by name, here and beside.
    let listed = versions::list(&client, "mlflow", &key("2/x/changed")).await.unwrap();
    let doomed: Vec<_> = listed.into_iter().map(|it| (it.key, Some(it.id))).collect();
    assert_eq!(versions::delete(&client, "mlflow", &doomed).await.unwrap(), []);
    let output = it.lifeboat("restore mlflow.yaml --to latest --replace --json");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let why = told["finding"]["reason"].as_str().unwrap();
    assert_eq!(output.status.code(), Some(3), "{told:#}");
    assert!(why.contains("`artifacts/2/x/changed`: no version of it is left"), "{why}");
    store.make_bucket("other", false).await;
    let output = it.lifeboat("restore mlflow.yaml --to latest --into-bucket other --json");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let why = told["finding"]["reason"].as_str().unwrap();
    assert_eq!(output.status.code(), Some(3), "{told:#}");
    assert!(why.contains("1 of 7 artifacts were not copied: `artifacts/2/x/changed`"), "{why}");
    assert_eq!(all(&client, "other").await.len(), 6);
}
