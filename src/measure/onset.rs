//! The onset: when did the fault take effect? Between the call that injects it and the sight of its effect.
//!
//! Apart from both numbers because both are counted from here. A fault never seen to take effect gives no number.

use crate::clock::Moment;
use crate::model::{Fact, Finding, Line, Onset, Verdict};

/// What is known of one fault.
#[derive(Debug, Clone, Copy)]
pub struct FaultHistory<'a> {
    /// Its index.
    pub fault: usize,
    /// Its kind.
    pub kind: &'a str,
    /// When the injecting call was made.
    pub injecting: Option<Moment>,
    /// Why the call did not succeed.
    pub error: Option<&'a str>,
    /// When its effect was first seen.
    pub confirmed: Option<Moment>,
    /// The last look for its effect.
    pub finding: Option<&'a Finding>,
}

impl FaultHistory<'_> {
    /// Why it cannot be said that it took effect; none if it did.
    pub fn no_effect(&self) -> Option<String> {
        let Self { kind, .. } = self;
        let because = |finding: &Finding| finding.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        if self.injecting.is_some() && self.confirmed.is_some() {
            return None;
        }
        Some(match (self.injecting, self.error, self.finding) {
            (None, ..) => format!("the fault `{kind}` was not injected"),
            (_, Some(error), _) => format!("the fault `{kind}` could not be injected: {error}"),
            (.., Some(f)) if f.verdict == Verdict::Missed => {
                format!("the fault `{kind}` did not take effect{}", because(f))
            }
            (.., Some(f)) => format!("the fault `{kind}` may not have taken effect{}", because(f)),
            (.., None) => format!("the fault `{kind}` was never seen to take effect"),
        })
    }
}

/// The interval in which the first fault of a timeline bit, or why it cannot be said that it did.
///
/// # Errors
/// When no fault was injected or its effect was never seen: one sentence for the report.
pub fn onset(lines: &[Line]) -> Result<Onset, String> {
    let mut faults = vec![];
    lines.iter().for_each(|line| add(&mut faults, line));
    first(&faults)
}

/// The same from what is known of the faults already.
pub(super) fn first(faults: &[FaultHistory]) -> Result<Onset, String> {
    let injected = faults.iter().filter(|fault| fault.injecting.is_some()).min_by_key(|fault| fault.injecting);
    let fault = injected.or(faults.first()).ok_or("no fault was injected")?;
    match (fault.injecting, fault.confirmed, fault.no_effect()) {
        (Some(injecting), Some(confirmed), _) => Ok(Onset { injecting, confirmed: confirmed.max(injecting) }),
        (.., why) => Err(why.unwrap_or_default()),
    }
}

/// Takes what a line says about a fault, if it does.
pub(super) fn add<'a>(faults: &mut Vec<FaultHistory<'a>>, line: &'a Line) {
    match &line.fact {
        Fact::Intended { fault, kind, .. } => known(faults, *fault).kind = kind,
        Fact::Injecting { fault } => {
            known(faults, *fault).injecting.get_or_insert(line.at);
        }
        Fact::Injected { fault, error } => known(faults, *fault).error = error.as_deref(),
        Fact::Confirmed { fault, finding } => {
            let fault = known(faults, *fault);
            if finding.verdict == Verdict::Met {
                fault.confirmed.get_or_insert(line.at);
            }
            fault.finding = Some(finding);
        }
        _ => {}
    }
}

fn known<'s, 'a>(faults: &'s mut Vec<FaultHistory<'a>>, fault: usize) -> &'s mut FaultHistory<'a> {
    let index = faults.iter().position(|history| history.fault == fault).unwrap_or_else(|| {
        faults.push(FaultHistory { fault, kind: "", injecting: None, error: None, confirmed: None, finding: None });
        faults.len() - 1
    });
    &mut faults[index]
}
