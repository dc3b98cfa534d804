//! The order of the runbook while it is followed: who waits for whom, who is skipped, what was put out.
//!
//! Apart from the recovery because it acts on nothing: it only waits and decides.

use crate::model::{Finding, Verdict};
use crate::plan::PlannedStep;
use crate::recovery::text::{Outputs, Reference};
use crate::spec::When;
use futures::future::join_all;
use std::collections::BTreeMap;
use tokio::sync::SetOnce;

/// The steps and how each has ended, once it has.
pub struct Runbook<'a>(BTreeMap<&'a str, SetOnce<StepEnd>>);

/// How a step ended, as those after it see it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEnd {
    /// Met, or why those after it may not rely on it.
    pub status: StepStatus,
    outputs: Outputs,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// It was carried out and met.
    Done,
    /// It was carried out and did not meet, or skipped because of one that did not: a failure reaches over those.
    Failed,
    /// It was skipped because nobody needed it.
    NotNeeded,
}

impl StepEnd {
    /// Of a step that was carried out: those of its figures are kept that it promised as outputs.
    pub fn of(planned: &PlannedStep, finding: &Finding) -> Self {
        let promised = finding.figures.iter().filter(|(name, _)| planned.step.outputs().contains(&name.as_str()));
        let output = |(name, value): &(String, String)| {
            (Reference { step: planned.id.clone(), output: name.clone() }, value.clone())
        };
        let status = if finding.verdict == Verdict::Met { StepStatus::Done } else { StepStatus::Failed };
        Self { status, outputs: promised.map(output).collect() }
    }

    /// Of a step that was not.
    pub fn skipped(status: StepStatus) -> Self {
        Self { status, outputs: Outputs::new() }
    }
}

impl<'a> Runbook<'a> {
    /// None of the steps has ended.
    pub fn new(steps: &'a [PlannedStep]) -> Self {
        Self(steps.iter().map(|planned| (planned.id.as_str(), SetOnce::new())).collect())
    }

    /// Waits until all that the step comes after have ended; answers why it is skipped and as what it counts, if so.
    pub async fn wait_for_turn(&self, planned: &PlannedStep) -> Option<(String, StepStatus)> {
        let before = planned.after.iter().filter_map(|id| Some((id.as_str(), self.0.get(id.as_str())?)));
        let ends = before.map(|(id, end)| async move { (id, end.wait().await.status) });
        skip(planned.when, &join_all(ends).await)
    }

    /// The step has ended.
    pub fn ended(&self, planned: &PlannedStep, end: StepEnd) {
        let _ = self.0.get(planned.id.as_str()).map(|it| it.set(end)); // each step ends once
    }

    /// What the steps that have ended have put out.
    pub fn outputs(&self) -> Outputs {
        self.0.values().filter_map(SetOnce::get).flat_map(|end| end.outputs.clone()).collect()
    }
}

/// Why a step is skipped after others ended as they did, and as what it counts; none if it is carried out.
fn skip(when: When, before: &[(&str, StepStatus)]) -> Option<(String, StepStatus)> {
    let first = |status| before.iter().find(|(_, it)| *it == status).map(|(id, _)| *id);
    match (when, first(StepStatus::Failed), first(StepStatus::NotNeeded)) {
        (When::Done, Some(failed), _) => Some((format!("`{failed}` did not succeed"), StepStatus::Failed)),
        (When::Done, None, Some(not_needed)) => Some((format!("`{not_needed}` was not needed"), StepStatus::NotNeeded)),
        (When::Failed, None, _) => Some(("nothing that it comes after failed".to_owned(), StepStatus::NotNeeded)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(when: When, before: &[StepStatus]) -> Option<StepStatus> {
        let named: Vec<_> = before.iter().map(|status| ("a", *status)).collect();
        skip(when, &named).map(|(_, status)| status)
    }

    #[test]
    fn a_step_relies_on_all_that_it_comes_after() {
        assert_eq!(status(When::Done, &[]), None, "the first is carried out");
        assert_eq!(status(When::Done, &[StepStatus::Done, StepStatus::Done]), None);
        assert_eq!(
            status(When::Done, &[StepStatus::Done, StepStatus::Failed, StepStatus::NotNeeded]),
            Some(StepStatus::Failed)
        );
        assert_eq!(
            status(When::Done, &[StepStatus::Done, StepStatus::NotNeeded]),
            Some(StepStatus::NotNeeded),
            "it belongs to the branch"
        );
    }

    #[test]
    fn a_fallback_is_for_failures_only() {
        assert_eq!(status(When::Failed, &[StepStatus::Done, StepStatus::Failed]), None);
        assert_eq!(status(When::Failed, &[StepStatus::Done, StepStatus::NotNeeded]), Some(StepStatus::NotNeeded));
    }

    #[test]
    fn always_is_always() {
        assert_eq!(status(When::Always, &[StepStatus::Failed, StepStatus::NotNeeded]), None);
    }
}
