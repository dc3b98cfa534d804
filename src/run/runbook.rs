//! The order of the runbook while it is carried out: which step waits for which, which is skipped, and their outputs.
//!
//! Apart from the recovery because it touches no platform: it only waits and decides.

use crate::model::{Finding, Verdict, When};
use crate::plan::PlannedStep;
use crate::recovery::text::{Outputs, Reference};
use futures::future::join_all;
use std::collections::BTreeMap;
use tokio::sync::SetOnce;

/// The steps, and how each of them ended, once it has.
pub struct Runbook<'a>(BTreeMap<&'a str, SetOnce<StepEnd>>);

/// How a step ended, as the steps after it see it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEnd {
    /// Done, or why the steps after it cannot rely on it.
    pub status: StepStatus,
    outputs: Outputs,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// It was carried out and met.
    Done,
    /// It was carried out and not met, or skipped because of a step that was not met.
    Failed,
    /// It was carried out and not met, and it may fail: the steps after it go on, and a branch for failures is carried out.
    Tolerated,
    /// It was skipped because it was not needed.
    NotNeeded,
}

impl StepEnd {
    /// The end of a step that was carried out. Of its figures, those are kept that the step declares as outputs.
    pub fn of(planned: &PlannedStep, finding: &Finding) -> Self {
        let promised = finding.figures.iter().filter(|(name, _)| planned.step.outputs().contains(&name.as_str()));
        let output = |(name, value): &(String, String)| {
            (Reference { step: planned.id.clone(), output: name.clone() }, value.clone())
        };
        let status = match finding.verdict {
            Verdict::Met => StepStatus::Done,
            _ if planned.optional => StepStatus::Tolerated,
            _ => StepStatus::Failed,
        };
        Self { status, outputs: promised.map(output).collect() }
    }

    /// The end of a step that was skipped.
    pub fn skipped(status: StepStatus) -> Self {
        Self { status, outputs: Outputs::new() }
    }
}

impl<'a> Runbook<'a> {
    /// A runbook of which no step has ended.
    pub fn new(steps: &'a [PlannedStep]) -> Self {
        Self(steps.iter().map(|planned| (planned.id.as_str(), SetOnce::new())).collect())
    }

    /// Waits until all steps that this one comes after have ended. If it is to be skipped, returns why, and its status.
    pub async fn wait_for_turn(&self, planned: &PlannedStep) -> Option<(String, StepStatus)> {
        let before = planned.after.iter().filter_map(|id| Some((id.as_str(), self.0.get(id.as_str())?)));
        let ends = before.map(|(id, end)| async move { (id, end.wait().await.status) });
        skip(planned.when, &join_all(ends).await)
    }

    /// Records that the step has ended.
    pub fn ended(&self, planned: &PlannedStep, end: StepEnd) {
        let _ = self.0.get(planned.id.as_str()).map(|it| it.set(end)); // each step ends once
    }

    /// The outputs of the steps that have ended.
    pub fn outputs(&self) -> Outputs {
        self.0.values().filter_map(SetOnce::get).flat_map(|end| end.outputs.clone()).collect()
    }
}

/// Why a step is skipped after those before it, and its status; none if it is carried out.
fn skip(when: When, before: &[(&str, StepStatus)]) -> Option<(String, StepStatus)> {
    let first = |status| before.iter().find(|(_, it)| *it == status).map(|(id, _)| *id);
    match (when, first(StepStatus::Failed), first(StepStatus::NotNeeded)) {
        (When::Done, Some(failed), _) => Some((format!("`{failed}` did not succeed"), StepStatus::Failed)),
        (When::Done, None, Some(not_needed)) => Some((format!("`{not_needed}` was not needed"), StepStatus::NotNeeded)),
        (When::Failed, None, _) if first(StepStatus::Tolerated).is_none() => {
            Some(("nothing that it comes after failed".to_owned(), StepStatus::NotNeeded))
        }
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
    fn a_step_that_may_fail_stops_nobody_and_still_has_its_fallback() {
        assert_eq!(status(When::Done, &[StepStatus::Tolerated]), None);
        assert_eq!(status(When::Failed, &[StepStatus::Tolerated]), None);
    }

    #[test]
    fn always_is_always() {
        assert_eq!(status(When::Always, &[StepStatus::Failed, StepStatus::NotNeeded]), None);
    }
}
