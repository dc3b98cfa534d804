//! Recovery point actual: from the onset back to the oldest acknowledged write that is missing.
//!
//! Apart from the recovery time because it reads only the marks. It is strict: one old missing write counts even if newer
//! writes survived. The newest survivor is given beside it.

use super::band::Band;
use super::figures;
use super::history::{History, MarkHistory};
use crate::clock::Moment;
use crate::model::ledger::Operation;
use crate::model::report::{Loss, RecoveryPointActual, Writes};
use crate::model::{Mark, MarkState, Onset, Verdict};

/// To conclude that nothing was lost, a write must have been acknowledged within the RPO before the onset, or within this
/// time if the RPO is shorter.
const RECENT_WRITE: f64 = 5.0;

/// The recovery point, judged.
pub fn recovery_point(history: &History, onset: &Result<Onset, String>) -> RecoveryPointActual {
    let objective = history.terms.objectives.rpo.map(crate::model::Span::as_seconds);
    let unmeasured =
        |why: &str| RecoveryPointActual { strict: Band::unmeasured(why).judged(objective), newest_survivor: None };
    if !history.terms.workload {
        return match objective {
            Some(_) => unmeasured("the drill has no workload"),
            None => RecoveryPointActual::default(),
        };
    }
    let onset = match onset {
        Ok(onset) => *onset,
        Err(why) => return unmeasured(why),
    };
    let acknowledged = acknowledged(history);
    let survived =
        |(at, mark): &&(Moment, &MarkHistory)| *at <= onset.injecting && mark.state == Some(MarkState::Survived);
    let newest_survivor = acknowledged.iter().rfind(survived).map(|(at, _)| onset.injecting.since(*at));
    let band = band(history, &acknowledged, onset, objective);
    let mut strict = band.judged(objective);
    let after = acknowledged.iter().filter(|(at, mark)| *at > onset.confirmed && missing(mark)).count();
    if after > 0 {
        strict.verdict = objective.map(|_| Verdict::Missed);
        strict.reason = Some(format!("writes acknowledged after the disaster are missing: {after}"));
    }
    RecoveryPointActual { strict, newest_survivor }
}

/// The marks of the whole run, counted.
pub fn writes(history: &History, onset: &Result<Onset, String>) -> Writes {
    let acknowledged = || history.marks.iter().filter(|mark| mark.acknowledged.is_some());
    let count =
        |states: &[MarkState]| acknowledged().filter(|mark| mark.state.is_some_and(|f| states.contains(&f))).count();
    let all_read = acknowledged().all(|mark| read(mark));
    let known = |states: &[MarkState]| all_read.then(|| count(states) as u64);
    let (sent, acknowledged) = (history.marks.len() as u64, acknowledged().count() as u64);
    Writes {
        sent,
        acknowledged,
        survived: known(&[MarkState::Survived]),
        lost: known(&[MarkState::Lost, MarkState::Resurrected]),
        half: known(&[MarkState::Half]),
        corrupted: known(&[MarkState::Corrupted]),
        resurrected: known(&[MarkState::Resurrected]),
        indeterminate: sent - acknowledged,
        times: figures::write_times(history, onset),
    }
}

/// Every loss by name, in the order of acknowledgement. A delete that was undone is two losses: the lost delete, and the
/// subject that is back.
pub fn losses(history: &History) -> Vec<Loss> {
    let mut losses = vec![];
    for (at, mark) in acknowledged(history).into_iter().filter(|(_, mark)| missing(mark)) {
        let sent = Mark { at: mark.at.map(str::to_owned).or_else(|| mark.mark.at.clone()), ..mark.mark.clone() };
        let at = at.seconds();
        let kind = mark.state.unwrap_or(MarkState::Lost);
        if kind == MarkState::Resurrected {
            losses.push(Loss { kind: MarkState::Lost, name: sent.name(), at });
            losses.push(Loss { kind, name: back(&sent), at });
        } else {
            losses.push(Loss { kind, name: sent.name(), at });
        }
    }
    losses
}

fn back(mark: &Mark) -> String {
    let verb = if mark.operation == Operation::Delete { "deleted" } else { "replaced" };
    let at = mark.at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
    format!("{}{at}, {verb} by mark {}", mark.subject, mark.number)
}

/// The acknowledged marks with the moments of their acknowledgement, oldest first.
fn acknowledged<'h, 'a>(history: &'h History<'a>) -> Vec<(Moment, &'h MarkHistory<'a>)> {
    let mut found: Vec<_> = history.marks.iter().filter_map(|mark| mark.acknowledged.map(|at| (at, mark))).collect();
    found.sort_by_key(|(at, mark)| (*at, mark.mark.number));
    found
}

fn missing(mark: &MarkHistory) -> bool {
    matches!(mark.state, Some(MarkState::Lost | MarkState::Half | MarkState::Corrupted | MarkState::Resurrected))
}

/// How many acknowledged marks could not be read back, of how many.
pub fn unread(history: &History) -> (usize, usize) {
    let acknowledged = acknowledged(history);
    (acknowledged.iter().filter(|(_, mark)| !read(mark)).count(), acknowledged.len())
}

fn read(mark: &MarkHistory) -> bool {
    !matches!(mark.state, None | Some(MarkState::Unread))
}

fn band(history: &History, acknowledged: &[(Moment, &MarkHistory)], onset: Onset, objective: Option<f64>) -> Band {
    let unread = acknowledged.iter().filter(|(_, mark)| !read(mark)).count();
    if unread > 0 {
        let all = acknowledged.len();
        return Band::unmeasured(format!("{unread} of {all} acknowledged writes could not be read back"));
    }
    let oldest = acknowledged.iter().position(|(at, mark)| *at <= onset.confirmed && missing(mark));
    if let Some(oldest) = oldest {
        let at = acknowledged[oldest].0;
        let before = oldest.checked_sub(1).map(|index| acknowledged[index].0);
        let back_to = |at: Moment| onset.confirmed.since(at) + history.suspended(at, onset.confirmed);
        let (low, late) = (onset.injecting.since(at), onset.confirmed.since(at));
        return Band::between(low, f64::midpoint(low, late), before.map(back_to));
    }
    if acknowledged.iter().any(|(_, mark)| missing(mark)) {
        return Band::between(0.0, 0.0, Some(0.0));
    }
    let window = objective.unwrap_or(0.0).max(RECENT_WRITE);
    let recent = |at: Moment| (0.0..=window).contains(&onset.injecting.since(at));
    if acknowledged.iter().any(|(at, _)| recent(*at)) {
        Band::between(0.0, 0.0, Some(0.0))
    } else {
        Band::unmeasured(format!("no write was acknowledged in the {window} s before the onset"))
    }
}

#[cfg(test)]
#[path = "rpa_tests.rs"]
mod tests;
