-- What every platform has: experiments with their runs, and the registry. As of MLflow 3.17, schema `dc11669786a5`.
-- `{…}` are the numbers of the size. Ids are digests of texts, so that the same scale gives the same ids.
CREATE TEMPORARY TABLE seed_runs ON COMMIT DROP AS
    SELECT (SELECT coalesce(max(experiment_id), 0) FROM experiments) + e AS experiment, e, r,
        (e - 1) * {runs} + r AS n, md5('lifeboat seed run ' || e || '/' || r) AS id,
        (extract(epoch FROM now()) * 1000)::bigint - 2592000000 + ((e - 1) * {runs} + r) * 1000 AS started
    FROM generate_series(1, {experiments}) e, generate_series(1, {runs}) r;
CREATE TEMPORARY TABLE seed_versions ON COMMIT DROP AS
    SELECT 'seed-model-' || lpad(m::text, 2, '0') AS name, v AS version, id, started,
        'mlflow-artifacts:/' || experiment || '/' || id || '/artifacts/model' AS location
    FROM generate_series(1, {models}) m, generate_series(1, {versions}) v, seed_runs
    WHERE n = ((m - 1) * {versions} + v - 1) * {stride} + 1;
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time,
        workspace)
    SELECT experiment, 'seed-' || lpad(e::text, 5, '0'), 'mlflow-artifacts:/' || experiment,
        CASE WHEN e = {experiments} AND e > 2 THEN 'deleted' ELSE 'active' END, started, started, 'default'
    FROM seed_runs WHERE r = 1;
INSERT INTO experiment_tags (key, value, experiment_id)
    SELECT key, value, experiment FROM seed_runs, LATERAL (VALUES ('team', 'team-' || e % 7),
        ('mlflow.note.content', 'Experiment ' || e || ' of the seed.')) t (key, value)
    WHERE r = 1;
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time,
        source_version, lifecycle_stage, artifact_uri, experiment_id, deleted_time)
    SELECT id, 'seed-' || e || '-' || r, 'UNKNOWN', '', '', 'seed',
        CASE r % 40 WHEN 13 THEN 'FAILED' WHEN 26 THEN 'KILLED' WHEN 39 THEN 'RUNNING' ELSE 'FINISHED' END, started,
        CASE WHEN r % 40 <> 39 THEN started + 60000 END, '', CASE WHEN gone THEN 'deleted' ELSE 'active' END,
        'mlflow-artifacts:/' || experiment || '/' || id || '/artifacts', experiment,
        CASE WHEN gone THEN started + 120000 END
    FROM (SELECT *, e = {experiments} AND e > 2 OR r % 20 = 7 AND id NOT IN (SELECT id FROM seed_versions) AS gone
        FROM seed_runs) all_runs;
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
    SELECT 'metric-' || lpad(m::text, 2, '0'), (hashtext(id || m)::bigint + 2147483648)::float8 / 4294967296, started, id,
        0, false
    FROM seed_runs, generate_series(1, 20) m;
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
    SELECT 'metric-01', r + step / 10.0, started + step * 1000, id, step, false FROM seed_runs, generate_series(1, 3) step;
UPDATE metrics SET value = 0, is_nan = true FROM seed_runs WHERE id = run_uuid AND key = 'metric-20' AND r % 20 = 5;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT DISTINCT ON (run_uuid, key) key, value, timestamp, step, is_nan, run_uuid
    FROM metrics JOIN seed_runs ON id = run_uuid ORDER BY run_uuid, key, step DESC;
INSERT INTO params (key, value, run_uuid)
    SELECT 'param-' || lpad(p::text, 2, '0'), left(md5(id || p), 12), id FROM seed_runs, generate_series(1, 10) p;
INSERT INTO tags (key, value, run_uuid)
    SELECT key, value, id FROM seed_runs, LATERAL (VALUES ('mlflow.runName', 'seed-' || e || '-' || r),
        ('mlflow.user', 'seed'), ('mlflow.source.type', 'LOCAL'), ('split', 'fold-' || r % 5)) t (key, value)
    UNION ALL SELECT 'mlflow.parentRunId', md5('lifeboat seed run ' || e || '/' || r - 1), id FROM seed_runs WHERE r % 10 = 2;
INSERT INTO registered_models (name, creation_time, last_updated_time, description, workspace)
    SELECT name, started, started, 'planted by lifeboat', 'default' FROM seed_versions WHERE version = 1;
INSERT INTO registered_model_tags (key, value, name, workspace)
    SELECT 'team', 'team-' || right(name, 1), name, 'default' FROM seed_versions WHERE version = 1;
INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, user_id, current_stage,
        source, run_id, status, storage_location, workspace)
    SELECT name, version, started, started, '', 'seed',
        CASE version WHEN 3 THEN 'Archived' WHEN 4 THEN 'Production' WHEN 5 THEN 'Staging' ELSE 'None' END,
        location, id, 'READY', location, 'default'
    FROM seed_versions;
INSERT INTO model_version_tags (key, value, name, version, workspace)
    SELECT 'validated', CASE WHEN version < 5 THEN 'yes' ELSE 'not yet' END, name, version, 'default' FROM seed_versions;
INSERT INTO registered_model_aliases (alias, version, name, workspace)
    SELECT CASE version WHEN 4 THEN 'champion' WHEN 5 THEN 'challenger' ELSE 'previous' END, version, name, 'default'
    FROM seed_versions WHERE version > 2;
SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), (SELECT max(experiment_id) FROM experiments));
