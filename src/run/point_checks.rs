//! What the drill's checks say of a recovery point that lies beside the live state.
//!
//! Apart from the verification because there the live state is looked at, and here nothing is replaced yet. Checks that
//! cannot judge a point, because they need clients' endpoints, are left out.

use crate::check::Check;
use crate::engine::PointBeside;
use crate::kind::Chosen;
use crate::model::{Finding, Planted, Verdict};
use crate::recovery::PointChecks;
use async_trait::async_trait;
use std::time::Duration;

/// The longest time that one check may look at a point.
const LOOK: Duration = Duration::from_mins(2);

/// The checks that judge points, with what each of them has planted.
pub struct PlantedChecks<'a>(Vec<(&'a Chosen<dyn Check>, &'a Planted)>);

impl<'a> PlantedChecks<'a> {
    /// Of these checks and what they planted; nothing if none of them judges points.
    pub fn of(checks: &'a [Chosen<dyn Check>], planted: &'a [Planted]) -> Option<Self> {
        let judging: Vec<_> = checks.iter().zip(planted).filter(|(check, _)| check.judges_points()).collect();
        (!judging.is_empty()).then_some(Self(judging))
    }
}

#[async_trait]
impl PointChecks for PlantedChecks<'_> {
    async fn look(&self, beside: &PointBeside<'_>) -> Finding {
        let mut all = Finding::met();
        for (check, planted) in &self.0 {
            let look = tokio::time::timeout(LOOK, check.in_point(beside.platform, beside.objects, planted)).await;
            let finding = look.unwrap_or_else(|_| Finding::unknown("it was not done in time"));
            if finding.verdict != Verdict::Met {
                let reason = finding.reason.unwrap_or_default();
                return Finding { reason: Some(format!("{}: {reason}", check.name)), ..finding };
            }
            all = all.figure(check.name, finding.verdict);
        }
        all
    }
}
