//! An environment that is only pretended: components with exact times, for tests of the harness itself.
//!
//! With a paused clock a whole drill takes no time and gives the same numbers every time.

use super::{Components, Endpoints, Environment, Inventory, Journal, Permission, Platform, Power, RunContext, Survey};
use crate::client::Error;
use crate::kind::Kind;
use crate::model::{Finding, Receipt, Span};
use crate::node::read;
use async_trait::async_trait;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The kind `simulated`.
pub const KIND: Kind<dyn Environment> = Kind {
    name: "simulated",
    about: "Simulated components with exact times: for trying a runbook's order without a platform.",
    example: "simulated: { components: [mlflow], start: 2s }",
    schema: |g| g.subschema_for::<Simulated>(),
    parse: |n, p| read::<Simulated>(n, p).map(|k| Box::new(k) as _),
};

/// Settings of the pretended platform.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Simulated {
    /// The names of its components; by default those of a real platform.
    #[serde(default = "usual")]
    components: Vec<String>,
    /// How long a component takes to start.
    #[serde(default = "one_second")]
    start: Span,
    /// How long a killed component stays away before the platform starts it by itself; never, if left out.
    #[serde(default)]
    heals: Option<Span>,
}

fn usual() -> Vec<String> {
    ["mlflow", "postgres", "s3"].map(str::to_owned).to_vec()
}

fn one_second() -> Span {
    Span::seconds(1)
}

#[async_trait]
impl Environment for Simulated {
    fn powers(&self) -> Vec<Power> {
        vec![Power::Components]
    }

    fn inventory(&self) -> Inventory {
        Inventory::of(&self.components)
    }

    async fn survey(&self, _: &[Permission]) -> Survey {
        Survey::default()
    }

    async fn provision(&self, run: &RunContext, journal: Arc<dyn Journal>) -> Result<Arc<dyn Platform>, Error> {
        journal.creating(Receipt(json!({ "pretended": run.run }))).await?;
        tokio::time::sleep(self.start.0).await;
        let states =
            self.components.iter().map(|name| (name.clone(), SimulatedState { life: 1, condition: Condition::Runs }));
        Ok(Arc::new(SimulatedPlatform {
            settings: self.clone(),
            states: Arc::new(Mutex::new(states.collect())),
            endpoints: Endpoints::default(),
            run: run.run.clone(),
        }))
    }

    async fn remove(&self, _: &RunContext, _: &[Receipt]) -> Vec<String> {
        vec![]
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Condition {
    Runs,
    Frozen,
    Gone,
}

#[derive(Debug, Clone, Copy)]
struct SimulatedState {
    life: u32,
    condition: Condition,
}

struct SimulatedPlatform {
    settings: Simulated,
    states: Arc<Mutex<BTreeMap<String, SimulatedState>>>,
    endpoints: Endpoints,
    run: String,
}

impl SimulatedPlatform {
    fn state(&self, component: &str) -> Result<SimulatedState, Error> {
        let states = self.states.lock();
        states.get(component).copied().ok_or_else(|| Error::new(format!("component `{component}`"), "there is none"))
    }

    fn change(&self, component: &str, change: impl Fn(&mut SimulatedState)) -> Result<(), Error> {
        self.state(component)?;
        let mut states = self.states.lock();
        states.entry(component.to_owned()).and_modify(change);
        Ok(())
    }
}

#[async_trait]
impl Platform for SimulatedPlatform {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
    fn run(&self) -> Option<&str> {
        Some(&self.run)
    }
    fn components(&self) -> Result<&dyn Components, Error> {
        Ok(self)
    }
    async fn remove(&self) -> Vec<String> {
        vec![]
    }
}

#[async_trait]
impl Components for SimulatedPlatform {
    async fn instance(&self, component: &str) -> Result<Option<String>, Error> {
        let state = self.state(component)?;
        Ok((state.condition != Condition::Gone).then(|| state.life.to_string()))
    }

    async fn kill(&self, component: &str) -> Result<(), Error> {
        self.change(component, |state| state.condition = Condition::Gone)?;
        if let Some(heals) = self.settings.heals {
            let (states, name) = (Arc::clone(&self.states), component.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(heals.0).await;
                let mut states = states.lock();
                states.entry(name).and_modify(restart);
            });
        }
        Ok(())
    }

    async fn stop(&self, component: &str) -> Result<(), Error> {
        self.change(component, |state| state.condition = Condition::Gone)
    }

    async fn start(&self, component: &str) -> Result<(), Error> {
        if self.state(component)?.condition == Condition::Gone {
            tokio::time::sleep(self.settings.start.0).await;
            self.change(component, restart)?;
        }
        Ok(())
    }

    async fn pause(&self, component: &str) -> Result<(), Error> {
        self.change(component, |state| state.condition = Condition::Frozen)
    }

    async fn resume(&self, component: &str) -> Result<(), Error> {
        self.change(component, |state| {
            if state.condition == Condition::Frozen {
                state.condition = Condition::Runs;
            }
        })
    }

    async fn alive(&self, component: &str) -> Finding {
        match self.state(component).map(|state| state.condition) {
            Ok(Condition::Runs) => Finding::met(),
            Ok(Condition::Frozen) => Finding::missed(format!("`{component}` is frozen")),
            Ok(Condition::Gone) => Finding::missed(format!("`{component}` is gone")),
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
}

fn restart(state: &mut SimulatedState) {
    if state.condition == Condition::Gone {
        *state = SimulatedState { life: state.life + 1, condition: Condition::Runs };
    }
}
