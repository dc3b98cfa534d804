//! Several runs of drills in a table: a row for each drill in each environment.
//!
//! Apart because it reads reports, not timelines.

use crate::model::Verdict;
use crate::model::report::{Measurement, Report};
use crate::model::series::{Row, RowRun};

/// The row of one drill in one environment; none without reports. All reports must be of that drill and environment. Its
/// file and settings are the caller's to fill in.
pub fn row(reports: &[Report]) -> Option<Row> {
    let last = reports.last()?;
    let runs: Vec<RowRun> = reports.iter().map(run).collect();
    // A run that never came back takes longer than any other; a time that is not known could be any.
    let mut times: Vec<f64> = runs.iter().map(|run| run.rta_s.unwrap_or(f64::INFINITY)).collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().filter(|time| time.is_finite());
    let points: Option<Vec<f64>> = runs.iter().map(|run| run.rpa_s).collect();
    Some(Row {
        drill: last.drill.clone(),
        file: String::new(),
        settings: String::new(),
        requirements: last.requirements.clone(),
        environment: last.environment.clone(),
        rta_s: median,
        not_back: runs.iter().filter(|run| run.rta_s.is_none()).count(),
        rpa_s: points.and_then(|points| points.into_iter().max_by(f64::total_cmp)),
        verdict: Verdict::merge(runs.iter().map(|run| run.verdict)),
        expected: last.expected.clone(),
        as_expected: reports.iter().all(Report::as_expected),
        runs,
    })
}

fn run(report: &Report) -> RowRun {
    let worst = report.judgements.iter().find(|judgement| judgement.verdict == report.verdict);
    RowRun {
        run: report.run.clone(),
        rta_s: judged(report).and_then(|(_, time)| time.seconds),
        rpa_s: report.measurements.rpa.strict.seconds,
        verdict: report.verdict,
        reason: worst
            .filter(|judgement| judgement.verdict != Verdict::Met)
            .map(|judgement| format!("{}: {}", judgement.what, judgement.reason.as_deref().unwrap_or("no reason"))),
    }
}

/// The recovery time that was judged, with its depth; the deepest one where nothing was promised.
pub fn judged(report: &Report) -> Option<(crate::model::Depth, &Measurement)> {
    let all = &report.measurements.rta;
    let judged = all.iter().find(|(_, time)| time.objective.is_some()).or_else(|| all.last_key_value());
    judged.map(|(depth, time)| (*depth, time))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Depth;

    fn report(rta: Option<f64>, rpa: Option<f64>, verdict: Verdict) -> Report {
        let mut report = crate::measure::measure(&[]);
        (report.verdict, report.judgements) = (verdict, vec![]);
        let time = Measurement { seconds: rta, objective: Some(60.0), ..Measurement::default() };
        report.measurements.rta.insert(Depth::Read, time);
        report.measurements.rpa.strict.seconds = rpa;
        report
    }

    #[test]
    fn a_row_has_the_median_time_the_largest_loss_and_the_worst_verdict() {
        let met = |rta| report(Some(rta), Some(rta / 10.0), Verdict::Met);
        let row = row(&[met(30.0), met(10.0), met(20.0)]).unwrap();
        assert_eq!((row.rta_s, row.rpa_s, row.verdict), (Some(20.0), Some(3.0), Verdict::Met));
    }

    #[test]
    fn a_loss_that_is_unknown_in_one_run_is_unknown_in_the_row() {
        let row = row(&[report(Some(1.0), Some(0.0), Verdict::Met), report(None, None, Verdict::Unknown)]).unwrap();
        assert_eq!((row.rpa_s, row.verdict), (None, Verdict::Unknown));
    }

    #[test]
    fn a_run_that_never_came_back_stays_in_the_distribution() {
        let met = |rta| report(Some(rta), Some(0.0), Verdict::Met);
        let never = || report(None, Some(0.0), Verdict::Missed);
        let row = row(&[met(10.0), never(), met(20.0)]).unwrap();
        assert_eq!((row.rta_s, row.not_back), (Some(20.0), 1), "10, 20, never");
        let row = super::row(&[met(10.0), never(), never()]).unwrap();
        assert_eq!((row.rta_s, row.not_back), (None, 2), "the median run never came back");
    }
}
