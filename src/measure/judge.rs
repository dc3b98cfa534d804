//! The judgements: each verdict with its reason. The worst of them is the verdict of the run.
//!
//! Apart from the numbers because most of these are not numbers. What did not run, did not finish or did not take effect
//! is unknown and never met.

use super::history::{History, StepHistory};
use super::rpa;
use super::rta::{Outage, Return};
use crate::model::report::{CheckReport, Judgement, Measurements};
use crate::model::{Depth, JudgementKind, Onset, Phase, Verdict, When};
use std::collections::BTreeMap;

/// The checks in the order of the drill, each with its last finding.
pub fn checks(history: &History) -> Vec<CheckReport> {
    let check = |name: &String| match history.checked.get(name.as_str()) {
        Some((_, finding)) => CheckReport {
            name: name.clone(),
            verdict: finding.verdict,
            reason: finding.reason.clone(),
            figures: finding.figures.clone(),
        },
        None => CheckReport {
            name: name.clone(),
            verdict: Verdict::Unknown,
            reason: Some("it was not run".into()),
            figures: vec![],
        },
    };
    history.terms.checks.iter().map(check).collect()
}

/// Every judgement that is merged into the verdict of the run.
pub fn judgements(
    history: &History,
    onset: &Result<Onset, String>,
    measurements: &Measurements,
    outages: &BTreeMap<Depth, Outage>,
    depth: Option<Depth>,
    checks: &[CheckReport],
) -> Vec<Judgement> {
    let mut judgements: Vec<Judgement> = whole(history).into_iter().collect();
    for decision in &history.decisions {
        let reason = decision.reason.map(str::to_owned);
        judgements.push(judgement(decision.kind, decision.what, decision.verdict, reason));
    }
    judgements.push(took_effect(history, onset));
    if onset.is_ok() {
        judgements.push(recovered(history, outages));
        judgements.extend(steps(history));
    }
    judgements.extend(rto(history, measurements, depth));
    let rpa = &measurements.rpa.strict;
    judgements
        .extend(rpa.verdict.map(|verdict| judgement(JudgementKind::Objective, "rpo", verdict, rpa.reason.clone())));
    judgements.extend(unread(history));
    let check = |it: &CheckReport| judgement(JudgementKind::Check, &it.name, it.verdict, it.reason.clone());
    judgements.extend(checks.iter().map(check));
    let unlifted = |why: &&str| judgement(JudgementKind::Undo, "undo", Verdict::Missed, Some((*why).to_owned()));
    judgements.extend(history.unlifted.values().map(unlifted));
    judgements
}

/// Why the timeline is not that of a whole run; none if it is.
fn whole(history: &History) -> Option<Judgement> {
    let reason = match history {
        History { began: None, .. } => "the timeline has no beginning with the drill's objectives",
        History { interrupted: true, .. } => "the run was interrupted",
        History { ended: false, .. } => "the run did not finish",
        _ => return None,
    };
    Some(judgement(JudgementKind::Harness, "run", Verdict::Unknown, Some(reason.into())))
}

/// Every fault that was begun must have taken effect, not only the first one, from which times are counted.
fn took_effect(history: &History, onset: &Result<Onset, String>) -> Judgement {
    let no_effect = || history.faults.iter().find_map(super::onset::FaultHistory::no_effect);
    let reason = onset.as_ref().err().cloned().or_else(no_effect);
    let verdict = if reason.is_some() { Verdict::Unknown } else { Verdict::Met };
    judgement(JudgementKind::Onset, "fault took effect", verdict, reason)
}

/// Was the service back when watching ended, at every depth, and within the limit? Promised or not: a drill that leaves its
/// clients without service is missed.
fn recovered(history: &History, outages: &BTreeMap<Depth, Outage>) -> Judgement {
    let limit = history.terms.recovery;
    let late = |outage: &&Outage| outage.band.low.is_some_and(|low| low > limit.as_seconds());
    let worst = outages.values().map(|outage| outage.back).max().unwrap_or_default();
    let first = outages.iter().find(|(_, outage)| outage.back == worst);
    let why = || first.map(|(depth, it)| format!("`{depth}`: {}", it.band.reason.as_deref().unwrap_or("not known")));
    let (verdict, reason) = match worst {
        Return::Down if history.reached(Phase::Verify) => (Verdict::Missed, why()),
        Return::Stable if outages.values().any(|outage| late(&outage)) => {
            (Verdict::Missed, Some(format!("the service was back only after the limit of {limit} for the recovery")))
        }
        Return::Stable => (Verdict::Met, None),
        Return::Down | Return::Unknown => (Verdict::Unknown, why().or_else(|| Some("no probe watched".to_owned()))),
    };
    judgement(JudgementKind::Recovered, "recovered", verdict, reason)
}

/// Each step that was carried out or should have been. What is optional, and what a later branch mended, is not judged.
fn steps(history: &History) -> Vec<Judgement> {
    let mut judgements = vec![];
    for step in &history.steps {
        let optional = history.terms.runbook.iter().any(|terms| terms.id == step.id && terms.optional);
        let (verdict, reason) = match step.end {
            Some((_, finding)) => (finding.verdict, finding.reason.clone()),
            None => (Verdict::Unknown, Some("it did not end".to_owned())),
        };
        if verdict == Verdict::Met || !(optional || mended(history, step.id)) {
            judgements.push(judgement(JudgementKind::Step, step.id, verdict, reason));
        }
    }
    let known = |id: &str| history.steps.iter().any(|s| s.id == id) || history.skipped.iter().any(|(s, _)| *s == id);
    let never = history.terms.runbook.iter().filter(|terms| !known(&terms.id));
    let reason = || Some("it was neither carried out nor skipped".to_owned());
    judgements.extend(never.map(|terms| judgement(JudgementKind::Step, &terms.id, Verdict::Unknown, reason())));
    judgements
}

/// Did a branch for failures mend what this step did not do? It comes after the step, or after steps that were skipped
/// because of it, and it was met.
fn mended(history: &History, failed: &str) -> bool {
    let met = |id: &str| {
        let is_met = |step: &&StepHistory| step.end.is_some_and(|(_, finding)| finding.verdict == Verdict::Met);
        history.steps.iter().any(|step| step.id == id && is_met(&step))
    };
    let mut branches = history.terms.runbook.iter().filter(|terms| terms.when == When::Failed && met(&terms.id));
    branches.any(|branch| comes_after(history, &branch.after, failed))
}

/// Is `step` among these, or among those before them that were skipped?
fn comes_after(history: &History, before: &[String], step: &str) -> bool {
    before.iter().any(|id| {
        let skipped = history.skipped.iter().any(|(skipped, _)| skipped == id);
        let of = history.terms.runbook.iter().find(|terms| terms.id == *id).filter(|_| skipped);
        id == step || of.is_some_and(|terms| comes_after(history, &terms.after, step))
    })
}

/// Marks that could not be read back are neither there nor lost.
fn unread(history: &History) -> Option<Judgement> {
    let (unread, all) = rpa::unread(history);
    let reason = format!("{unread} of {all} acknowledged writes could not be read back");
    (unread > 0).then(|| judgement(JudgementKind::Harness, "marks read back", Verdict::Unknown, Some(reason)))
}

fn rto(history: &History, measurements: &Measurements, depth: Option<Depth>) -> Option<Judgement> {
    history.terms.objectives.rto?;
    let measured = depth.and_then(|depth| measurements.rta.get(&depth));
    Some(match measured.and_then(|m| m.verdict.map(|verdict| (verdict, m.reason.clone()))) {
        Some((verdict, reason)) => judgement(JudgementKind::Objective, "rto", verdict, reason),
        None => {
            let depth = depth.map(|depth| format!(" at depth `{depth}`")).unwrap_or_default();
            let reason = Some(format!("no probe asks{depth}"));
            judgement(JudgementKind::Objective, "rto", Verdict::Unknown, reason)
        }
    })
}

fn judgement(kind: JudgementKind, what: &str, verdict: Verdict, reason: Option<String>) -> Judgement {
    Judgement { kind, what: what.to_owned(), verdict, reason }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
