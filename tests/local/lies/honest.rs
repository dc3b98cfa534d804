//! Honest restores: none may raise an alarm, in whatever way it was done and whatever it leaves otherwise.

use super::fixture::{DATABASE_ONLY, Fixture, RUN, open_engine};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use lifeboat::client::versions;
use lifeboat::engine::Goal;
use lifeboat::model::{Finding, Verdict};
use std::sync::Arc;

/// A way to dump and to load again: its name, the arguments of `pg_dump`, and those of `pg_restore`, or nothing for `psql`.
type Dump = (&'static str, &'static [&'static str], Option<&'static [&'static str]>);

const DUMPS: &[Dump] = &[
    ("plain text through psql", &[], None),
    ("plain text, dropped object by object first", &["--clean", "--if-exists"], None),
    ("one INSERT for each row", &["--inserts"], None),
    ("INSERTs with columns, many rows each", &["--column-inserts", "--rows-per-insert=100"], None),
    ("without dollar quotes, all names quoted", &["--disable-dollar-quoting", "--quote-all-identifiers"], None),
    ("the custom format", &["-Fc"], Some(&[])),
    ("the custom format, without owners", &["-Fc", "--no-owner"], Some(&["--no-owner", "--role=mlflow"])),
    ("the custom format in one transaction", &["-Fc"], Some(&["--single-transaction"])),
    ("the tar format", &["-Ft"], Some(&[])),
];

/// What an administrator or a server may do that changes no content.
const CARE: &[(&str, &str)] = &[
    ("VACUUM FULL", "VACUUM FULL"),
    ("REINDEX", "REINDEX DATABASE mlflow"),
    (
        "every row written anew",
        "UPDATE metrics SET value = value; UPDATE params SET value = value; UPDATE runs SET name = name",
    ),
    ("sequences ahead", "SELECT setval('experiments_experiment_id_seq', 5000)"),
    (
        "other settings of the administrator",
        "ALTER ROLE mlflow SET datestyle = 'German'; ALTER ROLE mlflow SET timezone = 'Asia/Tokyo'; \
         ALTER ROLE mlflow SET extra_float_digits = -5; ALTER ROLE mlflow SET bytea_output = 'escape'; \
         ALTER ROLE mlflow SET search_path = 'nowhere'",
    ),
    ("statistics thrown away", "SET allow_system_table_mods = on; DELETE FROM pg_statistic"),
];

#[tokio::test(flavor = "multi_thread")]
async fn honest_restores_raise_no_alarm() {
    let fixture = Fixture::new("test-honest").await;
    let mut findings = vec![];
    let told = |name: String, finding: Finding| {
        fixture.say(&name, &finding);
        (name, finding)
    };
    for number in 1..=3 {
        let restored = restored_by_the_engine(&fixture, number).await;
        assert_eq!(restored.verdict, Verdict::Met, "{restored:?}");
        findings.push(told(
            format!("by the builtin engine, of what it restored {} times", number - 1),
            fixture.verify().await,
        ));
    }
    for (name, dump, load) in DUMPS {
        dumped(&fixture, dump, *load).await;
        findings.push(told((*name).to_owned(), fixture.verify().await));
        fixture.undo_database().await;
    }
    for (name, care) in CARE {
        fixture.database(care).await;
        findings.push(told((*name).to_owned(), fixture.verify().await));
        fixture.database("ALTER ROLE mlflow RESET ALL").await;
        fixture.undo_database().await;
    }
    for (name, finding) in objects(&fixture).await {
        findings.push(told(name, finding));
    }
    drills_own(&fixture).await;
    findings.push(told("what the drill itself wrote".to_owned(), fixture.verify().await));
    findings.extend(expressions(&fixture).await);
    println!("{} honest restores", findings.len());
    let alarms: Vec<_> = findings.iter().filter(|(_, finding)| finding.verdict != Verdict::Met).collect();
    assert!(alarms.is_empty() && findings.len() >= 20, "{alarms:#?}");
    fixture.end().await;
}

/// Expressions of all sorts, some of which the server writes otherwise once it has read them again.
const EXPRESSIONS: &str = "
    CREATE DOMAIN odd_kind AS varchar(9) CHECK (VALUE IN ('one', 'two'));
    CREATE TABLE odd (a int, b int, c varchar(10), d numeric(9, 2), e text, f varchar(5)[], k odd_kind,
        l text[] DEFAULT (ARRAY['a', 'b']::varchar[])::text[],
        CONSTRAINT listed CHECK (c IN ('one', 'it''s, (two', 'thr]ee') AND e <> ALL (ARRAY['x', 'y'])),
        CONSTRAINT number CHECK (d IN (1, 2, 3) OR d BETWEEN a AND b OR a = ANY ('{1,2}'::int[])),
        CONSTRAINT arrays CHECK (f && ARRAY['a', 'b']::varchar[] OR f::text[] = (ARRAY[c, 'z'])::text[] OR c::text = ANY (f)),
        CONSTRAINT either CHECK ((a > 0 OR b > 0) AND d > 0));
    CREATE INDEX odd_part ON odd (lower(c), (a + b)) WHERE c IN ('one', 'two') AND (a > 1 OR (b > 1 AND e IS NULL));
    CREATE VIEW odd_view AS SELECT o.a, CASE WHEN o.c IN ('one', 'two') THEN 'x' ELSE o.e END AS kind FROM odd o
        LEFT JOIN runs r ON r.name = o.e AND (r.status IN ('FAILED', 'KILLED') OR r.start_time > 7)
        WHERE o.a IN (SELECT b FROM odd) AND NOT (o.a = 1 OR o.b = 2);
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER odd_trigger BEFORE UPDATE ON odd FOR EACH ROW
        WHEN (NEW.c IN ('one', 'two') OR OLD.d IN (1, 2)) EXECUTE FUNCTION nothing();
    CREATE RULE odd_rule AS ON DELETE TO odd WHERE OLD.c IN ('one', 'two') DO ALSO DELETE FROM runs WHERE name = OLD.e;
    CREATE POLICY odd_policy ON odd USING (c IN ('one', 'two') AND (a = 1 OR b = 2))";

/// They raise no alarm in any way to dump; one whose brackets stand elsewhere does.
async fn expressions(fixture: &Fixture) -> Vec<(String, Finding)> {
    fixture.undo_database().await;
    fixture.database(EXPRESSIONS).await;
    let (planted, check, mut findings) = (fixture.plant().await, fixture.check(), vec![]);
    for (name, dump, load) in [DUMPS[0], DUMPS[5]] {
        dumped(fixture, dump, load).await;
        let finding = check.verify(&*fixture.platform, &planted, None).await;
        fixture.say(name, &finding);
        findings.push((format!("expressions, {name}"), finding));
    }
    let harm = "ALTER TABLE odd DROP CONSTRAINT either, ADD CONSTRAINT either CHECK (a > 0 OR (b > 0 AND d > 0))";
    fixture.database(harm).await;
    let harmed = check.verify(&*fixture.platform, &planted, None).await;
    let why = harmed.reason.clone().unwrap_or_default();
    assert!(harmed.verdict == Verdict::Missed && why.contains("the constraint either is"), "{harmed:?}");
    findings
}

async fn restored_by_the_engine(fixture: &Fixture, number: u32) -> Finding {
    let session = open_engine(DATABASE_ONLY, Arc::clone(&fixture.platform), fixture.folder.path(), None).await;
    session.backup(&format!("{number:04}")).await.unwrap();
    fixture.database("DELETE FROM params; DELETE FROM latest_metrics").await;
    session.restore(&session.plan(&Goal::Latest(None)).await.unwrap()).await
}

/// Dumps the database, drops it, and loads it into an empty one.
async fn dumped(fixture: &Fixture, dump: &[&str], load: Option<&[&str]>) {
    let dump: Vec<_> = dump.iter().copied().chain(["-d", "mlflow"]).collect();
    let bytes = fixture.tool("pg_dump", &dump, vec![]).await;
    fixture.server("DROP DATABASE mlflow WITH (FORCE)").await;
    fixture.server("CREATE DATABASE mlflow TEMPLATE template0").await;
    match load {
        Some(more) => {
            let load: Vec<_> = more.iter().copied().chain(["--exit-on-error", "-d", "mlflow"]).collect();
            fixture.tool("pg_restore", &load, bytes).await;
        }
        None => drop(fixture.tool("psql", &["-qX", "-v", "ON_ERROR_STOP=1", "-d", "mlflow"], bytes).await),
    }
}

/// Objects that have the bytes of before under another version, another time and another word of the server.
async fn objects(fixture: &Fixture) -> Vec<(String, Finding)> {
    let keys = fixture.keys("/model.skops");
    for key in &keys {
        fixture.put(key, fixture.bytes(key)).await;
    }
    let mut findings = vec![("objects put again".to_owned(), fixture.verify().await)];
    multipart(fixture, &keys[0], fixture.bytes(&keys[0])).await;
    findings.push(("an object put again in parts".to_owned(), fixture.verify().await));
    let bucket = fixture.bucket();
    for key in &keys[..5] {
        fixture.delete(key).await;
    }
    let all = versions::list(bucket.s3(), bucket.bucket(), "").await.unwrap();
    let markers: Vec<_> = all.into_iter().filter(|it| it.marker).map(|it| (it.key, Some(it.id))).collect();
    assert_eq!(markers.len(), 5);
    assert_eq!(versions::delete(bucket.s3(), bucket.bucket(), &markers).await.unwrap(), []);
    findings.push(("objects deleted and undeleted".to_owned(), fixture.verify().await));
    let all = versions::list(bucket.s3(), bucket.bucket(), "").await.unwrap();
    let old: Vec<_> = all.into_iter().filter(|it| !it.latest).map(|it| (it.key, Some(it.id))).collect();
    assert_eq!(versions::delete(bucket.s3(), bucket.bucket(), &old).await.unwrap(), []);
    findings.push(("old versions pruned".to_owned(), fixture.verify().await));
    findings
}

async fn multipart(fixture: &Fixture, key: &str, bytes: Vec<u8>) {
    let (s3, bucket) = (fixture.bucket().s3(), fixture.bucket().bucket());
    let upload = s3.create_multipart_upload().bucket(bucket).key(key).send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let part = s3.upload_part().bucket(bucket).key(key).upload_id(id).part_number(1).body(ByteStream::from(bytes));
    let part = part.send().await.unwrap();
    let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let done = s3.complete_multipart_upload().bucket(bucket).key(key).upload_id(id).multipart_upload(parts);
    done.send().await.unwrap();
}

/// What a drill of this run leaves: an experiment with a run, all that belongs to it, and its objects; and of a mark's
/// experiment that a restore took the object alone.
async fn drills_own(fixture: &Fixture) {
    let rows = format!(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) VALUES \
         (6001, 'lifeboat-{RUN}', 'mlflow-artifacts:/6001', 'active'), (6002, 'lifeboat-smoke-{RUN}', \
         'mlflow-artifacts:/6002', 'deleted'), (6003, 'lifeboat-probe-{RUN}', 'mlflow-artifacts:/6003', 'active'); \
         INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage, experiment_id) \
         SELECT md5('own' || n), 'own', 'RUNNING', n, 'active', n FROM generate_series(6001, 6003) n; \
         INSERT INTO metrics SELECT 'm', 1, 1, md5('own' || n), 0, false FROM generate_series(6001, 6003) n; \
         INSERT INTO tags SELECT 'k', 'v', md5('own' || n) FROM generate_series(6001, 6003) n; \
         SELECT setval('experiments_experiment_id_seq', 6003)"
    );
    fixture.database(&rows).await;
    let prefix = fixture.bucket().prefix();
    fixture.put(&format!("{prefix}/6001/x/artifacts/mark.bin"), b"mark".to_vec()).await;
    fixture.put(&format!("{prefix}/6009/x/artifacts/mark.bin"), b"of an experiment that is gone".to_vec()).await;
}
