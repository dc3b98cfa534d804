//! The judgements: each verdict with its reason. The worst of them is the verdict of the run.
//!
//! Apart from the numbers because most of these are not numbers. What did not run, did not finish or did not take effect
//! is unknown and never met.

use super::history::History;
use crate::model::report::{CheckReport, Judgement, Measurements};
use crate::model::{Depth, Onset, Verdict};

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
    depth: Option<Depth>,
    checks: &[CheckReport],
) -> Vec<Judgement> {
    let mut judgements: Vec<Judgement> = whole(history).into_iter().collect();
    for decision in &history.decisions {
        judgements.push(judgement(decision.what, decision.verdict, decision.reason.map(str::to_owned)));
    }
    judgements.push(took_effect(history, onset));
    judgements.extend(rto(history, measurements, depth));
    let rpa = &measurements.rpa.strict;
    judgements.extend(rpa.verdict.map(|verdict| judgement("rpo", verdict, rpa.reason.clone())));
    judgements.extend(checks.iter().map(|check| judgement(&check.name, check.verdict, check.reason.clone())));
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
    Some(judgement("run", Verdict::Unknown, Some(reason.into())))
}

/// Every fault that was begun must have taken effect, not only the first one, from which times are counted.
fn took_effect(history: &History, onset: &Result<Onset, String>) -> Judgement {
    let no_effect = || history.faults.iter().find_map(super::onset::FaultHistory::no_effect);
    let reason = onset.as_ref().err().cloned().or_else(no_effect);
    judgement("fault took effect", if reason.is_some() { Verdict::Unknown } else { Verdict::Met }, reason)
}

fn rto(history: &History, measurements: &Measurements, depth: Option<Depth>) -> Option<Judgement> {
    history.terms.objectives.rto?;
    let measured = depth.and_then(|depth| measurements.rta.get(&depth));
    Some(match measured.and_then(|m| m.verdict.map(|verdict| (verdict, m.reason.clone()))) {
        Some((verdict, reason)) => judgement("rto", verdict, reason),
        None => {
            let depth = depth.map(|depth| format!(" at depth `{depth}`")).unwrap_or_default();
            judgement("rto", Verdict::Unknown, Some(format!("no probe asks{depth}")))
        }
    })
}

fn judgement(what: &str, verdict: Verdict, reason: Option<String>) -> Judgement {
    Judgement { what: what.to_owned(), verdict, reason }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
