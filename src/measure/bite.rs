//! When did the fault bite? Between the call that injects it and the sight of its effect.
//!
//! Apart from both numbers because both are counted from here. A fault never seen to bite gives no number.

use crate::clock::Moment;
use crate::model::{Fact, Finding, Line, Verdict};

/// The interval in which the first fault bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bite {
    /// The injecting call was made: not before.
    pub injecting: Moment,
    /// Its effect was seen: not after.
    pub confirmed: Moment,
}

/// What is known of one fault.
#[derive(Debug, Clone, Copy)]
pub struct Strike<'a> {
    /// Its index.
    pub fault: usize,
    /// Its kind.
    pub kind: &'a str,
    /// When the injecting call was made.
    pub injecting: Option<Moment>,
    /// Why the call did not succeed.
    pub error: Option<&'a str>,
    /// When its effect was first seen.
    pub bitten: Option<Moment>,
    /// The last look for its effect.
    pub finding: Option<&'a Finding>,
}

impl Strike<'_> {
    /// Why it cannot be said that it bit; none if it did.
    pub fn harmless(&self) -> Option<String> {
        let Self { kind, .. } = self;
        let because = |finding: &Finding| finding.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        if self.injecting.is_some() && self.bitten.is_some() {
            return None;
        }
        Some(match (self.injecting, self.error, self.finding) {
            (None, ..) => format!("the fault `{kind}` was not injected"),
            (_, Some(error), _) => format!("the fault `{kind}` could not be injected: {error}"),
            (.., Some(f)) if f.verdict == Verdict::Missed => format!("the fault `{kind}` did not bite{}", because(f)),
            (.., Some(f)) => format!("the fault `{kind}` may not have bitten{}", because(f)),
            (.., None) => format!("the fault `{kind}` was never seen to bite"),
        })
    }
}

/// The interval in which the first fault of a timeline bit, or why it cannot be said that it did.
///
/// # Errors
/// When no fault was injected or its effect was never seen: one sentence for the report.
pub fn bite(lines: &[Line]) -> Result<Bite, String> {
    let mut strikes = vec![];
    lines.iter().for_each(|line| strike(&mut strikes, line));
    first(&strikes)
}

/// The same from what is known of the faults already.
pub(super) fn first(strikes: &[Strike]) -> Result<Bite, String> {
    let injected = strikes.iter().filter(|strike| strike.injecting.is_some()).min_by_key(|strike| strike.injecting);
    let strike = injected.or(strikes.first()).ok_or("no fault was injected")?;
    match (strike.injecting, strike.bitten, strike.harmless()) {
        (Some(injecting), Some(bitten), _) => Ok(Bite { injecting, confirmed: bitten.max(injecting) }),
        (.., why) => Err(why.unwrap_or_default()),
    }
}

/// Takes what a line says about a fault, if it does.
pub(super) fn strike<'a>(strikes: &mut Vec<Strike<'a>>, line: &'a Line) {
    match &line.fact {
        Fact::Intended { fault, kind, .. } => known(strikes, *fault).kind = kind,
        Fact::Injecting { fault } => {
            known(strikes, *fault).injecting.get_or_insert(line.at);
        }
        Fact::Injected { fault, error } => known(strikes, *fault).error = error.as_deref(),
        Fact::Confirmed { fault, finding } => {
            let strike = known(strikes, *fault);
            if finding.verdict == Verdict::Met {
                strike.bitten.get_or_insert(line.at);
            }
            strike.finding = Some(finding);
        }
        _ => {}
    }
}

fn known<'s, 'a>(strikes: &'s mut Vec<Strike<'a>>, fault: usize) -> &'s mut Strike<'a> {
    let index = strikes.iter().position(|strike| strike.fault == fault).unwrap_or_else(|| {
        strikes.push(Strike { fault, kind: "", injecting: None, error: None, bitten: None, finding: None });
        strikes.len() - 1
    });
    &mut strikes[index]
}
