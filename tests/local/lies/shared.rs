//! A platform in use: what its users add is no difference, what they may have changed is unknown, what is gone is missed.
//! What they had changed by the recovery point that was restored is told from a loss.

use super::fixture::{DATABASE_ONLY, Fixture, RUN, open_engine};
use async_trait::async_trait;
use lifeboat::check::Check;
use lifeboat::client::Error;
use lifeboat::engine::{Goal, Readings, Session, SnapshotReader};
use lifeboat::environment::{Endpoints, Objects, Platform, Sql};
use lifeboat::model::{Finding, Planted, Verdict};
use std::sync::Arc;

/// The platform of the fixture, as if it stood already and others used it too.
struct Standing(Arc<dyn Platform>);

#[async_trait]
impl Platform for Standing {
    fn endpoints(&self) -> &Endpoints {
        self.0.endpoints()
    }
    fn standing(&self) -> bool {
        true
    }
    fn sql(&self) -> Result<&dyn Sql, Error> {
        self.0.sql()
    }
    fn objects(&self) -> Result<&dyn Objects, Error> {
        self.0.objects()
    }
    async fn remove(&self) -> Vec<String> {
        vec![]
    }
}

/// What users do all day: runs begin, log and end, models get versions, agents leave traces, running runs go on.
const USE: &str = "
    INSERT INTO runs SELECT md5('new' || n), 'new', source_type, source_name, entry_point_name, user_id, 'FINISHED', now_ms, now_ms + 1,
        source_version, 'active', artifact_uri, experiment_id FROM runs, generate_series(1, 3) n,
        (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms) clock WHERE name = 'seed-1-1';
    INSERT INTO params SELECT 'p', n::text, md5('new' || n) FROM generate_series(1, 3) n;
    INSERT INTO metrics SELECT 'm', n, 1, md5('new' || n), 0, false FROM generate_series(1, 3) n;
    INSERT INTO metrics SELECT 'late', 1, 1, run_uuid, 0, false FROM runs WHERE status = 'RUNNING';
    INSERT INTO model_versions (name, version, creation_time, current_stage, source, status) VALUES
        ('seed-model-01', 6, 1, 'None', '', 'READY');
    INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('tr-new', 1, 1, 'OK');
    UPDATE experiments SET last_update_time = last_update_time + 1 WHERE experiment_id = 1";

/// What may be a user's work or a loss, and what is a loss; with what the reason says.
const CHANGES: &[(&str, Verdict, &str)] = &[
    (USE, Verdict::Met, ""),
    (
        "UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'seed-1-2'",
        Verdict::Unknown,
        "rows of `public.runs` are others now:",
    ),
    (
        "UPDATE params SET value = 'x' WHERE ctid = '(0,1)'",
        Verdict::Unknown,
        "rows of `public.params` are others now: `param-",
    ),
    (
        "UPDATE registered_model_aliases SET version = 5 WHERE name = 'seed-model-03' AND alias = 'champion'",
        Verdict::Unknown,
        "rows of `public.registered_model_aliases` are others now:",
    ),
    (
        "DELETE FROM metrics USING runs WHERE runs.run_uuid = metrics.run_uuid AND runs.name = 'seed-1-2'",
        Verdict::Missed,
        "`public.metrics`: gone are 23 rows of the experiment `seed-00001` (23 of ",
    ),
    (
        "DELETE FROM model_version_tags WHERE version = 2",
        Verdict::Missed,
        "rows of `public.model_version_tags` are gone:",
    ),
    ("DROP INDEX index_params_run_uuid", Verdict::Missed, "the index index_params_run_uuid is gone"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_in_use_is_judged_by_what_must_stay() {
    let fixture = Fixture::new("test-shared").await;
    let platform = Standing(Arc::clone(&fixture.platform));
    let check = fixture.check();
    let planted = check.plant(&platform, RUN).await.unwrap();
    for (change, verdict, says) in CHANGES {
        fixture.database(change).await;
        let finding = check.verify(&platform, &planted, None).await;
        fixture.say(change.trim().lines().next().unwrap(), &finding);
        assert_eq!(finding.verdict, *verdict, "{change}: {finding:?}");
        assert!(finding.reason.as_deref().unwrap_or_default().contains(says), "{change}: {finding:?}");
        fixture.undo_database().await;
    }
    let key = &fixture.keys("/model.skops")[0];
    fixture.put(&format!("{key}.new"), b"of a user".to_vec()).await;
    assert_eq!(check.verify(&platform, &planted, None).await.verdict, Verdict::Met);
    fixture.put(key, b"of a user too".to_vec()).await;
    assert_eq!(check.verify(&platform, &planted, None).await.verdict, Verdict::Unknown);
    fixture.delete(key).await;
    assert_eq!(check.verify(&platform, &planted, None).await.verdict, Verdict::Missed);
    fixture.end().await;
}

/// What users change and delete by the time of the backup: in ended runs, in the registry, and whole runs.
const BY_THE_BACKUP: &str = "
    UPDATE params SET value = 'by a user' WHERE key = 'param-01';
    UPDATE metrics SET value = value + 1 FROM runs WHERE runs.run_uuid = metrics.run_uuid AND runs.name = 'seed-1-2';
    UPDATE registered_model_aliases SET version = 5 WHERE name = 'seed-model-03' AND alias = 'champion';
    DELETE FROM registered_model_aliases WHERE name = 'seed-model-04';
    DELETE FROM model_version_tags WHERE version = 2;
    DELETE FROM metrics USING runs WHERE runs.run_uuid = metrics.run_uuid AND runs.name = 'seed-1-3';
    INSERT INTO model_version_tags (key, value, name, version) VALUES ('new', 'x', 'seed-model-03', 1)";

/// What becomes of it after the restore: nothing, a loss, or what may be a user's work.
const AFTER_THE_RESTORE: &[(&str, Verdict, &str)] = &[
    ("SELECT 1", Verdict::Met, ""),
    (USE, Verdict::Met, ""),
    ("DELETE FROM params WHERE key = 'param-02'", Verdict::Missed, "rows of `public.params` are gone: `param-02/"),
    (
        "DELETE FROM model_version_tags WHERE key = 'new'",
        Verdict::Missed,
        "rows of `public.model_version_tags` are gone: `default/new/",
    ),
    (
        "DELETE FROM metrics USING runs WHERE runs.run_uuid = metrics.run_uuid AND runs.name = 'seed-1-2'",
        Verdict::Missed,
        "`public.metrics`: gone are 23 rows of the experiment `seed-00001`",
    ),
    (
        "UPDATE params SET value = 'later' WHERE key = 'param-01'",
        Verdict::Unknown,
        "rows of `public.params` are others now: `param-01/",
    ),
    (
        "UPDATE metrics SET value = 7 FROM runs WHERE runs.run_uuid = metrics.run_uuid AND runs.name = 'seed-1-2'",
        Verdict::Unknown,
        "`public.metrics`: others than in the recovery point are",
    ),
    (
        "INSERT INTO model_version_tags SELECT * FROM saved_tags WHERE version = 2",
        Verdict::Unknown,
        "rows of `public.model_version_tags` are back that had been deleted: `",
    ),
];

/// Asks the check in the snapshot of a backup, as a run does.
struct Digests {
    check: Arc<dyn Check>,
    platform: Standing,
    planted: Planted,
}

#[async_trait]
impl SnapshotReader for Digests {
    async fn read(&self, snapshot: &str) -> Readings {
        // Users go on while the backup is taken: what they do now is not in it.
        let sql = self.platform.sql().unwrap();
        let user = sql.connect(sql.database()).await.unwrap();
        user.batch_execute("UPDATE params SET value = 'meanwhile' WHERE key = 'param-03'").await.unwrap();
        let found = self.check.at_point(&self.platform, &self.planted, snapshot).await.unwrap();
        [("contents".to_owned(), found.unwrap())].into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_changed_by_the_backup_that_is_restored_is_told_from_a_loss() {
    let fixture = Fixture::new("test-standing").await;
    let platform = || Standing(Arc::clone(&fixture.platform));
    // The rows of before, so that one can come back.
    fixture.database("CREATE TABLE saved_tags AS SELECT * FROM model_version_tags").await;
    let check = fixture.check();
    let planted = check.plant(&platform(), RUN).await.unwrap();
    fixture.database(BY_THE_BACKUP).await;
    let digests = Digests { check: fixture.check(), platform: platform(), planted: planted.clone() };
    let reader = Arc::new(digests) as Arc<dyn SnapshotReader>;
    let session = open_engine(DATABASE_ONLY, Arc::new(platform()), fixture.folder.path(), Some(reader)).await;
    session.backup("0001").await.unwrap();
    let readings = session.readings("0001").await;
    let at_point = readings.get("contents").unwrap();
    println!("kept of the point: {} bytes", serde_json::to_vec(at_point).unwrap().len());
    for (change, verdict, says) in AFTER_THE_RESTORE {
        let finding = restored_then(&fixture, &*session, change, (&*check, &planted, Some(at_point))).await;
        assert_eq!(finding.verdict, *verdict, "{change}: {finding:?}");
        assert!(finding.reason.as_deref().unwrap_or_default().contains(says), "{change}: {finding:?}");
    }
    let without = restored_then(&fixture, &*session, "SELECT 1", (&*check, &planted, None)).await;
    assert_eq!(without.verdict, Verdict::Missed, "of a point without digests the same is a loss: {without:?}");
    // The state of before the backup, under the name of this point.
    fixture.undo_database().await;
    let older = check.verify(&platform(), &planted, Some(at_point)).await;
    fixture.say("an older state", &older);
    let said = |says: &str| older.figures.iter().any(|(name, text)| name == "difference" && text.contains(says));
    assert!(said("rows of `public.model_version_tags` are gone: `default/new/"), "{older:?}");
    assert!(said("rows of `public.params` are others now: `param-01/"), "{older:?}");
    fixture.end().await;
}

async fn restored_then(
    fixture: &Fixture,
    session: &dyn Session,
    change: &str,
    (check, planted, at_point): (&dyn Check, &Planted, Option<&Planted>),
) -> Finding {
    let platform = Standing(Arc::clone(&fixture.platform));
    fixture.database("DELETE FROM params; UPDATE metrics SET value = 0").await;
    let restored = session.restore(&session.plan(&Goal::Latest(None)).await.unwrap()).await;
    assert_eq!(restored.verdict, Verdict::Met, "{restored:?}");
    fixture.database(change).await;
    let finding = check.verify(&platform, planted, at_point).await;
    fixture.say(change.trim().lines().next().unwrap(), &finding);
    finding
}
