//! One registered model put into another tracking server, whose experiments have numbers of their own.

use crate::protection::Protected;
use crate::re_point::TABLES;
use crate::repository::ObjectLockServer;
use lifeboat::client::s3;
use std::fs;

const RESTORE: &str = "restore mlflow.yaml --to latest --model churn --into-platform other.yaml";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_goes_into_another_tracking_server() {
    let Some(store) = ObjectLockServer::start().await else { return };
    let (it, other, client) = (Protected::start().await, Protected::start().await, store.client());
    for bucket in ["mlflow", "theirs"] {
        store.make_bucket(bucket, false).await;
    }
    s3::put(&client, "mlflow", "artifacts/1/r/m/MLmodel", b"flavors: {}".to_vec()).await.unwrap();
    let tables = TABLES.replace("s3://old/", "mlflow-artifacts:/");
    it.sql("mlflow", &tables).await;
    // The other server knows no such role.
    let admin = it.server.connect_as("admin", "mlflow").await.unwrap();
    let role = "CREATE ROLE somebody SUPERUSER; GRANT SELECT ON runs TO somebody; \
        ALTER DATABASE mlflow OWNER TO somebody";
    admin.batch_execute(role).await.unwrap();
    other.sql("mlflow", &tables).await;
    let of_theirs = "DELETE FROM model_version_tags; DELETE FROM model_versions; DELETE FROM registered_models; \
        DELETE FROM runs; DELETE FROM experiments; \
        INSERT INTO experiments VALUES (1, 'theirs', 'mlflow-artifacts:/1', 9), (5, 'more', 'mlflow-artifacts:/5', 9)";
    other.sql("mlflow", of_theirs).await;
    protect(&it, "mlflow.yaml", &it, &store.bucket("mlflow", "artifacts"));
    protect(&it, "other.yaml", &other, &store.bucket("theirs", "a"));
    it.done("backup mlflow.yaml --create");

    let planned = it.done(&format!("{RESTORE} --dry-run"));
    assert_eq!(planned["bucket"], "theirs", "{planned:#}");
    assert_eq!(of(&other, "model_versions").await, 0);
    it.done(RESTORE);
    assert_eq!(of(&other, "model_versions JOIN model_version_tags USING (name, version)").await, 1);
    assert_eq!(
        of(&other, "runs JOIN experiments e USING (experiment_id) WHERE experiment_id = 6 AND e.name = 'e'").await,
        1
    );
    assert_eq!(of(&other, "experiments WHERE experiment_id = 1 AND name = 'theirs'").await, 1);
    let put = s3::get(&client, "theirs", "a/1/r/m/MLmodel").await.unwrap();
    assert_eq!(put, b"flavors: {}");
    it.done(RESTORE);
    assert_eq!(of(&other, "experiments").await, 3, "a second time makes nothing");

    // An experiment of the same name takes the runs, and stays as it is.
    other.sql("mlflow", of_theirs).await;
    other.sql("mlflow", "INSERT INTO experiments VALUES (8, 'e', 'mlflow-artifacts:/8', 100)").await;
    it.done(RESTORE);
    assert_eq!(of(&other, "runs WHERE experiment_id = 8").await, 1);
    assert_eq!(of(&other, "experiments WHERE experiment_id = 8 AND creation_time = 100").await, 1);

    // A model of that name that is another's is not touched.
    other.sql("mlflow", "UPDATE registered_models SET description = 'theirs'").await;
    let why = it.refused(RESTORE, 3);
    assert!(why.contains("1 rows of `public.registered_models` are there and differ, such as `churn`"), "{why}");

    it.sql("mlflow", "UPDATE model_versions SET source = 's3://mlflow/artifacts/1/r/m'").await;
    it.done("backup mlflow.yaml");
    let why = it.refused(RESTORE, 3);
    assert!(why.contains("`s3://mlflow/artifacts/1/r/m` names another bucket than the one it goes into"), "{why}");
    fs::write(it.folder.path().join("other.yaml"), plain(&it, &other)).unwrap();
    let why = it.refused(RESTORE, 5);
    assert!(why.contains("cannot put artifacts into the platform of `mlflow`: it has none"), "{why}");
}

/// The file of a protection of this database, in the folder of `it`.
fn plain(it: &Protected, of: &Protected) -> String {
    let text = fs::read_to_string(it.folder.path().join("mlflow.yaml")).unwrap();
    let (mine, theirs) = (format!(":{}/", it.server.port()), format!(":{}/", of.server.port()));
    let text = text.replace(&mine, &theirs).replace(", artifacts: objects", "");
    match (text.find(", artifacts: { s3"), text.find("\nengine")) {
        (Some(from), Some(to)) => format!("{} }}{}", &text[..from], &text[to..]),
        _ => text,
    }
}

/// The same with its artifacts in this bucket.
fn protect(it: &Protected, file: &str, of: &Protected, bucket: &str) {
    let text = plain(it, of).replace(" } }\nengine", &format!(" }}, artifacts: {{ s3: {bucket} }} }}\nengine"));
    let text = text.replace("postgres: logical", "postgres: logical, artifacts: objects");
    fs::write(it.folder.path().join(file), text).unwrap();
}

async fn of(it: &Protected, rows: &str) -> i64 {
    let client = it.server.client("mlflow").await.unwrap();
    client.query_one(&format!("SELECT count(*) FROM {rows}"), &[]).await.unwrap().get(0)
}
