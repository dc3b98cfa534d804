//! One registered model restored out of a point, on the real local platform: what comes back, what stays, what is refused.

use crate::lies::fixture::{DATABASE_ONLY, Fixture, open_engine};
use crate::strike::strike;
use lifeboat::client::s3;
use lifeboat::engine::{Goal, ModelRestore, RestorePlan, Session};
use lifeboat::environment::Asset;
use lifeboat::model::{Finding, Verdict};
use std::sync::Arc;

const MODEL: &str = "seed-model-01";
const DELETED: &str = "model-deleted: { model: seed-model-01 }";

/// The platform, and a session whose point has the artifacts too.
struct Protected {
    fixture: Fixture,
    session: Box<dyn Session>,
}

impl Protected {
    async fn new() -> Self {
        let fixture = Fixture::new("model").await;
        let platform = Arc::clone(&fixture.platform);
        let folder = fixture.folder.path().join("points");
        let session = open_engine("builtin: { postgres: logical, artifacts: objects }", platform, &folder, None).await;
        session.backup("before").await.unwrap();
        Self { fixture, session }
    }

    async fn plan(&self, point: &str) -> RestorePlan {
        self.session.plan(&Goal::Point(point.into())).await.unwrap()
    }

    async fn restored(&self, model: &str, replace: bool, dry_run: bool) -> Finding {
        let restore = ModelRestore { model: model.parse().unwrap(), replace, dry_run, elsewhere: false };
        let finding = self.session.restore_model(&self.plan("before").await, &restore).await;
        self.fixture.say(model, &finding);
        let left = self.number("SELECT count(*) FROM pg_database WHERE datname LIKE '%lifeboat%'").await;
        assert_eq!(left, 0, "the database at the side is gone");
        finding
    }

    /// The model is restored as it was.
    async fn back(&self, model: &str, replace: bool) -> Finding {
        let finding = self.restored(model, replace, false).await;
        assert_eq!(finding.verdict, Verdict::Met, "{finding:?}");
        finding
    }

    /// The restore is refused for this reason, and the platform is as it was before it.
    async fn refused(&self, model: &str, replace: bool, reason: &str) {
        let before = self.number(ROWS).await;
        let finding = self.restored(model, replace, false).await;
        assert_eq!(finding.verdict, Verdict::Missed, "{finding:?}");
        let why = finding.reason.unwrap();
        assert!(why.contains(reason), "{why}");
        assert_eq!(self.number(ROWS).await, before, "nothing was written");
    }

    async fn number(&self, query: &str) -> i64 {
        let sql = self.fixture.sql();
        sql.connect(sql.database()).await.unwrap().query_one(query, &[]).await.unwrap().get(0)
    }

    /// Where the first version keeps its artifacts in the bucket.
    async fn folder(&self) -> String {
        let query = "SELECT storage_location FROM model_versions WHERE name = 'seed-model-01' AND version = 1";
        let (sql, bucket) = (self.fixture.sql(), self.fixture.bucket());
        let client = sql.connect(sql.database()).await.unwrap();
        let location: String = client.query_one(query, &[]).await.unwrap().get(0);
        s3::located(bucket.bucket(), bucket.prefix(), &location).unwrap()
    }

    /// Everything is as it was before the first harm.
    async fn whole(&self) {
        let finding = self.fixture.verify().await;
        assert_eq!((finding.verdict, finding.reason), (Verdict::Met, None));
    }
}

const ROWS: &str = "SELECT (SELECT count(*) FROM registered_models) + (SELECT count(*) FROM model_versions) \
    + (SELECT count(*) FROM runs) + (SELECT count(*) FROM experiments)";
const VERSIONS: &str = "SELECT count(*) FROM model_versions WHERE name = 'seed-model-01'";

fn figure<'f>(finding: &'f Finding, name: &str) -> &'f str {
    finding.get(name).unwrap_or_else(|| panic!("{name}: {finding:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_model_comes_back_and_nothing_else_changes() {
    let it = Protected::new().await;
    deleted(&it).await;
    while_others_write(&it).await;
    one_version(&it).await;
    changed(&it).await;
    with_its_runs(&it).await;
    conflicts(&it).await;
    triggers(&it).await;
    lacking(&it).await;
    it.fixture.end().await;
}

async fn deleted(it: &Protected) {
    strike(&*it.fixture.platform, DELETED).await;
    let finding = it.fixture.verify().await;
    assert_eq!(finding.verdict, Verdict::Missed, "the loss is seen");
    assert!(finding.reason.unwrap().contains(MODEL));
    let planned = it.restored(MODEL, false, true).await;
    assert_eq!((figure(&planned, "rows gone"), figure(&planned, "artifacts gone")), ("15", "25"), "{planned:?}");
    assert_eq!(it.number(VERSIONS).await, 0, "a dry run writes nothing");
    let back = it.back(MODEL, false).await;
    assert_eq!((figure(&back, "rows gone"), figure(&back, "artifacts put back")), ("15", "25"), "{back:?}");
    it.whole().await;
    let again = it.back(MODEL, false).await;
    assert_eq!((figure(&again, "rows gone"), figure(&again, "artifacts put back")), ("0", "0"), "{again:?}");
}

async fn while_others_write(it: &Protected) {
    strike(&*it.fixture.platform, DELETED).await;
    it.fixture.database("CREATE TABLE beside (i int PRIMARY KEY, n int); INSERT INTO beside VALUES (1, 0)").await;
    let client = it.fixture.sql().connect(it.fixture.sql().database()).await.unwrap();
    let writer = tokio::spawn(async move {
        // Rows that the model needs are written too.
        let write = "UPDATE beside SET n = n + 1; INSERT INTO beside SELECT max(i) + 1, 0 FROM beside; \
            UPDATE experiments SET last_update_time = last_update_time";
        loop {
            client.batch_execute(write).await.unwrap();
        }
    });
    it.back(MODEL, false).await;
    assert!(!writer.is_finished());
    writer.abort();
    let written = it.number("SELECT n::bigint FROM beside WHERE i = 1").await;
    assert!(written > 10, "{written}");
    it.fixture.database("DROP TABLE beside").await;
    it.whole().await;
}

async fn one_version(it: &Protected) {
    strike(&*it.fixture.platform, DELETED).await;
    it.back("seed-model-01/3", false).await;
    assert_eq!(it.number(VERSIONS).await, 1);
    let of_others = "SELECT (SELECT count(*) FROM model_version_tags WHERE name = 'seed-model-01' AND version <> 3) \
        + (SELECT count(*) FROM registered_model_aliases WHERE name = 'seed-model-01' AND version <> 3)";
    assert_eq!(it.number(of_others).await, 0, "no tag and no alias of another version");
    it.back("seed-model-01/latest", false).await;
    assert_eq!(it.number(&format!("{VERSIONS} AND version IN (3, 5)")).await, 2);
    it.back(MODEL, false).await;
    it.whole().await;
}

/// What is there and differs is left, unless it was asked for.
async fn changed(it: &Protected) {
    it.fixture
        .database("UPDATE model_versions SET description = 'x' WHERE name = 'seed-model-01' AND version = 2")
        .await;
    it.refused(
        MODEL,
        false,
        "1 rows of `public.model_versions` are there and differ, such as `default/seed-model-01/2`",
    )
    .await;
    it.back(MODEL, true).await;
    it.whole().await;
    it.fixture.put(&format!("{}/MLmodel", it.folder().await), b"other".to_vec()).await;
    it.refused(MODEL, false, "has other bytes").await;
    let replaced = it.back(MODEL, true).await;
    assert_eq!(figure(&replaced, "artifacts put back"), "1");
    it.whole().await;
    // What came later stays.
    it.fixture
        .database(
            "INSERT INTO registered_model_aliases SELECT 'later', version, name, workspace \
            FROM model_versions WHERE name = 'seed-model-01' AND version = 1",
        )
        .await;
    it.back(MODEL, true).await;
    assert_eq!(it.number("SELECT count(*) FROM registered_model_aliases WHERE alias = 'later'").await, 1);
    it.fixture.database("DELETE FROM registered_model_aliases WHERE alias = 'later'").await;
}

/// Runs that were purged, as `mlflow gc` does, with an experiment that has nothing else left.
async fn with_its_runs(it: &Protected) {
    let runs = "SELECT run_id FROM model_versions WHERE name = 'seed-model-01'";
    let tables = ["tags", "params", "metrics", "latest_metrics", "logged_model_metrics"];
    let of_runs = tables.map(|table| {
        let column = if table == "logged_model_metrics" { "run_id" } else { "run_uuid" };
        format!("DELETE FROM {table} WHERE {column} IN ({runs})")
    });
    let count = "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM metrics) + (SELECT count(*) FROM params) \
        + (SELECT count(*) FROM tags) + (SELECT count(*) FROM latest_metrics)";
    let before = it.number(count).await;
    it.fixture
        .database(&format!(
            "UPDATE issues SET source_run_id = NULL WHERE source_run_id IN ({runs}); {}; \
            DELETE FROM runs WHERE run_uuid IN ({runs})",
            of_runs.join("; ")
        ))
        .await;
    strike(&*it.fixture.platform, DELETED).await;
    let back = it.back(MODEL, false).await;
    assert_eq!(figure(&back, "table public.runs"), "5 rows, 5 gone, 0 differ");
    assert_eq!(it.number(count).await, before, "with their metrics, params and tags");
}

async fn conflicts(it: &Protected) {
    let client = it.fixture.sql().connect(it.fixture.sql().database()).await.unwrap();
    let experiments = "experiment_id IN (SELECT experiment_id FROM runs JOIN model_versions ON run_id = run_uuid \
        WHERE model_versions.name = 'seed-model-01')";
    let shift = |by: &str| format!("UPDATE experiments SET creation_time = creation_time {by} WHERE {experiments}");
    client.batch_execute(&shift("+ 1")).await.unwrap();
    it.refused(MODEL, true, "of `public.experiments` is another one by now").await;
    client.batch_execute(&shift("- 1")).await.unwrap();
    it.refused("seed-model-99", false, "the model `seed-model-99`: the point does not have it").await;
    it.refused("seed-model-01/9", false, "its versions there: 1, 2, 3, 4, 5").await;
    client.batch_execute("ALTER TABLE params ADD COLUMN more int").await.unwrap();
    it.refused(MODEL, false, "the table `public.params`: the live database has another shape of it").await;
    client.batch_execute("ALTER TABLE params DROP COLUMN more").await.unwrap();
}

/// Others' rows that the transaction itself changes, and rows that are not written as they were.
async fn triggers(it: &Protected) {
    strike(&*it.fixture.platform, DELETED).await;
    let function = |does: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does}; RETURN NEW; END $$"
        )
    };
    it.fixture.database(&function("UPDATE webhooks SET description = 'changed'")).await;
    it.fixture
        .database("CREATE TRIGGER meddle BEFORE INSERT ON registered_models FOR EACH ROW EXECUTE FUNCTION meddle()")
        .await;
    it.refused(MODEL, false, "the table `public.webhooks`: to put the model's rows back changes others in it").await;
    assert_eq!(it.number("SELECT count(*) FROM webhooks WHERE description = 'changed'").await, 0);
    it.fixture.database(&function("NEW.description := 'changed'")).await;
    it.refused(MODEL, false, "1 of its rows are not as they were written").await;
    it.fixture.database("DROP FUNCTION meddle CASCADE").await;
    it.back(MODEL, false).await;
}

/// Artifacts that the point does not have; a point that has none at all.
async fn lacking(it: &Protected) {
    let (bucket, folder) = (it.fixture.bucket(), it.folder().await);
    for (key, _) in s3::list(bucket.s3(), bucket.bucket(), &folder).await.unwrap() {
        it.fixture.delete(&key).await;
    }
    it.session.backup("hollow").await.unwrap();
    let restore = ModelRestore { model: MODEL.parse().unwrap(), replace: false, dry_run: false, elsewhere: false };
    let hollow = it.plan("hollow").await;
    let finding = it.session.restore_model(&hollow, &restore).await;
    assert!(
        finding.reason.unwrap().contains("the point has no artifact at `mlflow-artifacts:/"),
        "it says what it lacks"
    );
    let rows = RestorePlan { only: Some(Asset::Database), ..hollow };
    assert_eq!(it.session.restore_model(&rows, &restore).await.verdict, Verdict::Met, "the rows alone");
    it.back(MODEL, false).await;
    let platform = Arc::clone(&it.fixture.platform);
    let session = open_engine(DATABASE_ONLY, platform, &it.fixture.folder.path().join("rows"), None).await;
    session.backup("rows").await.unwrap();
    let plan = session.plan(&Goal::Latest(None)).await.unwrap();
    let why = session.restore_model(&plan, &restore).await.reason.unwrap();
    assert!(why.contains("cannot put back the artifacts of the point `rows`: it has none"), "{why}");
}
