//! The catalogue of harms to a restored platform: each is missed, by its own reason.
//!
//! The check knows none of them. It is built so that any harm shows, and these are samples of all sorts.

use super::fixture::Fixture;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use lifeboat::model::Verdict;

/// A harm by statements: its name, what is done, and what the reason must say.
const TO_ROWS: &[(&str, &str, &str)] = &[
    (
        "half of the params gone",
        "DELETE FROM params WHERE hashtext(key || run_uuid) % 2 = 0",
        "rows of `public.params` are gone: `param-",
    ),
    ("every metric changed", "UPDATE metrics SET value = value + 1", "`public.metrics`: others than before are"),
    (
        "one metric changed in its last digits",
        "UPDATE metrics SET value = value + 1e-12 WHERE ctid = '(0,1)'",
        "`public.metrics`: others than before are",
    ),
    (
        "two params exchanged",
        "UPDATE params SET value = CASE key WHEN 'param-01' THEN 'x2' ELSE 'x1' END WHERE key IN ('param-01', 'param-02') \
         AND run_uuid = (SELECT min(run_uuid) FROM runs)",
        "rows of `public.params` are others now: `param-01/",
    ),
    (
        "half of the runs hidden",
        "UPDATE runs SET lifecycle_stage = 'deleted' WHERE hashtext(run_uuid) % 2 = 0",
        "rows of `public.runs` are others now:",
    ),
    (
        "deleted runs are back",
        "UPDATE runs SET lifecycle_stage = 'active' WHERE lifecycle_stage = 'deleted'",
        "rows of `public.runs` are others now:",
    ),
    (
        "an experiment hidden",
        "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'seed-00002'",
        "rows of `public.experiments` are others now: `2` (seed-",
    ),
    (
        "an experiment renamed",
        "UPDATE experiments SET name = 'seed-renamed' WHERE name = 'seed-00002'",
        "rows of `public.experiments` are others now: `2` (seed-",
    ),
    (
        "runs moved to another experiment",
        "UPDATE runs SET experiment_id = 1 WHERE experiment_id = 2",
        "rows of `public.runs` are others now:",
    ),
    (
        "the latest metrics stale",
        "UPDATE latest_metrics SET step = 0",
        "`public.latest_metrics`: others than before are",
    ),
    (
        "a space behind a tag",
        "UPDATE tags SET value = value || ' ' WHERE ctid = '(0,1)'",
        "rows of `public.tags` are others now: `",
    ),
    ("empty texts made null", "UPDATE runs SET source_name = NULL", "rows of `public.runs` are others now:"),
    (
        "model versions gone",
        "DELETE FROM model_version_tags WHERE version = 2; DELETE FROM model_versions WHERE version = 2",
        "rows of `public.model_versions` are gone: `",
    ),
    (
        "the champion alias moved",
        "UPDATE registered_model_aliases SET version = 5 WHERE name = 'seed-model-03' AND alias = 'champion'",
        "rows of `public.registered_model_aliases` are others now: `",
    ),
    (
        "an alias gone",
        "DELETE FROM registered_model_aliases WHERE name = 'seed-model-03' AND alias = 'champion'",
        "rows of `public.registered_model_aliases` are gone: `",
    ),
    (
        "a version out of production",
        "UPDATE model_versions SET current_stage = 'None' WHERE name = 'seed-model-03' AND version = 4",
        "rows of `public.model_versions` are others now: `",
    ),
    (
        "a version that points at another's files",
        "UPDATE model_versions SET storage_location = (SELECT storage_location FROM model_versions \
            WHERE name = 'seed-model-04' AND version = 4) WHERE name = 'seed-model-03' AND version = 4",
        "rows of `public.model_versions` are others now: `",
    ),
    ("tags of versions gone", "DELETE FROM model_version_tags", "rows of `public.model_version_tags` are gone:"),
    (
        "a ghost run",
        "INSERT INTO runs SELECT md5('ghost'), 'ghost', source_type, source_name, entry_point_name, user_id, status, start_time, \
            end_time, source_version, lifecycle_stage, artifact_uri, experiment_id FROM runs LIMIT 1",
        "rows of `public.runs` were not there: `",
    ),
    (
        "a ghost experiment that calls itself ours",
        "INSERT INTO experiments (name, lifecycle_stage) VALUES ('lifeboat-01OTHER', 'active')",
        "rows of `public.experiments` were not there: `",
    ),
    (
        "a ghost experiment with the run's name in its own",
        "INSERT INTO experiments (name, lifecycle_stage) VALUES ('lifeboat-ghost-01RUN', 'active')",
        "rows of `public.experiments` were not there: `",
    ),
    (
        "a ghost among the metrics",
        "INSERT INTO metrics SELECT key, value, timestamp, run_uuid, 99, is_nan FROM metrics LIMIT 1",
        "`public.metrics`: not there before were a row of the experiment `seed-",
    ),
    (
        "traces without their spans",
        "DELETE FROM spans WHERE parent_span_id IS NOT NULL",
        "rows of `public.spans` are gone",
    ),
    (
        "datasets of other runs",
        "UPDATE inputs SET source_id = md5(source_id) WHERE source_type = 'DATASET'",
        "rows of `public.inputs` are gone: `DATASET/",
    ),
    ("logged models gone", "DELETE FROM logged_models", "rows of `public.logged_models` are gone"),
    ("a table nobody asks for emptied", "TRUNCATE webhooks CASCADE", "rows of `public.webhooks` are gone: `wh-seed`"),
    (
        "another revision of MLflow's schema",
        "UPDATE alembic_version SET version_num = '0a1b2c3d4e5f'",
        "rows of `public.alembic_version` were not there: `0a1b2c3d4e5f`",
    ),
];

const TO_THE_SCHEMA: &[(&str, &str, &str)] = &[
    (
        "all foreign keys dropped",
        "DO $$ DECLARE k record; BEGIN FOR k IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE contype = 'f' \
         LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', k.t, k.conname); END LOOP; END $$",
        ": the foreign key ",
    ),
    (
        "all indexes dropped",
        "DO $$ DECLARE i record; BEGIN FOR i IN SELECT indexrelid::regclass AS n FROM pg_index WHERE NOT indisunique \
         AND indrelid::regclass::text !~ '^pg_' LOOP EXECUTE format('DROP INDEX %s', i.n); END LOOP; END $$",
        ": the index ",
    ),
    ("a primary key dropped", "ALTER TABLE metrics DROP CONSTRAINT metric_pk", "the primary key metric_pk is gone"),
    (
        "rows twice, without their key",
        "ALTER TABLE tags DROP CONSTRAINT tag_pk; INSERT INTO tags SELECT * FROM tags",
        "the primary key tag_pk is gone",
    ),
    (
        "an index that is not valid",
        "SET allow_system_table_mods = on; UPDATE pg_index SET indisvalid = false \
         WHERE indexrelid = 'index_params_run_uuid'::regclass",
        "not valid",
    ),
    (
        "a foreign key that was never checked",
        "ALTER TABLE tags DROP CONSTRAINT tags_run_uuid_fkey; \
         ALTER TABLE tags ADD CONSTRAINT tags_run_uuid_fkey FOREIGN KEY (run_uuid) REFERENCES runs NOT VALID",
        "the foreign key tags_run_uuid_fkey is",
    ),
    ("a foreign key that does not work", "ALTER TABLE tags DISABLE TRIGGER ALL", "triggers of its keys are off"),
    (
        "a check dropped",
        "ALTER TABLE runs DROP CONSTRAINT runs_status_check",
        "the constraint runs_status_check is gone",
    ),
    ("a column that may be null", "ALTER TABLE latest_metrics ALTER value DROP NOT NULL", "the column value is"),
    ("a default dropped", "ALTER TABLE experiments ALTER workspace DROP DEFAULT", "the column workspace is"),
    ("another type", "ALTER TABLE params ALTER value TYPE text", "the column value is"),
    ("a column dropped", "ALTER TABLE registered_models DROP description", "the column description is gone"),
    ("a column added", "ALTER TABLE runs ADD ghost int", "the column ghost was not there"),
    ("a table dropped", "DROP TABLE webhooks CASCADE", "the table `public.webhooks` is gone"),
    ("a table added", "CREATE TABLE runs_old (x int)", "the table `public.runs_old` was not there"),
    (
        "a sequence that gives what is there",
        "SELECT setval('experiments_experiment_id_seq', 1)",
        "the sequence `public.experiments_experiment_id_seq` gives 2 next",
    ),
    ("a table of another owner", "ALTER TABLE runs OWNER TO stranger", "table `public.runs`: the owner is `stranger`"),
    ("secrets that all may read", "GRANT SELECT ON secrets TO PUBLIC", "table `public.secrets`: the rights is"),
    ("a database of another owner", "ALTER DATABASE mlflow OWNER TO stranger", "database: the owner and encoding is"),
    (
        "writes that are thrown away",
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER nothing BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION nothing()",
        "the trigger nothing was not there",
    ),
    ("rows that are hidden from users", "ALTER TABLE runs ENABLE ROW LEVEL SECURITY", "row security"),
    ("a table that a crash empties", "ALTER TABLE alembic_version SET UNLOGGED", "persistence u"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_harm_to_a_restored_platform_is_missed_by_its_own_reason() {
    let fixture = Fixture::new("test-harms").await;
    let before = fixture.verify().await;
    assert_eq!(before.verdict, Verdict::Met, "{before:?}");
    let mut wrong = vec![];
    for (name, harm, says) in TO_ROWS.iter().chain(TO_THE_SCHEMA) {
        fixture.database(harm).await;
        wrong.extend(judge(&fixture, name, says).await);
        fixture.undo_database().await;
    }
    wrong.extend(harm_objects(&fixture).await);
    let after = fixture.verify().await;
    assert_eq!(after.verdict, Verdict::Met, "all is as it was: {after:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    what_cannot_be_read_is_unknown_and_what_was_read_still_counts(&fixture).await;
    println!("{} harms", TO_ROWS.len() + TO_THE_SCHEMA.len() + OBJECTS);
    fixture.end().await;
}

async fn what_cannot_be_read_is_unknown_and_what_was_read_still_counts(fixture: &Fixture) {
    fixture.server("DROP DATABASE mlflow WITH (FORCE)").await;
    assert_eq!(fixture.verify().await.verdict, Verdict::Unknown);
    fixture.undo_database().await;
    fixture.platform.components().unwrap().kill("s3").await.unwrap();
    assert_eq!(fixture.verify().await.verdict, Verdict::Unknown);
    fixture.database("DELETE FROM params").await;
    assert_eq!(fixture.verify().await.verdict, Verdict::Missed);
}

/// Says the line of a harm; answers what is wrong with the verdict.
async fn judge(fixture: &Fixture, name: &str, says: &str) -> Option<String> {
    let finding = fixture.verify().await;
    fixture.say(name, &finding);
    // The figures have all differences; a harm may have several.
    let said = finding.figures.iter().any(|(figure, text)| figure == "difference" && text.contains(says));
    (finding.verdict != Verdict::Missed || !said).then(|| format!("{name}: {finding:?}"))
}

/// How many harms are done to objects.
const OBJECTS: usize = 8;

async fn harm_objects(fixture: &Fixture) -> Vec<String> {
    let models = fixture.keys("/model.skops");
    let [one, other] = [&models[0], &models[1]];
    let mut wrong = vec![];
    for harm in 0..OBJECTS {
        let (name, says) = match harm {
            0 => {
                fixture.delete(one).await;
                ("an object gone", format!("objects are gone: `{one}`"))
            }
            1 => {
                let mut bytes = fixture.bytes(one);
                bytes[200] ^= 1;
                fixture.put(one, bytes).await;
                ("a bit of an object flipped", format!("objects have other bytes: `{one}`"))
            }
            2 => {
                fixture.put(one, fixture.bytes(other)).await;
                fixture.put(other, fixture.bytes(one)).await;
                ("two models exchanged", format!("objects have other bytes: `{one}`, `{other}`"))
            }
            3 => {
                let bytes = fixture.bytes(one);
                fixture.put(one, bytes[..bytes.len() / 2].to_vec()).await;
                ("an object cut off", format!("objects have other bytes: `{one}`"))
            }
            4 => {
                fixture.put(one, vec![]).await;
                ("an object emptied", format!("objects have other bytes: `{one}`"))
            }
            5 => {
                fixture.put(&format!("{one}.encrypted"), b"pay".to_vec()).await;
                ("a ghost among the objects", format!("objects were not there: `{one}.encrypted`"))
            }
            6 => {
                for key in &models {
                    fixture.delete(key).await;
                }
                ("all models gone", "objects are gone: ".to_owned())
            }
            _ => {
                versions(fixture, BucketVersioningStatus::Suspended).await;
                ("no versions kept any more", "the bucket keeps no versions any more".to_owned())
            }
        };
        wrong.extend(judge(fixture, name, &says).await);
        versions(fixture, BucketVersioningStatus::Enabled).await;
        fixture.undo_objects().await;
    }
    wrong
}

async fn versions(fixture: &Fixture, status: BucketVersioningStatus) {
    let bucket = fixture.bucket();
    let versions = VersioningConfiguration::builder().status(status).build();
    let request = bucket.s3().put_bucket_versioning().bucket(bucket.bucket()).versioning_configuration(versions);
    request.send().await.unwrap();
}
