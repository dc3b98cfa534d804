//! Recovery point actual: from the bite back to the oldest acknowledged write that is missing.
//!
//! Apart from the recovery time: this reads only the marks. Strict: one hole in the past counts although
//! younger writes survived; the newest survivor is given beside it.

use super::band::Band;
use super::bite::Bite;
use super::history::{History, Track};
use crate::clock::Moment;
use crate::model::ledger::Act;
use crate::model::report::{Loss, RecoveryPointActual, Writes};
use crate::model::{Fate, Mark, Verdict};

/// A write this short before the bite is asked for at least, so that a loss of nothing means something.
const WITNESS: f64 = 5.0;

/// The recovery point, judged.
pub fn recovery_point(history: &History, bite: &Result<Bite, String>) -> RecoveryPointActual {
    let objective = history.terms.objectives.rpo.map(crate::model::Span::as_seconds);
    let unmeasured =
        |why: &str| RecoveryPointActual { strict: Band::unmeasured(why).judged(objective), newest_survivor: None };
    if !history.terms.workload {
        return match objective {
            Some(_) => unmeasured("nobody wrote: the drill has no workload"),
            None => RecoveryPointActual::default(),
        };
    }
    let bite = match bite {
        Ok(bite) => *bite,
        Err(why) => return unmeasured(why),
    };
    let acknowledged = acknowledged(history);
    let survived = |(at, track): &&(Moment, &Track)| *at <= bite.injecting && track.fate == Some(Fate::Survived);
    let newest_survivor = acknowledged.iter().rfind(survived).map(|(at, _)| bite.injecting.since(*at));
    let band = band(&acknowledged, bite, objective);
    let mut strict = band.judged(objective);
    let after = acknowledged.iter().filter(|(at, track)| *at > bite.confirmed && missing(track)).count();
    if after > 0 {
        strict.verdict = objective.map(|_| Verdict::Missed);
        strict.reason = Some(format!("{after} writes acknowledged after the disaster are missing"));
    }
    RecoveryPointActual { strict, newest_survivor }
}

/// The marks of the whole run, counted.
pub fn writes(history: &History) -> Writes {
    let acknowledged = || history.tracks.iter().filter(|track| track.acknowledged.is_some());
    let count = |fates: &[Fate]| acknowledged().filter(|track| track.fate.is_some_and(|f| fates.contains(&f))).count();
    let all_read = acknowledged().all(|track| read(track));
    let known = |fates: &[Fate]| all_read.then(|| count(fates) as u64);
    let (sent, acknowledged) = (history.tracks.len() as u64, acknowledged().count() as u64);
    Writes {
        sent,
        acknowledged,
        survived: known(&[Fate::Survived]),
        lost: known(&[Fate::Lost, Fate::Resurrected]),
        half: known(&[Fate::Half]),
        corrupted: known(&[Fate::Corrupted]),
        resurrected: known(&[Fate::Resurrected]),
        indeterminate: sent - acknowledged,
    }
}

/// Every loss by name, in the order of acknowledgement. A delete that was undone is two: the delete, and what is back.
pub fn losses(history: &History) -> Vec<Loss> {
    let mut losses = vec![];
    for (at, track) in acknowledged(history).into_iter().filter(|(_, track)| missing(track)) {
        let mark = Mark { at: track.at.map(str::to_owned).or_else(|| track.mark.at.clone()), ..track.mark.clone() };
        let at = at.seconds();
        let kind = track.fate.unwrap_or(Fate::Lost);
        if kind == Fate::Resurrected {
            losses.push(Loss { kind: Fate::Lost, name: mark.name(), at });
            losses.push(Loss { kind, name: back(&mark), at });
        } else {
            losses.push(Loss { kind, name: mark.name(), at });
        }
    }
    losses
}

fn back(mark: &Mark) -> String {
    let verb = if mark.act == Act::Delete { "deleted" } else { "replaced" };
    let at = mark.at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
    format!("{}{at}, {verb} by mark {}", mark.subject, mark.number)
}

/// The acknowledged marks with the moment of it, oldest first.
fn acknowledged<'h, 'a>(history: &'h History<'a>) -> Vec<(Moment, &'h Track<'a>)> {
    let mut found: Vec<_> =
        history.tracks.iter().filter_map(|track| track.acknowledged.map(|at| (at, track))).collect();
    found.sort_by_key(|(at, track)| (*at, track.mark.number));
    found
}

fn missing(track: &Track) -> bool {
    matches!(track.fate, Some(Fate::Lost | Fate::Half | Fate::Corrupted | Fate::Resurrected))
}

fn read(track: &Track) -> bool {
    !matches!(track.fate, None | Some(Fate::Unread))
}

fn band(acknowledged: &[(Moment, &Track)], bite: Bite, objective: Option<f64>) -> Band {
    let unread = acknowledged.iter().filter(|(_, track)| !read(track)).count();
    if unread > 0 {
        let all = acknowledged.len();
        return Band::unmeasured(format!("{unread} of {all} acknowledged writes could not be read back"));
    }
    let oldest = acknowledged.iter().position(|(at, track)| *at <= bite.confirmed && missing(track));
    if let Some(oldest) = oldest {
        let at = acknowledged[oldest].0;
        let before = oldest.checked_sub(1).map(|index| acknowledged[index].0);
        let (low, late) = (bite.injecting.since(at), bite.confirmed.since(at));
        return Band::between(low, f64::midpoint(low, late), before.map(|before| bite.confirmed.since(before)));
    }
    if acknowledged.iter().any(|(_, track)| missing(track)) {
        return Band::between(0.0, 0.0, Some(0.0));
    }
    let window = objective.unwrap_or(0.0).max(WITNESS);
    let witnessed = |at: Moment| (0.0..=window).contains(&bite.injecting.since(at));
    if acknowledged.iter().any(|(at, _)| witnessed(*at)) {
        Band::between(0.0, 0.0, Some(0.0))
    } else {
        Band::unmeasured(format!("nobody wrote in the {window} s before the bite"))
    }
}

#[cfg(test)]
#[path = "rpa_tests.rs"]
mod tests;
