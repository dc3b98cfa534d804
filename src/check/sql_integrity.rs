//! The check `sql-integrity`: what the database must never hold, and what it must hold where it did before.
//!
//! Foreign keys forbid some of it in a healthy database, so a finding there means that a restore lost the keys;
//! a version's run has none (MLflow 3.17) and can dangle by itself.

use super::Check;
use crate::client::{Trouble, postgres};
use crate::environment::{Environment, Power};
use crate::kind::Kind;
use crate::model::{Finding, Planted};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio_postgres::Client;

/// Rows that must not be there, and recent ones that must.
pub const KIND: Kind<dyn Check> = Kind {
    name: "sql-integrity",
    about: "No run lacks its experiment or artifact URI, no model version its run, and recent activity is there.",
    example: "sql-integrity: {}",
    schema: |g| g.subschema_for::<Integrity>(),
    parse: |n, p| read::<Integrity>(n, p).map(|k| Box::new(k) as _),
};

/// Nothing is to be chosen.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Integrity {}

/// What is counted, and how it is told; each must be none.
const NONE: [(&str, &str); 3] = [
    (
        "runs without their experiment",
        "SELECT count(*) FROM runs r LEFT JOIN experiments e USING (experiment_id) WHERE e.experiment_id IS NULL",
    ),
    ("runs without an artifact URI", "SELECT count(*) FROM runs WHERE coalesce(artifact_uri, '') = ''"),
    (
        "model versions without their run",
        "SELECT count(*) FROM model_versions v LEFT JOIN runs r ON r.run_uuid = v.run_id \
         WHERE coalesce(v.run_id, '') <> '' AND r.run_uuid IS NULL",
    ),
];

/// Runs begun within the last day.
const RECENT: &str = "SELECT count(*) FROM runs WHERE start_time > \
    (extract(epoch FROM now() - interval '24 hours') * 1000)::bigint";

/// The tables that all of this is about.
const TABLES: &[&str] = &["experiments", "runs", "model_versions"];

#[async_trait]
impl Check for Integrity {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql]
    }

    async fn plant(&self, env: &dyn Environment, _: &str) -> Result<Planted, Trouble> {
        let client = connect(env).await?;
        Ok(Planted(json!({ "recent": count(&client, RECENT).await? })))
    }

    async fn verify(&self, env: &dyn Environment, planted: &Planted) -> Finding {
        match look(env, planted).await {
            Ok(finding) => finding,
            Err(trouble) => Finding::unknown(trouble.to_string()),
        }
    }

    async fn clear(&self, _: &dyn Environment, _: &Planted) -> Result<(), Trouble> {
        Ok(())
    }
}

async fn look(env: &dyn Environment, planted: &Planted) -> Result<Finding, Trouble> {
    let client = connect(env).await?;
    let gone = postgres::absent(&client, TABLES).await?;
    if !gone.is_empty() {
        return Ok(Finding::missed(format!("the table `{}` is gone", gone.join("`, `"))));
    }
    let (mut figures, mut wrong) = (vec![], vec![]);
    for (what, query) in NONE {
        let found = count(&client, query).await?;
        if found > 0 {
            wrong.push(format!("{found} {what}"));
        }
        figures.push((what, found));
    }
    let recent = count(&client, RECENT).await?;
    figures.push(("recent runs", recent));
    if recent == 0 && planted.0["recent"].as_i64().unwrap_or(0) > 0 {
        wrong.push("no recent runs, where there were some".to_owned());
    }
    let finding = if wrong.is_empty() { Finding::met() } else { Finding::missed(wrong.join("; ")) };
    Ok(figures.into_iter().fold(finding, |finding, (what, found)| finding.figure(what, found)))
}

async fn connect(env: &dyn Environment) -> Result<Client, Trouble> {
    let sql =
        env.sql().ok_or_else(|| Trouble::new("cannot ask the database", "the environment lacks the power `sql`"))?;
    sql.connect(sql.database()).await
}

async fn count(client: &Client, query: &str) -> Result<i64, Trouble> {
    let rows = postgres::rows(client, query).await?;
    rows.first().map(|row| row.get(0)).ok_or_else(|| Trouble::new("cannot count", "the answer is empty"))
}
