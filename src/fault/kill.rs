//! The fault that ends a component at once, with all its processes: a crash, an OOM kill, a lost node.

use super::{Fault, Nature, recall};
use crate::client::Trouble;
use crate::environment::{Environment, Inventory, Power};
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
struct Killed {
    component: String,
    instance: String,
}

#[async_trait]
impl Fault for Kill {
    fn nature(&self) -> Nature {
        Nature::Damage
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Components]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.component(&self.component)
    }
    async fn intend(&self, env: &dyn Environment) -> Result<Receipt, Trouble> {
        let component = self.component.clone();
        let Some(instance) = env.components()?.instance(&component).await? else {
            return Err(Trouble::new(format!("cannot kill `{component}`"), "it does not run"));
        };
        Ok(Receipt(serde_json::json!(Killed { component, instance })))
    }
    async fn inject(&self, env: &dyn Environment, receipt: &Receipt) -> Result<(), Trouble> {
        env.components()?.kill(&recall::<Killed>(receipt)?.component).await
    }
    async fn confirm(&self, env: &dyn Environment, receipt: &Receipt) -> Finding {
        let (power, killed) = match (env.components(), recall::<Killed>(receipt)) {
            (Ok(power), Ok(killed)) => (power, killed),
            (Err(trouble), _) | (_, Err(trouble)) => return Finding::unknown(trouble.to_string()),
        };
        let Killed { component, instance } = killed;
        match power.instance(&component).await {
            Err(trouble) => return Finding::unknown(trouble.to_string()),
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
    async fn lift(&self, _: &dyn Environment, _: &Receipt) -> Result<(), Trouble> {
        Ok(()) // damage: only recovery mends it
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::{Components, Doors};
    use std::sync::Mutex;

    struct Alone(Mutex<Option<String>>, Doors);

    impl Alone {
        fn runs(&self, instance: Option<&str>) {
            *self.0.lock().unwrap() = instance.map(str::to_owned);
        }
    }

    #[async_trait]
    impl Environment for Alone {
        fn doors(&self) -> &Doors {
            &self.1
        }
        fn components(&self) -> Result<&dyn Components, Trouble> {
            Ok(self)
        }
        async fn remove(&self) -> Vec<String> {
            vec![]
        }
    }

    #[async_trait]
    impl Components for Alone {
        async fn instance(&self, _: &str) -> Result<Option<String>, Trouble> {
            Ok(self.0.lock().unwrap().clone())
        }
        async fn kill(&self, component: &str) -> Result<(), Trouble> {
            self.stop(component).await
        }
        async fn stop(&self, _: &str) -> Result<(), Trouble> {
            self.runs(None);
            Ok(())
        }
        async fn start(&self, _: &str) -> Result<(), Trouble> {
            Ok(())
        }
        async fn pause(&self, _: &str) -> Result<(), Trouble> {
            Ok(())
        }
        async fn resume(&self, _: &str) -> Result<(), Trouble> {
            Ok(())
        }
        async fn alive(&self, _: &str) -> Finding {
            if self.0.lock().unwrap().is_some() { Finding::met() } else { Finding::missed("gone") }
        }
    }

    #[tokio::test]
    async fn a_kill_has_bitten_when_the_instance_that_ran_is_gone() {
        let (env, kill) = (Alone(Mutex::default(), Doors::default()), Kill { component: "mlflow".into() });
        assert!(kill.intend(&env).await.is_err(), "nothing runs that could be killed");
        env.runs(Some("pid 1"));
        let receipt = kill.intend(&env).await.unwrap();
        assert_eq!(kill.confirm(&env, &receipt).await.verdict, Verdict::Missed);
        kill.inject(&env, &receipt).await.unwrap();
        assert_eq!(kill.confirm(&env, &receipt).await, Finding::met());
        env.runs(Some("pid 2"));
        assert_eq!(
            kill.confirm(&env, &receipt).await,
            Finding::met(),
            "started again by somebody: it bit all the same"
        );
    }

    #[test]
    fn a_component_that_is_not_there_is_no_target() {
        let kill = Kill { component: "mlflow".into() };
        assert_eq!(kill.targets(&Inventory::of(["mlflow", "postgres"])), ["mlflow"]);
        assert!(kill.targets(&Inventory::of(["postgres"])).is_empty());
    }
}
