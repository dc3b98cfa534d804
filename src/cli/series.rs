//! `lifeboat series`: several drills one after the other, and the table of what they came to.
//!
//! The table is rewritten after every run, so that an interrupted series leaves what it has. Rows of other drills and
//! other environments stay in it: so one table grows from several series.

use super::console::{out, say, width};
use super::find::{Reports, find_drill};
use super::run::{Ending, RunOptions, carry_out};
use super::talk::Talk;
use super::{CommandResult, Failure, exit};
use crate::client::Error;
use crate::measure::series;
use crate::model::Verdict;
use crate::model::report::{Measurement, Report};
use crate::model::series::Row;
use crate::plan::{self, Plan};
use crate::report::columns::table;
use crate::report::words;
use crate::spec::Wrong;
use std::fs;
use std::path::{Path, PathBuf};

/// The file of the table, beside the runs.
const TABLE: &str = "drills.json";

/// What `series` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The drills, by their files or names, in the order in which they are carried out
    #[arg(required = true)]
    drills: Vec<PathBuf>,
    /// Another environment than the drills name; settings of the same kind go before the drill's own
    #[arg(long, value_name = "KIND", env = "LIFEBOAT_ENVIRONMENT")]
    environment: Option<String>,
    /// How often each drill is carried out
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    reports: Reports,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let (environment, reports) = (args.environment.as_deref(), args.reports.folder.as_path());
    let drills = args.drills.iter().map(|drill| find_drill(drill)).collect::<Result<Vec<_>, _>>()?;
    let mut wrong = Wrong::default();
    let mut plans = vec![];
    for drill in &drills {
        match plan::load_in(drill, environment) {
            Ok(plan) => plans.push(plan),
            Err(theirs) => wrong.files.extend(theirs.files),
        }
    }
    if !wrong.files.is_empty() {
        return Err(wrong.into());
    }
    let (mut code, mut rows, mut number) = (exit::MET, vec![], 0);
    let all = plans.len() * args.times as usize;
    for (plan, file) in plans.iter().zip(&drills) {
        let row = |done: &[Report]| {
            let (file, settings) = (file.display().to_string(), settings(plan));
            series::row(done).map(|row| Row { file, settings, ..row })
        };
        let mut done: Vec<Report> = vec![];
        for time in 1..=args.times {
            number += 1;
            if !args.talk.quiet {
                say(format!("run {number} of {all}: {} {time}/{}", plan.terms.drill, args.times));
            }
            let of_all = format!("{number}/{all}");
            let options = RunOptions { reports, talk: args.talk, number: &of_all };
            match carry_out(plan.clone(), options).await? {
                Ending::Refused(refused) => return Ok(refused),
                Ending::Done(outcome) => {
                    code = exit::worse(code, severity(&outcome.report));
                    done.push(outcome.report.clone());
                    if outcome.interrupted {
                        return Ok(exit::INTERRUPTED);
                    }
                }
            }
            keep(reports, row(&done).as_ref())?;
        }
        rows.extend(row(&done).map(|row| shown(&row, &done)));
    }
    out(table(&["drill", "environment", "runs", "RTA", "RPA", "verdict", "expected"], rows, width()))?;
    Ok(code)
}

/// The exit code of one run: met, if it came to what the drill is written for and left nothing.
fn severity(report: &Report) -> u8 {
    match report.verdict {
        _ if !report.left.is_empty() => exit::LEFT,
        _ if report.as_expected() => exit::MET,
        Verdict::Unknown => exit::UNKNOWN,
        _ => exit::MISSED,
    }
}

/// A digest of the environment's settings: the same drill on another cluster is another row.
fn settings(plan: &Plan) -> String {
    let written = serde_json::to_vec(&plan.setup.environment).unwrap_or_default();
    blake3::hash(&written).to_hex()[..12].to_owned()
}

/// Puts a row into the table, in place of an older one of the same file in the same environment with the same settings.
fn keep(reports: &Path, row: Option<&Row>) -> Result<(), Failure> {
    let Some(row) = row else { return Ok(()) };
    let path = reports.join(TABLE);
    let cannot = |e: &dyn std::fmt::Display| Error::new(format!("cannot keep `{}`", path.display()), e);
    let mut rows: Vec<Row> = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| cannot(&e).hint("remove that file"))?,
        Err(_) => vec![],
    };
    let key = |row: &Row| (row.file.clone(), row.environment.clone(), row.settings.clone());
    rows.retain(|old| key(old) != key(row));
    rows.push(row.clone());
    rows.sort_by(|a, b| (&a.drill, &a.environment).cmp(&(&b.drill, &b.environment)));
    let bytes = serde_json::to_vec_pretty(&rows).map_err(|e| cannot(&e))?;
    fs::write(&path, bytes).map_err(|e| cannot(&e))?;
    Ok(())
}

/// A row for people; where a time is not known, the largest low end of its runs is told.
fn shown(row: &Row, reports: &[Report]) -> Vec<String> {
    let time = |value: Option<f64>, runs: &[&Measurement]| {
        let low = runs.iter().filter(|run| run.seconds.is_none()).filter_map(|run| run.low).max_by(f64::total_cmp);
        match (value, low) {
            (Some(seconds), _) => words::time(seconds),
            (None, Some(low)) => words::low_end(low),
            (None, None) => "unknown".to_owned(),
        }
    };
    let rta: Vec<_> = reports.iter().filter_map(series::judged).map(|(_, time)| time).collect();
    let rpa: Vec<_> = reports.iter().map(|report| &report.measurements.rpa.strict).collect();
    vec![
        row.drill.clone(),
        row.environment.clone(),
        row.runs.len().to_string(),
        time(row.rta_s, &rta),
        time(row.rpa_s, &rpa),
        row.verdict.to_string(),
        row.expected.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::Judgement;
    use crate::model::{Expected, JudgementKind};

    fn report(judged: &[(&str, Verdict)], expected: Expected) -> Report {
        let mut report = crate::measure::measure(&[]);
        let judgement = |&(what, verdict): &(&str, Verdict)| Judgement {
            kind: JudgementKind::Objective,
            what: what.to_owned(),
            verdict,
            reason: None,
        };
        report.judgements = judged.iter().map(judgement).collect();
        report.verdict = Verdict::merge(judged.iter().map(|(_, verdict)| *verdict));
        report.expected = expected;
        report
    }

    #[test]
    fn a_run_counts_against_the_series_if_it_is_not_what_the_drill_is_written_for_or_left_something() {
        let (met, missed, unknown) = (Verdict::Met, Verdict::Missed, Verdict::Unknown);
        let slow = || Expected::Missed(vec!["rto".into()]);
        let code = |judged: &[_], expected| severity(&report(judged, expected));
        assert_eq!(code(&[("rto", met)], Expected::Met), exit::MET);
        assert_eq!(code(&[("rto", missed)], Expected::Met), exit::MISSED);
        assert_eq!(code(&[("rto", unknown)], Expected::Met), exit::UNKNOWN);
        assert_eq!(code(&[("rto", missed), ("rpo", met)], slow()), exit::MET);
        assert_eq!(code(&[("rto", met), ("rpo", met)], slow()), exit::MISSED, "what must miss was met");
        assert_eq!(code(&[("rto", missed), ("rpo", missed)], slow()), exit::MISSED, "missed for another reason too");
        assert_eq!(code(&[("rto", missed), ("rpo", unknown)], slow()), exit::MISSED);
        assert_eq!(code(&[("rto", unknown)], slow()), exit::UNKNOWN);
        let mut left = report(&[("rto", met)], Expected::Met);
        left.left.push("a folder".into());
        assert_eq!(severity(&left), exit::LEFT);
    }
}
