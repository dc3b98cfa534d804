//! The check `sql-integrity`: no row is in the database that must not be there, and no table is gone or empty.
//!
//! Every table that was there must be there, and must have rows if it had some. Clients do not read most tables in the
//! minutes after a restore (of MLflow 3.17, `webhooks` is one), so otherwise their loss would go unnoticed. In a healthy
//! database foreign keys forbid some of these rows; if there are any, a restore lost the keys. The run of a model version
//! has no foreign key (MLflow 3.17) and can be missing by itself.

use super::Check;
use crate::client::{Error, postgres};
use crate::environment::{Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Planted};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// Rows that must not be there, and recent rows and tables that must.
pub const KIND: Kind<dyn Check> = Kind {
    name: "sql-integrity",
    about: "No table is gone or empty that was not, no run lacks its experiment or artifact URI, no model version its \
            run, and recent activity is there.",
    example: "sql-integrity: {}",
    schema: |g| g.subschema_for::<SqlIntegrity>(),
    parse: |n, p| read::<SqlIntegrity>(n, p).map(|k| Box::new(k) as _),
};

/// It has no settings.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SqlIntegrity {}

/// What is counted, with its query; each count must be zero.
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

/// Counts the runs that began within the last day.
const RECENT: &str = "SELECT count(*) FROM runs WHERE start_time > \
    (extract(epoch FROM now() - interval '24 hours') * 1000)::bigint";

/// The names of all tables that are not the server's own, as SQL wants them.
const TABLES: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n \
    ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// What was there before the fault.
#[derive(Debug, Serialize, Deserialize)]
struct PlantedTables {
    recent: i64,
    /// Each table, and whether it had rows.
    tables: BTreeMap<String, bool>,
}

#[async_trait]
impl Check for SqlIntegrity {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql]
    }

    fn judges_points(&self) -> bool {
        true
    }

    async fn plant(&self, platform: &dyn Platform, _: &str) -> Result<Planted, Error> {
        let client = connect(platform).await?;
        let before = PlantedTables { recent: count(&client, RECENT).await?, tables: tables(&client).await? };
        serde_json::to_value(before).map(Planted).map_err(|e| Error::caused_by("cannot record what was planted", e))
    }

    async fn verify(&self, platform: &dyn Platform, planted: &Planted, _: Option<&Planted>) -> Finding {
        match look(platform, planted).await {
            Ok(finding) => finding,
            Err(error) => Finding::unknown(error.to_string()),
        }
    }

    async fn clear(&self, _: &dyn Platform, _: &Planted) -> Result<(), Error> {
        Ok(())
    }
}

async fn look(platform: &dyn Platform, planted: &Planted) -> Result<Finding, Error> {
    let before =
        PlantedTables::deserialize(&planted.0).map_err(|e| Error::caused_by("cannot read what was planted", e))?;
    let client = connect(platform).await?;
    let now = tables(&client).await?;
    let lost: Vec<_> = before.tables.keys().filter(|table| !now.contains_key(*table)).collect();
    if let Some(first) = lost.first() {
        let more = if lost.len() > 1 { format!(", and {} others", lost.len() - 1) } else { String::new() };
        return Ok(Finding::missed(format!("the table `{first}` is gone{more}")).figure("tables", now.len()));
    }
    let emptied = |table: &&String| before.tables[*table] && !now[*table];
    let mut wrong: Vec<_> = before.tables.keys().filter(emptied).map(|t| format!("the table `{t}` is empty")).collect();
    let mut figures = vec![("tables", i64::try_from(now.len()).unwrap_or(i64::MAX))];
    figures.extend(count_wrong(&client, &mut wrong).await?);
    let recent = count(&client, RECENT).await?;
    figures.push(("recent runs", recent));
    if recent == 0 && before.recent > 0 {
        wrong.push("there are no recent runs, but before the fault there were some".to_owned());
    }
    let finding = if wrong.is_empty() { Finding::met() } else { Finding::missed(wrong.join("; ")) };
    Ok(figures.into_iter().fold(finding, |finding, (what, found)| finding.figure(what, found)))
}

/// Looks for rows that must not be there, where nobody has planted anything.
pub async fn look_alone(platform: &dyn Platform) -> Finding {
    let looked = async {
        let (client, mut wrong) = (connect(platform).await?, vec![]);
        Ok::<_, Error>((count_wrong(&client, &mut wrong).await?, wrong))
    };
    match looked.await {
        Ok((figures, wrong)) => {
            let finding = if wrong.is_empty() { Finding::met() } else { Finding::missed(wrong.join("; ")) };
            figures.into_iter().fold(finding, |finding, (what, found)| finding.figure(what, found))
        }
        Err(error) => Finding::unknown(error.to_string()),
    }
}

/// Counts the rows that must not be there: each count, and those that are not zero in words.
async fn count_wrong(client: &Client, wrong: &mut Vec<String>) -> Result<Vec<(&'static str, i64)>, Error> {
    let mut figures = vec![];
    for (what, query) in NONE {
        let found = count(client, query).await?;
        if found > 0 {
            wrong.push(format!("{found} {what}"));
        }
        figures.push((what, found));
    }
    Ok(figures)
}

async fn connect(platform: &dyn Platform) -> Result<Client, Error> {
    let sql = platform.sql()?;
    sql.connect(sql.database()).await
}

/// The tables that are there, and whether they have rows.
async fn tables(client: &Client) -> Result<BTreeMap<String, bool>, Error> {
    let mut tables = BTreeMap::new();
    for row in postgres::rows(client, TABLES).await? {
        let name: String = row.get(0);
        let rows = postgres::one(client, &format!("SELECT EXISTS (SELECT 1 FROM {name})")).await?;
        tables.insert(name, rows.get(0));
    }
    Ok(tables)
}

async fn count(client: &Client, query: &str) -> Result<i64, Error> {
    Ok(postgres::one(client, query).await?.get(0))
}
