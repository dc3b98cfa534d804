//! `lifeboat series`: several drills one after the other, and the table of what they came to.
//!
//! The table is rewritten after every run, so that an interrupted series leaves what it has. Rows of other drills and
//! other places stay in it: so one table grows from several series.

use super::console::out;
use super::run::{Ending, carry_out};
use super::{Answer, Failure, exit};
use crate::client::Error;
use crate::measure::series;
use crate::model::Verdict;
use crate::model::report::Report;
use crate::model::series::Row;
use crate::plan;
use crate::spec::Wrong;
use std::fs;
use std::path::{Path, PathBuf};
use tabled::builder::Builder;
use tabled::settings::Style;

/// The file of the table, beside the runs.
const TABLE: &str = "drills.json";

/// What `series` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The drills' files, in the order in which they are carried out
    #[arg(required = true)]
    drills: Vec<PathBuf>,
    /// Another environment than the drills name; settings of the same kind go before the drill's own
    #[arg(long, value_name = "KIND", env = "LIFEBOAT_ENVIRONMENT")]
    environment: Option<String>,
    /// How often each drill is carried out
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
}

pub(super) async fn main(args: &Args, reports: &Path) -> Answer {
    let environment = args.environment.as_deref();
    let mut wrong = Wrong::default();
    let mut plans = vec![];
    for drill in &args.drills {
        match plan::load_in(drill, environment) {
            Ok(plan) => plans.push(plan),
            Err(theirs) => wrong.files.extend(theirs.files),
        }
    }
    if !wrong.files.is_empty() {
        return Err(wrong.into());
    }
    let (mut code, mut rows) = (exit::MET, vec![]);
    for plan in &plans {
        let mut done: Vec<Report> = vec![];
        for _ in 0..args.times {
            match carry_out(plan.clone(), reports).await? {
                Ending::Refused(refused) => return Ok(refused),
                Ending::Done(outcome) => {
                    code = code.max(severity(&outcome.report));
                    done.push(outcome.report.clone());
                    if outcome.interrupted {
                        return Ok(exit::INTERRUPTED);
                    }
                }
            }
            keep(reports, series::row(&done).as_ref())?;
        }
        rows.extend(series::row(&done));
    }
    out(shown(&rows));
    Ok(code)
}

/// What one run adds to the exit code: nothing, if it came to what the drill is written for and left nothing.
fn severity(report: &Report) -> u8 {
    match report.verdict {
        _ if !report.left.is_empty() => exit::LEFT,
        verdict if verdict == report.expected => exit::MET,
        Verdict::Unknown => exit::UNKNOWN,
        _ => exit::MISSED,
    }
}

/// Puts a row into the table, in place of an older one of the same drill and place.
fn keep(reports: &Path, row: Option<&Row>) -> Result<(), Failure> {
    let Some(row) = row else { return Ok(()) };
    let path = reports.join(TABLE);
    let cannot = |e: &dyn std::fmt::Display| Error::new(format!("cannot keep `{}`", path.display()), e);
    let mut rows: Vec<Row> = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| cannot(&e).hint("remove that file"))?,
        Err(_) => vec![],
    };
    rows.retain(|old| (&old.drill, &old.environment) != (&row.drill, &row.environment));
    rows.push(row.clone());
    rows.sort_by(|a, b| (&a.drill, &a.environment).cmp(&(&b.drill, &b.environment)));
    let bytes = serde_json::to_vec_pretty(&rows).map_err(|e| cannot(&e))?;
    fs::write(&path, bytes).map_err(|e| cannot(&e))?;
    Ok(())
}

fn shown(rows: &[Row]) -> String {
    let mut table = Builder::default();
    table.push_record(["drill", "environment", "runs", "RTA", "RPA", "verdict", "expected"]);
    for row in rows {
        let seconds = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |s| format!("{s:.1} s"));
        let runs = row.runs.len().to_string();
        let (verdict, expected) = (row.verdict.to_string(), row.expected.to_string());
        table.push_record([
            row.drill.clone(),
            row.environment.clone(),
            runs,
            seconds(row.rta_s),
            seconds(row.rpa_s),
            verdict,
            expected,
        ]);
    }
    table.build().with(Style::blank()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_counts_against_the_series_if_it_is_not_what_the_drill_is_written_for_or_left_something() {
        let report = |verdict, expected| {
            let mut report = crate::measure::measure(&[]);
            (report.verdict, report.expected) = (verdict, expected);
            report
        };
        let code = |verdict, expected| severity(&report(verdict, expected));
        assert_eq!(code(Verdict::Met, Verdict::Met), exit::MET);
        assert_eq!(code(Verdict::Missed, Verdict::Missed), exit::MET);
        assert_eq!(code(Verdict::Missed, Verdict::Met), exit::MISSED);
        assert_eq!(code(Verdict::Met, Verdict::Missed), exit::MISSED);
        assert_eq!(code(Verdict::Unknown, Verdict::Met), exit::UNKNOWN);
        assert_eq!(code(Verdict::Unknown, Verdict::Missed), exit::UNKNOWN);
        let mut left = report(Verdict::Met, Verdict::Met);
        left.left.push("a folder".into());
        assert_eq!(severity(&left), exit::LEFT);
    }
}
