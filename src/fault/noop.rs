//! The fault that does nothing: a drill with it must end unknown, which shows that a fault without effect is seen.

use super::{Fault, Nature};
use crate::client::Error;
use crate::environment::{Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

/// `noop: {}`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "noop",
    about: "Does nothing; a drill with it can only end unknown.",
    example: "noop: {}",
    schema: |g| g.subschema_for::<Noop>(),
    parse: |n, p| read::<Noop>(n, p).map(|k| Box::new(k) as _),
};

/// Does nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Noop {}

#[async_trait]
impl Fault for Noop {
    fn nature(&self) -> Nature {
        Nature::Crash
    }
    fn needs(&self) -> &'static [Power] {
        &[]
    }
    fn targets(&self, _: &Inventory) -> Vec<String> {
        vec!["nothing".into()] // an empty answer would be refused by the plan
    }
    async fn intend(&self, _: &dyn Platform) -> Result<Receipt, Error> {
        Ok(Receipt(serde_json::Value::Null))
    }
    async fn inject(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(())
    }
    async fn confirm(&self, _: &dyn Platform, _: &Receipt) -> Finding {
        Finding::missed("nothing was done, so nothing took effect")
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(())
    }
}
