//! What differs, in words: what is gone, what is other than it was, what is there and was not.
//!
//! Pure. Whether a difference is a harm depends on who else writes, and that is judged in one place, [`Differences`].

use crate::model::Finding;
use std::fmt::Write as _;

/// So many differences are in the reason.
const REASONS: usize = 4;
/// So many are among the figures.
const FIGURES: usize = 60;
/// So many names are in one difference.
const NAMED: usize = 3;

/// What a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// It must not be.
    Harm,
    /// It cannot be told whether a user or a loss made it.
    Untold,
    /// It is said, and no judgement rests on it.
    Remark,
}

/// All that differs.
#[derive(Debug, Default)]
pub struct Differences(Vec<(Meaning, String)>);

impl Differences {
    /// One more.
    pub fn push(&mut self, meaning: Meaning, text: impl Into<String>) {
        self.0.push((meaning, text.into()));
    }

    /// One more, about things with names, if there are any.
    pub fn named(&mut self, meaning: Meaning, what: &str, names: &[String]) {
        if !names.is_empty() {
            self.push(meaning, format!("{what} {}", listed(names)));
        }
    }

    /// Missed if there is a harm, else unknown if something cannot be told, else met.
    pub fn finding(mut self) -> Finding {
        self.0.sort_by_key(|(meaning, _)| *meaning); // stable: what was found first is named first
        let of = |meaning| self.0.iter().filter(move |(m, _)| *m == meaning).map(|(_, text)| text.as_str());
        let (harms, untold): (Vec<_>, Vec<_>) = (of(Meaning::Harm).collect(), of(Meaning::Untold).collect());
        let finding = match (harms.as_slice(), untold.as_slice()) {
            ([], []) => Finding::met(),
            ([], untold) => Finding::unknown(reason(untold)),
            (harms, _) => Finding::missed(reason(harms)),
        };
        self.0.iter().take(FIGURES).fold(finding, |finding, (meaning, text)| {
            let name = if *meaning == Meaning::Remark { "remark" } else { "difference" };
            finding.figure(name, text)
        })
    }

    /// What differs so far, for tests.
    #[cfg(test)]
    pub fn texts(&self) -> Vec<(Meaning, &str)> {
        self.0.iter().map(|(meaning, text)| (*meaning, text.as_str())).collect()
    }
}

fn reason(texts: &[&str]) -> String {
    let mut reason = texts[..texts.len().min(REASONS)].join("; ");
    if texts.len() > REASONS {
        let _ = write!(reason, "; and {} more", texts.len() - REASONS);
    }
    reason
}

/// Some of many names.
fn listed(names: &[String]) -> String {
    let some = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED { format!("{some} and {} more", names.len() - NAMED) } else { some }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;

    #[test]
    fn a_harm_is_missed_what_cannot_be_told_is_unknown_and_a_remark_is_neither() {
        let verdict = |meanings: &[Meaning]| {
            let mut differences = Differences::default();
            meanings.iter().for_each(|meaning| differences.push(*meaning, "x"));
            differences.finding().verdict
        };
        assert_eq!(verdict(&[]), Verdict::Met);
        assert_eq!(verdict(&[Meaning::Remark]), Verdict::Met);
        assert_eq!(verdict(&[Meaning::Remark, Meaning::Untold]), Verdict::Unknown);
        assert_eq!(verdict(&[Meaning::Untold, Meaning::Harm]), Verdict::Missed);
    }

    #[test]
    fn the_reason_names_some_and_counts_the_rest() {
        let mut differences = Differences::default();
        let names: Vec<_> = (1..=5).map(|n| format!("`{n}`")).collect();
        differences.named(Meaning::Harm, "gone:", &names);
        differences.named(Meaning::Harm, "nothing:", &[]);
        (0..5).for_each(|n| differences.push(Meaning::Harm, n.to_string()));
        let finding = differences.finding();
        assert_eq!(finding.reason.as_deref(), Some("gone: `1`, `2`, `3` and 2 more; 0; 1; 2; and 2 more"));
        assert_eq!(finding.figures.len(), 6);
    }
}
