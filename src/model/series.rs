//! Several runs compared: a row for each drill in each environment, made from reports.

use super::{Expected, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The results of the runs of one drill in one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The drill.
    pub drill: String,
    /// Its file.
    #[serde(default)]
    pub file: String,
    /// The ids of the requirements that it tries.
    pub requirements: Vec<String>,
    /// The kind of environment.
    pub environment: String,
    /// A digest of the environment's settings.
    #[serde(default)]
    pub settings: String,
    /// Recovery time actual at the depth that was judged, seconds: the median of all runs; null if in the median run the
    /// service never came back, or its time is not known.
    pub rta_s: Option<f64>,
    /// In how many runs the service never came back, or its time is not known.
    #[serde(default)]
    pub not_back: usize,
    /// Recovery point actual, seconds: the largest of the runs; null if it is unknown in one of them.
    pub rpa_s: Option<f64>,
    /// The worst verdict.
    pub verdict: Verdict,
    /// The result that the drill is written for.
    pub expected: Expected,
    /// Did every run come to that?
    #[serde(default)]
    pub as_expected: bool,
    /// Each run.
    pub runs: Vec<RowRun>,
}

/// One run of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowRun {
    /// The run; empty if it failed before it had a name.
    pub run: String,
    /// Its recovery time actual, seconds.
    pub rta_s: Option<f64>,
    /// Its recovery point actual, seconds.
    pub rpa_s: Option<f64>,
    /// Its verdict.
    pub verdict: Verdict,
    /// Why it is not met, as the report says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
