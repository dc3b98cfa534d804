//! The disaster: intent on disk, the act, and the proof that it bit.

use super::stage::Stage;
use crate::client::Trouble;
use crate::clock::Moment;
use crate::model::{Fact, Finding, Verdict};
use std::time::Duration;

/// A fault whose effect is not seen within this time did not bite.
const CONFIRM: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// When a disaster struck: the truth lies between the two.
#[derive(Debug, Clone, Copy)]
pub struct Bite {
    /// The first call that injects.
    pub earliest: Moment,
    /// The effect of every fault was observed.
    pub latest: Moment,
}

/// Injects every fault in turn; none if one of them did not bite.
pub async fn strike(stage: &Stage) -> Result<Option<Bite>, Trouble> {
    let (env, scribe) = (stage.env()?, &stage.scribe);
    let mut earliest = None;
    for (index, fault) in stage.plan.faults.iter().enumerate() {
        let receipt = fault.intend(env.as_ref()).await?;
        let intent = Fact::Intended { fault: index, kind: fault.name.to_owned(), receipt: receipt.clone() };
        scribe.swear(intent).await?;
        stage.intend(index, receipt.clone());
        earliest.get_or_insert(scribe.clock().now());
        scribe.tell(Fact::Injecting { fault: index });
        let error = fault.inject(env.as_ref(), &receipt).await.err().map(|trouble| trouble.to_string());
        scribe.tell(Fact::Injected { fault: index, error });
        let deadline = scribe.clock().now().plus(CONFIRM);
        let finding = loop {
            let confirm = tokio::time::timeout(CONFIRM, fault.confirm(env.as_ref(), &receipt)).await;
            let finding = confirm.unwrap_or_else(|_| Finding::unknown("its effect could not be looked for in time"));
            if finding.verdict == Verdict::Met || scribe.clock().now() >= deadline {
                break finding;
            }
            tokio::time::sleep(LOOK).await;
        };
        let bit = finding.verdict == Verdict::Met;
        scribe.tell(Fact::Confirmed { fault: index, finding });
        if !bit {
            return Ok(None);
        }
    }
    Ok(earliest.map(|earliest| Bite { earliest, latest: scribe.clock().now() }))
}
