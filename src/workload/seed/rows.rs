//! The seed's rows: one SQL transaction instead of thousands of REST calls.
//!
//! Apart because it knows MLflow's tables (as of MLflow 3.17, schema `dc11669786a5`). Ids are digests of texts, so
//! that the same scale gives the same ids. By REST the same rows take some forty seconds, this way about one.

/// The number of rows of the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedSize {
    /// Experiments.
    pub experiments: u64,
    /// Runs in each experiment.
    pub runs: u64,
    /// Registered models.
    pub models: u64,
    /// Versions of each model.
    pub versions: u64,
}

impl SeedSize {
    /// The size at a scale: 1 is 50 experiments; never fewer than one. Few runs mean fewer models, since each
    /// version has a run of its own.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and the range is kept
    pub fn at(scale: f64) -> Self {
        let experiments = (50.0 * scale).round().clamp(1.0, 10_000.0) as u64;
        let (runs, versions) = (40, 5);
        Self { experiments, runs, models: (experiments * runs / versions).min(20), versions }
    }

    /// The SQL that writes it, in one transaction.
    pub fn sql(self) -> String {
        let numbers = [
            ("{experiments}", self.experiments),
            ("{runs}", self.runs),
            ("{models}", self.models),
            ("{versions}", self.versions),
            ("{stride}", (self.experiments * self.runs / (self.models * self.versions)).max(1)),
        ];
        numbers.iter().fold(SQL.to_owned(), |sql, (name, number)| sql.replace(name, &number.to_string()))
    }
}

/// Reads the versions and the locations of their artifacts: name, version, storage location.
pub const VERSIONS: &str = "SELECT name, version, storage_location FROM model_versions
    WHERE workspace = 'default' AND name LIKE 'seed-model-%' ORDER BY name, version";

/// The version of each model that is in production.
pub const PRODUCTION: i32 = 4;

const SQL: &str = "
BEGIN;
CREATE TEMPORARY TABLE seed_runs ON COMMIT DROP AS
    SELECT (SELECT coalesce(max(experiment_id), 0) FROM experiments) + e AS experiment, e, r,
        (e - 1) * {runs} + r AS n, md5('lifeboat seed run ' || e || '/' || r) AS id,
        (extract(epoch FROM now()) * 1000)::bigint - 2592000000 + ((e - 1) * {runs} + r) * 1000 AS started
    FROM generate_series(1, {experiments}) e, generate_series(1, {runs}) r;
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time,
        workspace)
    SELECT experiment, 'seed-' || lpad(e::text, 5, '0'), 'mlflow-artifacts:/' || experiment, 'active', started, started,
        'default'
    FROM seed_runs WHERE r = 1;
INSERT INTO experiment_tags (key, value, experiment_id) SELECT 'team', 'team-' || e % 7, experiment FROM seed_runs WHERE r = 1;
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time,
        source_version, lifecycle_stage, artifact_uri, experiment_id)
    SELECT id, 'seed-' || e || '-' || r, 'UNKNOWN', '', '', 'seed', 'FINISHED', started, started + 60000, '', 'active',
        'mlflow-artifacts:/' || experiment || '/' || id || '/artifacts', experiment
    FROM seed_runs;
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
    SELECT 'metric-' || lpad(m::text, 2, '0'), (hashtext(id || m)::bigint + 2147483648)::float8 / 4294967296, started, id,
        0, false
    FROM seed_runs, generate_series(1, 20) m;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT key, value, timestamp, step, is_nan, run_uuid FROM metrics JOIN seed_runs ON id = run_uuid;
INSERT INTO params (key, value, run_uuid)
    SELECT 'param-' || lpad(p::text, 2, '0'), left(md5(id || p), 12), id FROM seed_runs, generate_series(1, 10) p;
INSERT INTO tags (key, value, run_uuid)
    SELECT key, value, id FROM seed_runs, LATERAL (VALUES ('mlflow.runName', 'seed-' || e || '-' || r),
        ('mlflow.user', 'seed'), ('mlflow.source.type', 'LOCAL'), ('split', 'fold-' || r % 5)) t (key, value);
CREATE TEMPORARY TABLE seed_versions ON COMMIT DROP AS
    SELECT 'seed-model-' || lpad(m::text, 2, '0') AS name, v AS version, id, started,
        'mlflow-artifacts:/' || experiment || '/' || id || '/artifacts/model' AS location
    FROM generate_series(1, {models}) m, generate_series(1, {versions}) v, seed_runs
    WHERE n = ((m - 1) * {versions} + v - 1) * {stride} + 1;
INSERT INTO registered_models (name, creation_time, last_updated_time, description, workspace)
    SELECT name, started, started, 'planted by lifeboat', 'default' FROM seed_versions WHERE version = 1;
INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, user_id, current_stage,
        source, run_id, status, storage_location, workspace)
    SELECT name, version, started, started, '', 'seed',
        CASE version WHEN 3 THEN 'Archived' WHEN 4 THEN 'Production' WHEN 5 THEN 'Staging' ELSE 'None' END,
        location, id, 'READY', location, 'default'
    FROM seed_versions;
INSERT INTO registered_model_aliases (alias, version, name, workspace)
    SELECT 'champion', version, name, 'default' FROM seed_versions WHERE version = 4;
SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), (SELECT max(experiment_id) FROM experiments));
COMMIT;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_scale_still_makes_an_experiment_and_gives_each_version_its_own_run() {
        for scale in [0.0, 0.001, 0.02, 0.1, 1.0, 2.0] {
            let size = SeedSize::at(scale);
            assert!(size.experiments >= 1 && size.models >= 1);
            assert!(size.models * size.versions <= size.experiments * size.runs, "{size:?}");
        }
        assert_eq!(SeedSize::at(1.0), SeedSize { experiments: 50, runs: 40, models: 20, versions: 5 });
    }

    #[test]
    fn no_placeholder_is_left_in_the_sql() {
        assert!(!SeedSize::at(1.0).sql().contains(['{', '}']));
    }
}
