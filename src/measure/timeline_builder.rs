//! Builds timelines for tests: a few calls describe a run, the rest is the same in all of them.
//!
//! One probe asks at depth `read` every second and waits at most one; a streak is three answers over two seconds.

use super::measure;
use crate::clock::Moment;
use crate::model::ledger::Operation;
use crate::model::report::{Measurement, Report};
use crate::model::{
    Answer, Answered, Depth, Expected, Fact, Finding, Line, Mark, MarkState, Objectives, Part, Period, Receipt, Span,
    Terms, Watch,
};

/// A timeline being built.
#[derive(Debug, Clone)]
pub struct TimelineBuilder {
    /// The terms of the drill.
    pub terms: Terms,
    facts: Vec<(f64, Fact)>,
}

impl TimelineBuilder {
    /// An RTO of 10 s, no RPO, no workload, no checks.
    pub fn new() -> Self {
        let watch = Watch { depth: Depth::Read, every: Period::seconds(1), timeout: Period::seconds(1) };
        let terms = Terms {
            drill: "sample".into(),
            scenario: "sample".into(),
            about: String::new(),
            requirements: vec![],
            expected: Expected::Met,
            environment: "somewhere".into(),
            objectives: Objectives { rto: Some(Span::seconds(10)), rpo: None, at: Some(Depth::Read) },
            probes: vec![watch],
            checks: vec![],
            runbook: vec![],
            stable: Span::seconds(2),
            streak: 3,
            recovery: Span::seconds(60),
            workload: false,
        };
        Self { terms, facts: vec![] }
    }

    /// The same with changed terms.
    pub fn with(mut self, change: impl FnOnce(&mut Terms)) -> Self {
        change(&mut self.terms);
        self
    }

    /// With a workload and an RPO, in seconds.
    pub fn writing(self, rpo: u64) -> Self {
        self.with(|terms| {
            terms.workload = true;
            terms.objectives.rpo = Some(Span::seconds(rpo));
        })
    }

    /// One more fact.
    pub fn at(mut self, at: f64, fact: Fact) -> Self {
        self.facts.push((at, fact));
        self
    }

    /// A fault that takes effect between two moments.
    pub fn onset(self, injecting: f64, confirmed: f64) -> Self {
        let intended = Fact::Intended { fault: 0, kind: "kill".into(), receipt: Receipt(serde_json::Value::Null) };
        self.at(injecting, intended)
            .at(injecting, Fact::Injecting { fault: 0 })
            .at(injecting, Fact::Injected { fault: 0, error: None })
            .at(confirmed, Fact::Confirmed { fault: 0, finding: Finding::met() })
    }

    /// One answer, asked on time.
    pub fn asks(self, probe: usize, asked: f64, took: f64, answer: Answer) -> Self {
        let (due, ended) = (Moment::at(asked), Moment::at(asked + took));
        self.at(asked + took, Fact::Answered(Answered { probe, due, asked: due, ended, answer }))
    }

    /// Good answers of 0.1 s, at each of `times`.
    pub fn up(self, times: impl IntoIterator<Item = u32>) -> Self {
        times.into_iter().fold(self, |timeline, at| timeline.asks(0, f64::from(at), 0.1, Answer::Served))
    }

    /// Bad answers after 0.1 s, at each of `times`.
    pub fn down(self, times: impl IntoIterator<Item = u32>) -> Self {
        times.into_iter().fold(self, |timeline, at| timeline.asks(0, f64::from(at), 0.1, Answer::Failed("no".into())))
    }

    /// Unasked ticks, at each of `times`.
    pub fn unasked(self, times: impl IntoIterator<Item = u32>) -> Self {
        times.into_iter().fold(self, |timeline, at| timeline.asks(0, f64::from(at), 0.0, Answer::Unasked))
    }

    /// An acknowledged mark and its state.
    pub fn mark(self, number: u64, acknowledged: f64, state: MarkState) -> Self {
        self.sent(number, acknowledged - 0.1, Operation::Create)
            .at(acknowledged, Fact::Acknowledged { mark: number, at: Some(format!("id{number}")) })
            .at(100.0, Fact::MarkState { mark: number, state })
    }

    /// A mark that was sent.
    pub fn sent(self, number: u64, at: f64, operation: Operation) -> Self {
        let (subject, value) = (format!("run {number}"), String::new());
        self.at(at, Fact::Sending(Mark { number, subject, operation, parts: vec![Part::Row], value, at: None }))
    }

    /// The lines in order of time, after the first fact of a run.
    pub fn lines(&self) -> Vec<Line> {
        let (run, version, plan) = ("sample-1".into(), "0.1.0".into(), "digest".into());
        let mut facts = self.facts.clone();
        facts.sort_by(|a, b| a.0.total_cmp(&b.0));
        facts.insert(0, (0.0, Fact::Began { run, version, plan, terms: Box::new(self.terms.clone()) }));
        let wall = jiff::Timestamp::UNIX_EPOCH;
        facts.into_iter().map(|(at, fact)| Line::new(Moment::at(at), wall, fact)).collect()
    }

    /// The report of the timeline as it is.
    pub fn cut(&self) -> Report {
        measure(&self.lines())
    }

    /// The report of the timeline, ended at 200 s.
    pub fn report(&self) -> Report {
        self.clone().at(200.0, Fact::Ended).cut()
    }

    /// The recovery time at depth `read`.
    pub fn rta(&self) -> Measurement {
        self.report().measurements.rta[&Depth::Read].clone()
    }

    /// The recovery point.
    pub fn rpa(&self) -> Measurement {
        self.report().measurements.rpa.strict
    }
}

/// Panics unless a measurement has these seconds, to a microsecond.
#[track_caller]
pub fn assert_band(measured: &Measurement, seconds: Option<f64>, low: Option<f64>, high: Option<f64>) {
    for (what, is, wanted) in
        [("seconds", measured.seconds, seconds), ("low", measured.low, low), ("high", measured.high, high)]
    {
        let same = match (is, wanted) {
            (Some(is), Some(wanted)) => (is - wanted).abs() < 1e-6,
            (is, wanted) => is == wanted,
        };
        assert!(same, "{what}: {is:?}, wanted {wanted:?}: {measured:?}");
    }
}
