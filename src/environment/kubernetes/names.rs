//! The names, labels and ports of a platform in a cluster, as `deploy/platform` has them.
//!
//! Apart because nearly every file here needs one of them.

use crate::client::kubernetes::RUN;
use std::collections::BTreeMap;

/// The port of MLflow's service.
pub const MLFLOW_PORT: u16 = 5000;
/// The port of PostgreSQL's service.
pub const POSTGRES_PORT: u16 = 5432;
/// The port of the object store's service.
pub const S3_PORT: u16 = 7070;
/// The label that says what may be broken.
pub const TOKEN: &str = "lifeboat.dev/drill-token";
/// The secret of the platform's namespace.
pub const SECRET: &str = "platform";
/// The secret of the store's namespace.
pub const STORE_SECRET: &str = "store";
/// The config map of MLflow's server.
pub const CONFIG: &str = "mlflow";

/// The label of everything that Lifeboat made.
pub const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "lifeboat");
/// The name of the platform's namespace: at most 63 characters, the end of the run's name kept, which no two share.
pub fn namespace(run: &str) -> String {
    label("lifeboat-", run, "")
}

/// The name of the object store's namespace.
pub fn store_namespace(run: &str) -> String {
    label("lifeboat-", run, "-store")
}

/// The labels of everything that is made for a run.
pub fn labels(run: &str) -> BTreeMap<String, String> {
    [(MANAGED.0.to_owned(), MANAGED.1.to_owned()), (RUN.to_owned(), run_label(run))].into()
}

/// The run's name as the value of a label.
pub fn run_label(run: &str) -> String {
    label("", run, "")
}

fn label(before: &str, run: &str, after: &str) -> String {
    let small = run.to_ascii_lowercase();
    let clean: String = small.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let space = 63 - before.len() - "-store".len();
    let kept = &clean[clean.len().saturating_sub(space)..];
    format!("{before}{}{after}", kept.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_keeps_the_end_of_the_runs_name_which_no_two_share() {
        assert_eq!(namespace("mlflow-crash-20250101T000000-Beef"), "lifeboat-mlflow-crash-20250101t000000-beef");
        let long = format!("{}-20250101T000000-beef", "very-".repeat(30));
        assert!(namespace(&long).len() <= 63 && namespace(&long).ends_with("-20250101t000000-beef"));
        assert!(store_namespace(&long).len() <= 63 && store_namespace(&long).ends_with("-beef-store"));
    }
}
