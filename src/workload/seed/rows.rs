//! The seed's rows: one SQL transaction instead of thousands of REST calls.
//!
//! Apart because it knows MLflow's tables (as of MLflow 3.17, schema `dc11669786a5`): `rows.sql` has what every platform
//! has, `more.sql` a row at least in each other table. By REST the rows take some forty seconds, this way about one.

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
        numbers.iter().fold(SQL.concat(), |sql, (name, number)| sql.replace(name, &number.to_string()))
    }
}

/// Reads the versions and the locations of their artifacts: name, version, storage location.
pub const VERSIONS: &str = "SELECT name, version, storage_location FROM model_versions
    WHERE workspace = 'default' AND name LIKE 'seed-model-%' ORDER BY name, version";

/// MLflow 3.17 says so when it is started with such rows.
const ROLLUPS: &str = "a server that does not make rollups is not started while there are any";

/// The tables that stay empty, and why.
pub const EMPTY: [(&str, &str); 6] = [
    ("job_locks", "who holds one works on a job, and no job is under way"),
    ("scheduler_leases", "a server that runs jobs takes them, for minutes"),
    ("sql_assessment_daily_rollups", ROLLUPS),
    ("sql_span_cost_daily_rollups", ROLLUPS),
    ("sql_trace_metric_daily_rollups", ROLLUPS),
    ("sql_trace_rollup_rebuild_queue", "a server that runs jobs works on what it finds there"),
];

/// What every platform has, and what else MLflow keeps. In one transaction: a seed is whole or not there.
const SQL: [&str; 4] = ["BEGIN;\n", include_str!("rows.sql"), include_str!("more.sql"), "COMMIT;\n"];
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
        let sql = SeedSize::at(1.0).sql();
        let left = ["experiments", "runs", "models", "versions", "stride"].map(|name| format!("{{{name}}}"));
        assert!(!left.iter().any(|name| sql.contains(name)), "{sql}");
    }
}
