//! The check `database-health`: the database keeps its own rules, and the pages of its tables and indexes are whole.
//!
//! A server answers on a damaged page or a broken rule only when a client happens to come by. This check comes by
//! everywhere: it reads every table and every B-tree index by the server's own module `amcheck`, and asks which rules
//! rows break. It needs no picture of before, and so it does not say what is gone: that is the check `contents`.
//!
//! It uses one connection and one processor of the server: 3 million metrics cost that 7 s (PostgreSQL 15; 4.4 s of them
//! for the index of six columns, because every row is looked up in it). Not looked at: indexes of other kinds, large
//! objects, and pages whose damage the server's memory hides, because it read them before.

mod pages;
mod rules;

use super::Check;
use super::contents::{Differences, Meaning};
use crate::client::Error;
use crate::clock::Deadline;
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Planted};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// Pages, indexes, constraints and sequences.
pub const KIND: Kind<dyn Check> = Kind {
    name: "database-health",
    about: "Every page of every table and index is whole, and no constraint, index or sequence is broken.",
    example: "database-health: {}",
    schema: |g| g.subschema_for::<DatabaseHealth>(),
    parse: |n, p| read::<DatabaseHealth>(n, p).map(|k| Box::new(k) as _),
};

/// All of it: a check may take two minutes. What is not done by then is named.
const LIMIT: Duration = Duration::from_secs(105);

/// It has no settings.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DatabaseHealth {}

#[async_trait]
impl Check for DatabaseHealth {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql]
    }

    fn after_lift(&self) -> bool {
        true
    }

    fn judges_points(&self) -> bool {
        true
    }

    async fn plant(&self, _: &dyn Platform, _: &str) -> Result<Planted, Error> {
        Ok(Planted(serde_json::Value::Null))
    }

    async fn verify(&self, platform: &dyn Platform, _: &Planted, _: Option<&Planted>) -> Finding {
        look(platform, Deadline::within(LIMIT)).await
    }

    async fn clear(&self, _: &dyn Platform, _: &Planted) -> Result<(), Error> {
        Ok(())
    }
}

/// Looks at all of it; what is not done by the deadline is named, and makes it unknown.
pub async fn look(platform: &dyn Platform, deadline: Deadline) -> Finding {
    let (mut differences, mut figures) = (Differences::default(), vec![]);
    for looked in [
        rules::look(platform, deadline, &mut differences).await,
        pages::look(platform, deadline, &mut differences).await,
    ] {
        match looked {
            Ok(looked) => figures.extend(looked),
            Err(error) => differences.push(Meaning::Untold, error.to_string()),
        }
    }
    figures.into_iter().fold(differences.finding(), |finding, (name, value)| finding.figure(name, value))
}

/// How much was looked at: names and values.
type Figures = Vec<(&'static str, String)>;

/// What a question meant that failed: damage, or that it could not be told.
fn failed(what: &str, error: &tokio_postgres::Error) -> (Meaning, String) {
    let said = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    let damage = [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED, SqlState::IO_ERROR, SqlState::UNDEFINED_FILE];
    if error.code().is_some_and(|code| damage.contains(code)) {
        return (Meaning::Harm, format!("{what} is damaged: {said}"));
    }
    (Meaning::Untold, format!("{what} could not be looked at: {said}"))
}
