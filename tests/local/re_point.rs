//! Artifacts moved to another bucket, and the database re-pointed to it; and the two commands that act on one part of a
//! platform, as their users type them.

use crate::lies::fixture::Fixture;
use crate::protection::Protected;
use lifeboat::client::re_point::PlaceMove;
use lifeboat::client::s3;
use lifeboat::model::{Finding, Verdict};
use lifeboat::recovery::re_point::{RePointing, carry_out};

/// As on a platform whose clients read the bucket themselves.
const DIRECT: &str = "
    UPDATE experiments SET artifact_location = replace(artifact_location, 'mlflow-artifacts:/', 's3://mlflow/artifacts/');
    UPDATE runs SET artifact_uri = replace(artifact_uri, 'mlflow-artifacts:/', 's3://mlflow/artifacts/');
    UPDATE logged_models SET artifact_location = replace(artifact_location, 'mlflow-artifacts:/', 's3://mlflow/artifacts/');
    UPDATE model_versions SET source = replace(source, 'mlflow-artifacts:/', 's3://mlflow/artifacts/'),
        storage_location = replace(storage_location, 'mlflow-artifacts:/', 's3://mlflow/artifacts/');
    UPDATE trace_tags SET value = replace(value, 'mlflow-artifacts:/', 's3://mlflow/artifacts/');
    UPDATE experiments SET artifact_location = 's3://mlflow/artifacts' WHERE experiment_id = 0;
    INSERT INTO tags SELECT 'similar', 's3://mlflow/artifacts-2/x', min(run_uuid) FROM runs";
const TOUCHED: &str = "SELECT count(*) FROM model_versions WHERE storage_location LIKE 's3://moved/a/%' \
    AND source LIKE 's3://moved/a/%'";

async fn re_pointed(fixture: &Fixture, to: &str, also: &[&str], dry_run: bool) -> Finding {
    let moved = PlaceMove::new("s3://mlflow/artifacts", to).unwrap();
    let act = RePointing { moved, also: also.iter().map(ToString::to_string).collect(), dry_run };
    let finding = carry_out(&*fixture.platform, &act).await;
    let finding = finding.unwrap_or_else(|error| Finding::unknown(error.to_string()));
    fixture.say(to, &finding);
    finding
}

async fn count(fixture: &Fixture, query: &str) -> i64 {
    fixture.sql().connect("mlflow").await.unwrap().query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_names_the_old_bucket_names_the_new_one() {
    let fixture = Fixture::new("re-point").await;
    let (store, bucket) = (fixture.bucket().s3(), fixture.bucket().bucket());
    // Nothing names a bucket where MLflow's server stands before it.
    let behind = re_pointed(&fixture, "s3://moved/a", &[], false).await;
    assert_eq!((behind.verdict, behind.get("changed")), (Verdict::Met, Some("0")), "{behind:?}");
    assert_eq!(behind.get("versions read"), Some("100"));

    fixture.database(DIRECT).await;
    store.create_bucket().bucket("moved").send().await.unwrap();
    let keys = s3::list(store, bucket, "artifacts/").await.unwrap();
    for (key, _) in &keys {
        let bytes = s3::get(store, bucket, key).await.unwrap();
        s3::put(store, "moved", &key.replacen("artifacts/", "a/", 1), bytes).await.unwrap();
        fixture.delete(key).await;
    }

    let planned = re_pointed(&fixture, "s3://moved/a", &[], true).await;
    assert_eq!((planned.get("changed public.model_versions.source"), count(&fixture, TOUCHED).await), (Some("100"), 0));
    assert_eq!(planned.get("changed public.trace_tags.value"), Some("10"), "{planned:?}");
    let long = re_pointed(&fixture, &format!("s3://moved/{}", "x".repeat(180)), &[], false).await;
    assert!(long.reason.unwrap().contains("value too long for type character varying(200)"));
    assert_eq!(count(&fixture, TOUCHED).await, 0, "nothing has changed");

    let note = "INSERT INTO params SELECT 'note', 'see s3://mlflow/artifacts/1, s3://mlflow/artifacts', min(run_uuid) FROM runs";
    fixture.database(note).await;
    let left = re_pointed(&fixture, "s3://moved/a", &[], false).await;
    let why = left.reason.unwrap();
    assert!(why.contains("1 rows of `public.params.value` name the old place"), "{why}");
    assert_eq!((left.verdict, count(&fixture, TOUCHED).await), (Verdict::Missed, 100));

    let whole = re_pointed(&fixture, "s3://moved/a", &["params.value"], false).await;
    assert_eq!((whole.verdict, whole.get("versions read")), (Verdict::Met, Some("100")), "{whole:?}");
    let noted = "SELECT count(*) FROM params WHERE value = 'see s3://moved/a/1, s3://moved/a'";
    assert_eq!(count(&fixture, noted).await, 1);
    assert_eq!(count(&fixture, "SELECT count(*) FROM tags WHERE value = 's3://mlflow/artifacts-2/x'").await, 1);
    let root = "SELECT count(*) FROM experiments WHERE artifact_location = 's3://moved/a'";
    assert_eq!(count(&fixture, root).await, 1);

    let absent = re_pointed(&fixture, "s3://elsewhere", &["nothing.value"], false).await;
    assert!(absent.reason.unwrap().contains("there is no such column of texts"));
    fixture.database("UPDATE model_versions SET storage_location = 's3://moved/b' WHERE version = 1").await;
    let gone = re_pointed(&fixture, "s3://moved/a", &[], false).await;
    assert!(gone.reason.unwrap().contains("seed-model-01 version 1: nothing is at `s3://moved/b`"));
    fixture.database("UPDATE model_versions SET storage_location = 'file:///tmp/x' WHERE version = 1").await;
    assert_eq!(re_pointed(&fixture, "s3://moved/a", &[], false).await.verdict, Verdict::Unknown);
    fixture.end().await;
}

/// MLflow's tables as far as the commands need them.
pub const TABLES: &str = "
    DROP TABLE runs;
    CREATE TABLE experiments (experiment_id int PRIMARY KEY, name text, artifact_location text, creation_time bigint);
    CREATE TABLE runs (run_uuid text PRIMARY KEY, experiment_id int REFERENCES experiments, artifact_uri text);
    CREATE TABLE registered_models (name text PRIMARY KEY, description text);
    CREATE TABLE model_versions (name text NOT NULL REFERENCES registered_models, version int, source text,
        storage_location text, run_id text, status text, PRIMARY KEY (name, version));
    CREATE TABLE model_version_tags (name text, version int, key text, value text, PRIMARY KEY (name, version, key),
        FOREIGN KEY (name, version) REFERENCES model_versions);
    INSERT INTO experiments VALUES (1, 'e', 's3://old/1', 7);
    INSERT INTO runs VALUES ('r', 1, 's3://old/1/r');
    INSERT INTO registered_models VALUES ('churn', ''), ('other', '');
    INSERT INTO model_versions SELECT 'churn', v, 's3://old/1/r/m', NULL, 'r', 'READY' FROM generate_series(1, 2) v;
    INSERT INTO model_version_tags VALUES ('churn', 1, 'a', 'b')";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_and_the_stored_places_are_put_right_by_commands() {
    let it = Protected::start().await;
    it.sql("mlflow", TABLES).await;
    it.done("backup mlflow.yaml --create");
    let of = async |query: &str| {
        let client = it.server.client("mlflow").await.unwrap();
        client.query_one(&format!("SELECT count(*) FROM {query}"), &[]).await.unwrap().get::<_, i64>(0)
    };

    it.sql("mlflow", "DELETE FROM model_version_tags; DELETE FROM model_versions; DELETE FROM registered_models").await;
    it.sql(
        "mlflow",
        "DELETE FROM runs; DELETE FROM experiments; INSERT INTO registered_models VALUES ('other', 'now')",
    )
    .await;
    let model = "restore mlflow.yaml --to latest --model churn";
    let why = it.refused(model, 3);
    assert!(why.contains("it has none (--only database puts back the rows alone)"), "{why}");
    let planned = it.done(&format!("{model} --only database --dry-run"));
    assert_eq!((&planned["finding"]["figures"][1][1], of("model_versions").await), (&"6".into(), 0), "{planned:#}");
    let said = it.refused(&format!("{model}/2 --only database"), 0);
    assert!(said.contains("restored version 2 of the model `churn`"), "{said}");
    assert_eq!((of("model_versions").await, of("runs").await, of("experiments").await), (1, 1, 1));
    it.done(&format!("{model} --only database"));
    assert_eq!((of("model_versions").await, of("model_version_tags").await), (2, 1));
    assert_eq!(of("registered_models WHERE name = 'other' AND description = 'now'").await, 1, "another's stays");
    it.sql("mlflow", "UPDATE registered_models SET description = 'changed'").await;
    let why = it.refused(&format!("{model} --only database"), 3);
    assert!(why.contains("such as `churn`"), "{why}");
    it.done(&format!("{model} --only database --replace"));
    assert_eq!(of("registered_models WHERE description = 'changed'").await, 1, "only the model's own");
    assert!(it.refused("restore mlflow.yaml --to latest --model churn/x", 2).contains("is no version of `churn`"));
    assert!(
        it.refused("restore mlflow.yaml --to latest --model churn --into other", 2).contains("cannot be used with")
    );

    let re_point = "re-point mlflow.yaml --from s3://old --to s3://new";
    let planned = it.done(&format!("{re_point} --dry-run"));
    assert_eq!(
        (planned["figures"][0][1].as_str(), of("runs WHERE artifact_uri LIKE 's3://old%'").await),
        (Some("4"), 1)
    );
    let why = it.refused(re_point, 4);
    assert!(why.contains("re-pointed 4 rows from `s3://old` to `s3://new`"), "{why}");
    assert!(why.contains("it is not known whether the artifacts are there: no bucket is named"), "{why}");
    assert_eq!(of("model_versions WHERE source = 's3://new/1/r/m'").await, 2);
    assert!(it.refused("re-point mlflow.yaml --from old --to s3://new", 2).contains("`old` is no place"));
}
