//! The live line: the phase and how long it may still take, each probe's last answer, the outage against its
//! objective, and the count of writes.
//!
//! Apart from what draws it, so that its words can be tested. It fits the width it is given: what matters least is
//! left out first.

use crate::clock::Moment;
use crate::model::{Answer, Answered, Depth, Fact, Line, Phase, Span};
use crate::plan::Plan;
use crate::report::words::{rough, things};

/// What the live line says.
#[derive(Default)]
pub(super) struct LiveLine {
    /// The run's number in a series.
    number: String,
    drill_limit: Option<Span>,
    recovery_limit: Option<Span>,
    rto: Option<Span>,
    rto_depth: Option<Depth>,
    phase: Option<Phase>,
    serves_since: Option<Moment>,
    onset: Option<Moment>,
    acknowledged: u64,
    writes: bool,
    probes: Vec<ProbeLine>,
}

/// The last word of one probe.
struct ProbeLine {
    depth: Depth,
    /// None: no answer yet, or not asked in time.
    good: Option<bool>,
    /// When the first failed question of this outage was asked.
    down_since: Option<Moment>,
}

impl LiveLine {
    /// For a run of this plan, at its number in a series.
    pub(super) fn new(plan: &Plan, number: &str) -> Self {
        let (terms, limits) = (&plan.terms, &plan.setup.limits);
        let probe = |depth| ProbeLine { depth, good: None, down_since: None };
        Self {
            number: number.to_owned(),
            drill_limit: Some(limits.drill.span()),
            recovery_limit: Some(limits.recovery.span()),
            rto: terms.objectives.rto,
            rto_depth: terms.objectives.at,
            writes: terms.workload,
            probes: terms.probes.iter().map(|watch| probe(watch.depth)).collect(),
            ..Self::default()
        }
    }

    /// A fact may change what is shown.
    pub(super) fn take(&mut self, line: &Line) {
        match &line.fact {
            Fact::Phase(phase) => {
                self.phase = Some(*phase);
                if *phase == Phase::Baseline {
                    self.serves_since = Some(line.at);
                }
            }
            Fact::Confirmed { .. } => self.onset = self.onset.or(Some(line.at)),
            Fact::Acknowledged { .. } => self.acknowledged += 1,
            Fact::Answered(answered) => self.answered(answered),
            _ => {}
        }
    }

    fn answered(&mut self, answered: &Answered) {
        let Some(probe) = self.probes.get_mut(answered.probe) else { return };
        match answered.answer {
            Answer::Served => (probe.good, probe.down_since) = (Some(true), None),
            Answer::Failed(_) => {
                probe.good = Some(false);
                probe.down_since = probe.down_since.or(Some(answered.asked));
            }
            Answer::Unasked => probe.good = None,
        }
    }

    /// The line at this moment, in at most `width` characters: the longest form that fits.
    pub(super) fn show(&self, now: Moment, width: usize) -> String {
        let clock = format!("{:>6}  ", rough(now.seconds()));
        let (long, short) = match self.bound(now) {
            Some(bound) => (format!(", at most {bound} more"), format!(" ≤{bound}")),
            None => (String::new(), String::new()),
        };
        let writes = if self.writes { format!("  {}", things(self.acknowledged, "write")) } else { String::new() };
        let forms = [
            (clock.as_str(), long.as_str(), writes.as_str()),
            (&clock, &short, &writes),
            ("", &short, &writes),
            (&clock, &short, ""),
            (&clock, "", ""),
        ];
        let mut lines = forms.map(|(clock, bound, writes)| self.line(now, clock, bound, writes)).into_iter();
        let fits = |line: &String| line.chars().count() <= width;
        lines.find(fits).unwrap_or_else(|| self.line(now, "", "", "").chars().take(width).collect())
    }

    fn line(&self, now: Moment, clock: &str, bound: &str, writes: &str) -> String {
        let phase = self.phase.map(|phase| phase.to_string()).unwrap_or_default();
        let probes: Vec<_> = self.probes.iter().map(|probe| self.probe(probe, now)).collect();
        let number = if self.number.is_empty() { String::new() } else { format!("{}  ", self.number) };
        format!("{clock}{number}{phase}{bound}  {}{writes}", probes.join(" ")).trim_end().to_owned()
    }

    /// A probe's last word; for the depth that the objective is about also for how long it has been down.
    fn probe(&self, probe: &ProbeLine, now: Moment) -> String {
        let depth = probe.depth;
        let promised = self.rto.filter(|_| self.rto_depth == Some(depth));
        match (probe.good, probe.down_since, promised) {
            (Some(true), ..) => format!("{depth} ✓"),
            (Some(false), Some(since), Some(rto)) => format!("{depth} down {} of {rto}", rough(now.since(since))),
            (Some(false), ..) => format!("{depth} ✗"),
            (None, ..) => format!("{depth} ·"),
        }
    }

    /// How long the phase may still take, where a limit says so.
    fn bound(&self, now: Moment) -> Option<String> {
        let left = |limit: Option<Span>, since: Option<Moment>| Some(limit?.as_seconds() - now.since(since?));
        let drill = left(self.drill_limit, self.serves_since);
        let left = match self.phase? {
            Phase::Provision | Phase::Teardown => None,
            Phase::Recovery => left(self.recovery_limit, self.onset).into_iter().chain(drill).reduce(f64::min),
            _ => drill,
        };
        left.map(rough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::wall;

    fn during_an_outage() -> LiveLine {
        let probe = |depth| ProbeLine { depth, good: None, down_since: None };
        let mut line = LiveLine {
            rto: Some(Span::seconds(120)),
            rto_depth: Some(Depth::Read),
            recovery_limit: Some(Span::seconds(300)),
            writes: true,
            probes: [Depth::Health, Depth::Read, Depth::Write, Depth::Artifact].map(probe).into(),
            ..LiveLine::default()
        };
        let at = Moment::at(30.0);
        let answer = |probe, answer| Fact::Answered(Answered { probe, due: at, asked: at, ended: at, answer });
        for fact in [
            Fact::Confirmed { fault: 0, finding: crate::model::Finding::met() },
            Fact::Phase(Phase::Recovery),
            answer(0, Answer::Served),
            answer(1, Answer::Failed("500".into())),
            answer(2, Answer::Failed("500".into())),
            Fact::Acknowledged { mark: 1, at: None },
        ] {
            line.take(&Line::new(at, wall(), fact));
        }
        line
    }

    #[test]
    fn the_live_line_shows_the_bound_of_the_phase_each_last_answer_and_the_outage_against_its_objective() {
        let text = during_an_outage().show(Moment::at(42.0), 120);
        let probes = "health ✓ read down 12 s of 2m write ✗ artifact ·";
        assert_eq!(text, format!("  42 s  recovery, at most 4m48s more  {probes}  1 write"));
    }

    #[test]
    fn what_matters_least_is_left_out_first_where_there_is_little_room() {
        let line = during_an_outage();
        let shown = [90, 77, 70, 50].map(|width| (width, line.show(Moment::at(42.0), width)));
        assert!(shown.iter().all(|(width, text)| text.chars().count() <= *width), "{shown:#?}");
        assert!(shown[0].1.starts_with("  42 s  recovery ≤4m48s  "), "{shown:#?}");
        assert!(shown[1].1.starts_with("recovery ≤4m48s  ") && shown[1].1.ends_with("  1 write"), "{shown:#?}");
        assert!(shown[2].1.contains("read down 12 s of 2m"), "{shown:#?}");
    }
}
