//! A platform in use: what its users add is no difference, what they may have changed is unknown, what is gone is missed.

use super::fixture::{Fixture, RUN};
use async_trait::async_trait;
use lifeboat::client::Error;
use lifeboat::environment::{Endpoints, Objects, Platform, Sql};
use lifeboat::model::Verdict;
use std::sync::Arc;

/// The platform of the fixture, as if others used it too.
struct Shared(Arc<dyn Platform>);

#[async_trait]
impl Platform for Shared {
    fn endpoints(&self) -> &Endpoints {
        self.0.endpoints()
    }
    fn shared(&self) -> bool {
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
    let platform = Shared(Arc::clone(&fixture.platform));
    let check = fixture.check();
    let planted = check.plant(&platform, RUN).await.unwrap();
    for (change, verdict, says) in CHANGES {
        fixture.database(change).await;
        let finding = check.verify(&platform, &planted).await;
        fixture.say(change.trim().lines().next().unwrap(), &finding);
        assert_eq!(finding.verdict, *verdict, "{change}: {finding:?}");
        assert!(finding.reason.as_deref().unwrap_or_default().contains(says), "{change}: {finding:?}");
        fixture.undo_database().await;
    }
    let key = &fixture.keys("/model.skops")[0];
    fixture.put(&format!("{key}.new"), b"of a user".to_vec()).await;
    assert_eq!(check.verify(&platform, &planted).await.verdict, Verdict::Met);
    fixture.put(key, b"of a user too".to_vec()).await;
    assert_eq!(check.verify(&platform, &planted).await.verdict, Verdict::Unknown);
    fixture.delete(key).await;
    assert_eq!(check.verify(&platform, &planted).await.verdict, Verdict::Missed);
    fixture.end().await;
}
