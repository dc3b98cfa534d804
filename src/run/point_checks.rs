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
            let objects = beside.artifacts.map(|artifacts| artifacts.objects);
            let look = tokio::time::timeout(LOOK, check.in_point(beside.platform, objects, planted)).await;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::Error;
    use crate::environment::{Endpoints, Platform};
    use serde_json::{Value, json};
    use std::sync::Arc;

    #[derive(Default)]
    struct Beside(Endpoints);

    #[async_trait]
    impl Platform for Beside {
        fn endpoints(&self) -> &Endpoints {
            &self.0
        }
        async fn remove(&self) -> Vec<String> {
            vec![]
        }
    }

    /// Finds what was planted for it: nothing harmed, a harm, or that it cannot be told. It judges points if so told.
    struct Planned(bool);

    #[async_trait]
    impl Check for Planned {
        fn judges_points(&self) -> bool {
            self.0
        }
        async fn plant(&self, _: &dyn Platform, _: &str) -> Result<Planted, Error> {
            Ok(Planted(Value::Null))
        }
        async fn verify(&self, _: &dyn Platform, planted: &Planted, _: Option<&Planted>) -> Finding {
            match planted.0.as_str() {
                Some("unknown") => Finding::unknown("no answer"),
                Some(harm) => Finding::missed(harm),
                None => Finding::met(),
            }
        }
        async fn clear(&self, _: &dyn Platform, _: &Planted) -> Result<(), Error> {
            Ok(())
        }
    }

    async fn looked(planted: &[(&'static str, bool, Value)]) -> Option<Finding> {
        let node = || crate::node::parse("{}").unwrap();
        let check = |(name, judges, _): &(&'static str, bool, Value)| Chosen {
            name,
            node: node(),
            it: Arc::new(Planned(*judges)) as Arc<dyn Check>,
        };
        let checks: Vec<_> = planted.iter().map(check).collect();
        let planted: Vec<_> = planted.iter().map(|(_, _, value)| Planted(value.clone())).collect();
        let platform = Beside::default();
        let checks = PlantedChecks::of(&checks, &planted)?;
        Some(checks.look(&PointBeside { platform: &platform, artifacts: None }).await)
    }

    #[tokio::test]
    async fn a_point_is_clean_only_if_every_check_that_judges_points_says_so() {
        let clean = |name| (name, true, Value::Null);
        let met = looked(&[clean("a"), ("clients only", false, json!("a harm")), clean("b")]).await.unwrap();
        assert_eq!((met.verdict, met.figures.len()), (Verdict::Met, 2));
        let harmed = looked(&[clean("a"), ("b", true, json!("rows are gone"))]).await.unwrap();
        assert_eq!((harmed.verdict, harmed.reason.as_deref()), (Verdict::Missed, Some("b: rows are gone")));
        let untold = looked(&[("a", true, json!("unknown")), clean("b")]).await.unwrap();
        assert_eq!((untold.verdict, untold.reason.as_deref()), (Verdict::Unknown, Some("a: no answer")));
        assert_eq!(looked(&[("clients only", false, Value::Null)]).await, None, "nobody can tell");
    }
}
