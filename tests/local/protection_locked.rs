//! A protection whose points are locked in a bucket: a prune leaves them, and says until when.

use crate::protection::Protected;
use crate::repository::ObjectLockServer;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_point_stays_when_its_time_is_over() {
    let Some(store) = ObjectLockServer::start().await else { return };
    store.make_bucket("locked", true).await;
    let it = Protected::start().await;
    let text = fs::read_to_string(it.folder.path().join("mlflow.yaml")).unwrap();
    let (head, _) = text.split_once("repositories:").unwrap();
    let lock = ", lock: { mode: governance, for: 1h }";
    let text = format!("{head}repositories:\n  - far: {}\nkeep: 1ms\n", store.repository("locked", lock));
    fs::write(it.folder.path().join("mlflow.yaml"), text).unwrap();
    it.done("backup mlflow.yaml --create");
    it.done("backup mlflow.yaml");
    for prune in ["prune mlflow.yaml --dry-run", "prune mlflow.yaml --readers 0s"] {
        let pruned = it.done(prune);
        let stays = |point: usize| pruned[0]["points"][point]["stays_as"].as_str().unwrap_or_default().to_owned();
        assert!(stays(0).starts_with("locked until 20") && stays(1) == "last good point", "{pruned:#}");
    }
    assert_eq!(it.done("points mlflow.yaml")[0]["points"].as_array().unwrap().len(), 2);
    let policy = it.lifeboat("policy mlflow.yaml --repository far --for backup");
    let policy: serde_json::Value = serde_json::from_slice(&policy.stdout).unwrap();
    assert!(policy.to_string().contains("s3:PutObjectRetention"), "{policy:#}");
    it.refused("policy mlflow.yaml --repository near --for backup", 2);
}
