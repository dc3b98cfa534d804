//! The check `performance`: searches are as fast after the recovery as users expect.
//!
//! A restore without the planner's statistics or an index gives right answers, but slowly.

use super::Check;
use crate::client::{Error, mlflow::Mlflow, tasks};
use crate::clock::Clock;
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Period, Planted};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Ten searches of experiments, each fast enough.
pub const KIND: Kind<dyn Check> = Kind {
    name: "performance",
    about: "Ten searches of experiments, one after the other, each answered in time.",
    example: "performance: { within: 500ms }",
    schema: |g| g.subschema_for::<Performance>(),
    parse: |n, p| read::<Performance>(n, p).map(|k| Box::new(k) as _),
};

/// What is fast enough.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Performance {
    /// How long one search may take: 500ms.
    #[serde(default = "within")]
    within: Period,
}

fn within() -> Period {
    Period::milliseconds(500)
}

const SEARCHES: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(10);

#[async_trait]
impl Check for Performance {
    fn needs(&self) -> &'static [Power] {
        &[Power::Mlflow]
    }

    async fn plant(&self, _: &dyn Platform, _: &str) -> Result<Planted, Error> {
        Ok(Planted(Value::Null))
    }

    async fn verify(&self, platform: &dyn Platform, _: &Planted, _: Option<&Planted>) -> Finding {
        let Some(base) = platform.endpoints().mlflow.as_deref() else {
            return Finding::unknown("the environment has no MLflow to ask");
        };
        let mlflow = match Mlflow::pooled(base, TIMEOUT) {
            Ok(mlflow) => mlflow,
            Err(error) => return Finding::unknown(error.to_string()),
        };
        // The connection that the searches use is made before they are measured.
        if let Err(error) = mlflow.health().await {
            return Finding::missed(format!("MLflow does not answer: {}", tasks::short(&error)));
        }
        let (clock, mut slowest) = (Clock::start(), 0.0_f64);
        for number in 1..=SEARCHES {
            let asked = clock.now();
            if let Err(error) = mlflow.post("experiments/search", &json!({ "max_results": 100 })).await {
                return Finding::missed(format!("search {number} of {SEARCHES} failed: {}", tasks::short(&error)));
            }
            slowest = slowest.max(clock.now().since(asked));
        }
        judge(slowest, self.within).figure("slowest search", format!("{slowest:.3} s"))
    }

    async fn clear(&self, _: &dyn Platform, _: &Planted) -> Result<(), Error> {
        Ok(())
    }
}

fn judge(slowest: f64, within: Period) -> Finding {
    if slowest <= within.as_seconds() {
        return Finding::met();
    }
    Finding::missed(format!("a search took {slowest:.3} s, more than {within}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;

    #[test]
    fn a_slow_search_is_missed() {
        assert_eq!(judge(0.2, within()).verdict, Verdict::Met);
        let finding = judge(0.7, within());
        assert_eq!(finding.verdict, Verdict::Missed);
        assert!(finding.reason.is_some_and(|why| why.contains("0.700 s")));
    }
}
