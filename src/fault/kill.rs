//! The fault that ends a component at once, with all its processes: a crash, an OOM kill, a lost node.

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::environment::{Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt, Verdict};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `kill: { component: mlflow }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "kill",
    about: "Ends a component at once, with all its processes.",
    example: "kill: { component: mlflow }",
    schema: |g| g.subschema_for::<Kill>(),
    parse: |n, p| read::<Kill>(n, p).map(|k| Box::new(k) as _),
};

/// Ends a component at once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Kill {
    /// The component to kill.
    component: String,
}

/// Who was killed: a component that was started again is another instance.
#[derive(Debug, Serialize, Deserialize)]
struct KilledInstance {
    component: String,
    instance: String,
}

#[async_trait]
impl Fault for Kill {
    fn nature(&self) -> Nature {
        Nature::Crash
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Components]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.component(&self.component)
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let component = self.component.clone();
        let Some(instance) = platform.components()?.instance(&component).await? else {
            return Err(Error::new(format!("cannot kill `{component}`"), "it does not run"));
        };
        Ok(Receipt(serde_json::json!(KilledInstance { component, instance })))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        platform.components()?.kill(&recall::<KilledInstance>(receipt)?.component).await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let (power, killed) = match (platform.components(), recall::<KilledInstance>(receipt)) {
            (Ok(power), Ok(killed)) => (power, killed),
            (Err(error), _) | (_, Err(error)) => return Finding::unknown(error.to_string()),
        };
        let KilledInstance { component, instance } = killed;
        match power.instance(&component).await {
            Err(error) => return Finding::unknown(error.to_string()),
            Ok(now) if now.as_ref() != Some(&instance) => return Finding::met(),
            Ok(_) => {}
        }
        let alive = power.alive(&component).await;
        match alive.verdict {
            Verdict::Missed => Finding::met(),
            Verdict::Met => Finding::missed(format!("`{component}` still runs as {instance}")),
            Verdict::Unknown => alive,
        }
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a restart brings it back
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::{Components, Endpoints};
    use std::sync::Mutex;

    struct Alone(Mutex<Option<String>>, Endpoints);

    impl Alone {
        fn runs(&self, instance: Option<&str>) {
            *self.0.lock().unwrap() = instance.map(str::to_owned);
        }
    }

    #[async_trait]
    impl Platform for Alone {
        fn endpoints(&self) -> &Endpoints {
            &self.1
        }
        fn components(&self) -> Result<&dyn Components, Error> {
            Ok(self)
        }
        async fn remove(&self) -> Vec<String> {
            vec![]
        }
    }

    #[async_trait]
    impl Components for Alone {
        async fn instance(&self, _: &str) -> Result<Option<String>, Error> {
            Ok(self.0.lock().unwrap().clone())
        }
        async fn kill(&self, component: &str) -> Result<(), Error> {
            self.stop(component).await
        }
        async fn stop(&self, _: &str) -> Result<(), Error> {
            self.runs(None);
            Ok(())
        }
        async fn start(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }
        async fn pause(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }
        async fn resume(&self, _: &str) -> Result<(), Error> {
            Ok(())
        }
        async fn alive(&self, _: &str) -> Finding {
            if self.0.lock().unwrap().is_some() { Finding::met() } else { Finding::missed("gone") }
        }
    }

    #[tokio::test]
    async fn a_kill_has_taken_effect_when_the_instance_that_ran_is_gone() {
        let (platform, kill) = (Alone(Mutex::default(), Endpoints::default()), Kill { component: "mlflow".into() });
        assert!(kill.intend(&platform).await.is_err(), "nothing runs that could be killed");
        platform.runs(Some("pid 1"));
        let receipt = kill.intend(&platform).await.unwrap();
        assert_eq!(kill.confirm(&platform, &receipt).await.verdict, Verdict::Missed);
        kill.inject(&platform, &receipt).await.unwrap();
        assert_eq!(kill.confirm(&platform, &receipt).await, Finding::met());
        platform.runs(Some("pid 2"));
        assert_eq!(
            kill.confirm(&platform, &receipt).await,
            Finding::met(),
            "started again by somebody: it took effect all the same"
        );
    }

    #[test]
    fn a_component_that_is_not_there_is_no_target() {
        let kill = Kill { component: "mlflow".into() };
        assert_eq!(kill.targets(&Inventory::of(["mlflow", "postgres"])), ["mlflow"]);
        assert!(kill.targets(&Inventory::of(["postgres"])).is_empty());
    }
}
