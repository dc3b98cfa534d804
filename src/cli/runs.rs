//! `lifeboat runs`: the runs that are kept, and what became of them.

use super::console::out;
use super::{exit, run_name};
use crate::measure::series::judged;
use crate::model::report::{Measurement, Report};
use crate::store;
use std::fs;
use std::path::Path;
use tabled::builder::Builder;
use tabled::settings::Style;

pub(super) fn main(reports: &Path) -> u8 {
    let folders = store::runs(reports);
    if folders.is_empty() {
        eprintln!("no runs under `{}`", reports.display());
        return exit::MET;
    }
    let mut table = Builder::default();
    table.push_record(["run", "verdict", "RTA", "RPA", "began"]);
    for folder in folders {
        table.push_record(row(&folder));
    }
    out(table.build().with(Style::blank()).to_string());
    exit::MET
}

fn row(folder: &Path) -> [String; 5] {
    let none = || "-".to_owned();
    let bytes = fs::read(folder.join("report.json")).unwrap_or_default();
    let Ok(report) = serde_json::from_slice::<Report>(&bytes) else {
        let verdict = if crate::run::alive(folder) { "running" } else { "no report" };
        return [run_name(folder), verdict.to_owned(), none(), none(), none()];
    };
    let rta = judged(&report).map_or_else(none, |(depth, time)| format!("{} at {depth}", seconds(time)));
    let rpa = seconds(&report.measurements.rpa.strict);
    [run_name(folder), report.verdict.to_string(), rta, rpa, report.began]
}

fn seconds(time: &Measurement) -> String {
    time.seconds.map_or_else(|| "unknown".into(), |s| format!("{s:.2} s"))
}
