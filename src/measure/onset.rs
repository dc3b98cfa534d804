//! The onset: the fault took effect between the call that injects it and the observation of its effect.
//!
//! Apart because recovery time and recovery point are both counted from it. Without an observed effect there is neither.

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
    /// When its effect was first observed.
    pub confirmed: Option<Moment>,
    /// The last look for its effect.
    pub finding: Option<&'a Finding>,
}

impl FaultHistory<'_> {
    /// Why it is not known to have taken effect; none if it has.
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
            (.., None) => format!("the effect of the fault `{kind}` was never observed"),
        })
    }
}

/// The interval in which the first fault of a timeline took effect, or why none is known to have done so.
///
/// # Errors
/// When no fault was injected or its effect was never observed: one sentence for the report.
pub fn onset(lines: &[Line]) -> Result<Onset, String> {
    let mut faults = vec![];
    lines.iter().for_each(|line| add(&mut faults, line));
    first(&faults)
}

/// The same from faults that have been read already.
pub(super) fn first(faults: &[FaultHistory]) -> Result<Onset, String> {
    let injected = faults.iter().filter(|fault| fault.injecting.is_some()).min_by_key(|fault| fault.injecting);
    let fault = injected.or(faults.first()).ok_or("no fault was injected")?;
    match (fault.injecting, fault.confirmed, fault.no_effect()) {
        (Some(injecting), Some(confirmed), _) => Ok(Onset { injecting, confirmed: confirmed.max(injecting) }),
        (.., why) => Err(why.unwrap_or_default()),
    }
}

/// Adds what a line says about a fault, if anything.
pub(super) fn add<'a>(faults: &mut Vec<FaultHistory<'a>>, line: &'a Line) {
    match &line.fact {
        Fact::Intended { fault, kind, .. } => entry(faults, *fault).kind = kind,
        Fact::Injecting { fault } => {
            entry(faults, *fault).injecting.get_or_insert(line.at);
        }
        Fact::Injected { fault, error } => entry(faults, *fault).error = error.as_deref(),
        Fact::Confirmed { fault, finding } => {
            let fault = entry(faults, *fault);
            if finding.verdict == Verdict::Met {
                fault.confirmed.get_or_insert(line.at);
            }
            fault.finding = Some(finding);
        }
        _ => {}
    }
}

fn entry<'s, 'a>(faults: &'s mut Vec<FaultHistory<'a>>, fault: usize) -> &'s mut FaultHistory<'a> {
    let index = faults.iter().position(|history| history.fault == fault).unwrap_or_else(|| {
        faults.push(FaultHistory { fault, kind: "", injecting: None, error: None, confirmed: None, finding: None });
        faults.len() - 1
    });
    &mut faults[index]
}
