//! What a run is busy with, so that a silence can be explained: which step, fault or set-up act, and since when.

use crate::clock::Moment;
use crate::model::{Fact, Line, Phase, Span};
use crate::plan::Plan;
use crate::report::words::rough;
use std::collections::BTreeMap;

/// What goes on now.
#[derive(Default)]
pub(super) struct Acts {
    /// The steps' limits.
    deadlines: BTreeMap<String, Span>,
    backups: bool,
    recovery: Option<Span>,
    phase: Option<(Phase, Moment)>,
    set_up: Option<(String, Moment)>,
    /// The faults and steps under way: a key, what it is called, since when.
    under_way: Vec<(String, String, Moment)>,
    steps_begun: bool,
}

impl Acts {
    /// For a run of this plan.
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            deadlines: plan.steps.iter().map(|step| (step.id.clone(), step.deadline.span())).collect(),
            backups: plan.setup.protect.is_some(),
            recovery: Some(plan.setup.limits.recovery.span()),
            ..Self::default()
        }
    }

    /// A fact may begin or end an act.
    pub(super) fn take(&mut self, line: &Line) {
        let mut begin = |key: String, text: String| self.under_way.push((key, text, line.at));
        match &line.fact {
            Fact::Phase(phase) => {
                self.phase = Some((*phase, line.at));
                self.set_up = None;
            }
            Fact::Intended { fault, kind, .. } => begin(format!("fault {fault}"), format!("fault {kind}")),
            Fact::Confirmed { fault, .. } => self.end(&format!("fault {fault}")),
            Fact::StepBegan { id, .. } => {
                let limit = self.deadlines.get(id).map(|limit| format!(" (limit {limit})")).unwrap_or_default();
                begin(format!("step {id}"), format!("step {id}{limit}"));
                self.steps_begun = true;
            }
            Fact::StepEnded { id, .. } => self.end(&format!("step {id}")),
            _ => {}
        }
    }

    /// An act of setting up began.
    pub(super) fn progress(&mut self, text: &str, at: Moment) {
        self.set_up = Some((text.to_owned(), at));
    }

    fn end(&mut self, ended: &str) {
        self.under_way.retain(|(key, ..)| key != ended);
    }

    /// What is being waited for.
    pub(super) fn explained(&self, now: Moment) -> String {
        let since = |at: Moment| rough(now.since(at));
        if !self.under_way.is_empty() {
            let acts = self.under_way.iter().map(|(_, text, at)| format!("{text}, for {}", since(*at)));
            return format!("waiting for {}", acts.collect::<Vec<_>>().join("; "));
        }
        if let Some((text, at)) = &self.set_up {
            return format!("still {text}, for {}", since(*at));
        }
        let Some((phase, at)) = self.phase else { return "waiting".to_owned() };
        let what = match phase {
            Phase::Provision => "the platform to be set up and seeded",
            Phase::Baseline if self.backups => "a steady state and a first complete backup",
            Phase::Baseline => "a steady state",
            Phase::Disaster => "the fault's time",
            Phase::Recovery if self.steps_begun || self.deadlines.is_empty() => "a service that stays good",
            Phase::Recovery => "a probe to notice the outage",
            Phase::Verify => "the read-back of the writes and the checks",
            Phase::Teardown => "the removal of what was created",
        };
        let limit = self.recovery.filter(|_| phase == Phase::Recovery);
        let limit = limit.map(|limit| format!(" (limit {limit})")).unwrap_or_default();
        format!("waiting for {what}{limit}, for {}", since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::wall;
    use crate::model::Finding;

    fn after(facts: &[(f64, Fact)]) -> String {
        let mut acts = Acts::default();
        acts.deadlines.insert("restore".into(), Span::seconds(120));
        for (at, fact) in facts {
            acts.take(&Line::new(Moment::at(*at), wall(), fact.clone()));
        }
        acts.explained(Moment::at(40.0))
    }

    #[test]
    fn a_silence_is_explained_by_the_step_under_way_or_else_by_the_phase() {
        let recovery = (20.0, Fact::Phase(Phase::Recovery));
        let began = (25.0, Fact::StepBegan { id: "restore".into(), kind: "restore".into() });
        let ended = (30.0, Fact::StepEnded { id: "restore".into(), finding: Finding::met() });
        assert_eq!(after(std::slice::from_ref(&recovery)), "waiting for a probe to notice the outage, for 20 s");
        let text = after(&[recovery.clone(), began.clone()]);
        assert_eq!(text, "waiting for step restore (limit 2m), for 15 s");
        assert_eq!(after(&[recovery, began, ended]), "waiting for a service that stays good, for 20 s");
    }
}
