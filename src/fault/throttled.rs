//! The fault that leaves a component too little of the processors, as a noisy neighbour or a limit set too low would.
//!
//! A limit takes effect only when it holds something back: who wants less than it leaves is not hit, however low it is.

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::environment::{Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `throttled: { component: mlflow, cpus: 0.1 }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "throttled",
    about: "Leaves a component no more than a share of the processors, until it is lifted.",
    example: "throttled: { component: mlflow, cpus: 0.1 }",
    schema: |g| g.subschema_for::<ThrottledFile>(),
    parse: |n, p| read::<Throttled>(n, p).map(|k| Box::new(k) as _),
};

/// The least that can be left, in processors: the kernel takes no shorter time of a period.
const LEAST: f64 = 0.01;
/// The most, far above what machines have.
const MOST: f64 = 1024.0;

/// Leaves a component no more than a share of the processors.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Throttled")]
struct ThrottledFile {
    /// The component.
    component: String,
    /// How many processors it may take, such as 0.1.
    #[schemars(range(min = 0.01, max = 1024.0))]
    cpus: f64,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "ThrottledFile")]
struct Throttled {
    component: String,
    /// Thousandths of a processor.
    limit: u64,
}

impl TryFrom<ThrottledFile> for Throttled {
    type Error = String;

    fn try_from(ThrottledFile { component, cpus }: ThrottledFile) -> Result<Self, String> {
        if !(LEAST..=MOST).contains(&cpus) {
            return Err(format!("`cpus` is from {LEAST} to {MOST}, not {cpus}"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within the bounds above
        let limit = (cpus * 1000.0).round() as u64;
        Ok(Self { component, limit })
    }
}

/// Who was throttled; what it may take before and meanwhile, in thousandths of a processor; and how often it had been
/// held back before.
#[derive(Debug, Serialize, Deserialize)]
struct ThrottledComponent {
    component: String,
    before: Option<u64>,
    meanwhile: u64,
    throttled: u64,
}

#[async_trait]
impl Fault for Throttled {
    fn nature(&self) -> Nature {
        Nature::Condition
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Cpu]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.component(&self.component)
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let (component, meanwhile) = (self.component.clone(), self.limit);
        let now = platform.cpu()?.cpu(&component).await?;
        if now.limit.is_some_and(|limit| limit <= meanwhile) {
            return Err(Error::new(format!("cannot throttle `{component}`"), "it may take no more already"));
        }
        let held = ThrottledComponent { component, before: now.limit, meanwhile, throttled: now.throttled };
        Ok(Receipt(serde_json::json!(held)))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let ThrottledComponent { component, meanwhile, .. } = recall(receipt)?;
        platform.cpu()?.throttle(&component, Some(meanwhile)).await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        took_effect(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let ThrottledComponent { component, before, meanwhile, .. } = recall(receipt)?;
        let cpu = platform.cpu()?;
        if cpu.cpu(&component).await?.limit != Some(meanwhile) {
            return Ok(()); // it is no longer as the fault left it
        }
        cpu.throttle(&component, before).await
    }
}

/// The limit is there, and the kernel has held the component back since.
async fn took_effect(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let ThrottledComponent { component, meanwhile, throttled, .. } = recall(receipt)?;
    let now = platform.cpu()?.cpu(&component).await?;
    Ok(if now.limit != Some(meanwhile) {
        Finding::missed(format!("`{component}` is not held to {meanwhile} thousandths of a processor"))
    } else if now.throttled <= throttled {
        Finding::missed(format!("`{component}` was never held back: it wants no more than it may take"))
    } else {
        Finding::met()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::{Cpu, CpuUse, Endpoints};
    use crate::model::Verdict;
    use std::sync::Mutex;

    struct Alone(Mutex<CpuUse>, Endpoints);

    #[async_trait]
    impl Platform for Alone {
        fn endpoints(&self) -> &Endpoints {
            &self.1
        }
        fn cpu(&self) -> Result<&dyn Cpu, Error> {
            Ok(self)
        }
        async fn remove(&self) -> Vec<String> {
            vec![]
        }
    }

    #[async_trait]
    impl Cpu for Alone {
        async fn cpu(&self, _: &str) -> Result<CpuUse, Error> {
            Ok(*self.0.lock().unwrap())
        }
        async fn throttle(&self, _: &str, limit: Option<u64>) -> Result<(), Error> {
            self.0.lock().unwrap().limit = limit;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_limit_has_taken_effect_when_it_held_something_back_and_is_lifted_only_while_it_is_ours() {
        let (platform, fault) = (
            Alone(Mutex::new(CpuUse { limit: Some(2000), throttled: 7 }), Endpoints::default()),
            Throttled { component: "mlflow".into(), limit: 100 },
        );
        let receipt = fault.intend(&platform).await.unwrap();
        assert_eq!(fault.confirm(&platform, &receipt).await.verdict, Verdict::Missed, "nothing was done yet");
        fault.inject(&platform, &receipt).await.unwrap();
        assert!(fault.confirm(&platform, &receipt).await.reason.unwrap().contains("never held back"));
        assert!(fault.intend(&platform).await.is_err(), "less is not taken away twice");
        platform.0.lock().unwrap().throttled = 8;
        assert_eq!(fault.confirm(&platform, &receipt).await, Finding::met());
        fault.lift(&platform, &receipt).await.unwrap();
        assert_eq!(platform.0.lock().unwrap().limit, Some(2000));
        platform.throttle("mlflow", Some(500)).await.unwrap(); // somebody else's
        fault.lift(&platform, &receipt).await.unwrap();
        assert_eq!(platform.0.lock().unwrap().limit, Some(500));
    }

    #[test]
    fn a_share_that_no_kernel_takes_is_refused() {
        let fault = |cpus: f64| Throttled::try_from(ThrottledFile { component: "mlflow".into(), cpus });
        assert_eq!(fault(0.1).unwrap().limit, 100);
        assert_eq!(fault(1.5).unwrap().limit, 1500);
        for cpus in [0.0, 0.001, -1.0, 1e9, f64::NAN] {
            assert!(fault(cpus).unwrap_err().contains("`cpus` is from 0.01 to 1024"), "{cpus}");
        }
    }
}
