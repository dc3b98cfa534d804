//! What a run means: a pure function from its timeline to measurements, verdicts and caveats.
//!
//! Apart from the run so that an old run can be measured again by better rules. It reads no clock, no file and no network.
//! Not here: how a report looks.

pub mod band;
mod caveats;
mod figures;
mod history;
mod judge;
pub mod onset;
mod rpa;
mod rta;
pub mod series;
pub mod steady;
pub mod streak;
#[cfg(test)]
pub(crate) mod timeline_builder;

pub use onset::onset;

use crate::clock::Moment;
use crate::model::report::{Measurements, Report, SCHEMA, Writes};
use crate::model::{Line, Span, Verdict};
use history::History;
use rta::Outage;
use std::collections::BTreeMap;

/// Measures a timeline. Every timeline gives a report; one with too few facts gives a report that is unknown, never met.
pub fn measure(lines: &[Line]) -> Report {
    let history = History::read(lines);
    let onset = history.not_injected().map_or_else(|| onset::first(&history.faults), Err);
    let outages = rta::outages(&history, &onset);
    let depth = rta::judged_depth(&history);
    let rto = history.terms.objectives.rto.map(Span::as_seconds);
    let moments = figures::moments(&history, &onset, depth.and_then(|depth| outages.get(&depth)));
    let judged = |(at, outage): (_, Outage)| (at, outage.band.judged(rto.filter(|_| Some(at) == depth)));
    let rta = outages.clone().into_iter().map(judged).collect();
    let measurements = Measurements { rta, rpa: rpa::recovery_point(&history, &onset) };
    let checks = judge::checks(&history);
    let judgements = judge::judgements(&history, &onset, &measurements, &outages, depth, &checks);
    let mut report = Report {
        verdict: Verdict::merge(judgements.iter().map(|judgement| judgement.verdict)),
        judgements,
        measurements,
        writes: rpa::writes(&history, &onset),
        losses: rpa::losses(&history),
        checks,
        steps: figures::steps(&history),
        skipped: figures::skipped(&history),
        notes: figures::notes(&history),
        phases: figures::phases(&history),
        moments,
        probes: figures::probes(&history, &onset),
        ..blank(&history)
    };
    report.caveats = caveats::caveats(&history, &onset, depth, &report);
    report
}

/// A report with the name and terms of the run, and nothing measured.
fn blank(history: &History) -> Report {
    let terms = &history.terms;
    let [run, version, plan] = history.began.unwrap_or_default().map(str::to_owned);
    Report {
        schema: SCHEMA.to_owned(),
        drill: terms.drill.clone(),
        scenario: terms.scenario.clone(),
        about: terms.about.clone(),
        requirements: terms.requirements.clone(),
        expected: terms.expected.clone(),
        run,
        environment: terms.environment.clone(),
        began: history.wall.map(|wall| wall.to_string()).unwrap_or_default(),
        seconds: history.end.since(Moment::default()),
        plan,
        version,
        verdict: Verdict::Unknown,
        judgements: vec![],
        measurements: Measurements::default(),
        writes: Writes::default(),
        losses: vec![],
        checks: vec![],
        steps: vec![],
        skipped: vec![],
        notes: vec![],
        phases: vec![],
        moments: BTreeMap::new(),
        probes: vec![],
        points: history.points.clone(),
        caveats: vec![],
        left: history.left.iter().map(|&left| left.to_owned()).collect(),
    }
}
