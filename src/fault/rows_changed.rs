//! The fault that sets a column of many rows to one value, as an `UPDATE` without a sensible `WHERE` does.
//!
//! Clients are answered as before, with wrong values: no server says that anything is wrong. The receipt has how many rows
//! held the value already, so that the effect is told from what was there. One statement changes all rows or none.

use super::relations::{BoundDatabase, BoundTable, RowShare, asked, bind, key, locked, one, postgres, rejoin, tables};
use super::{Fault, Nature, recall, unchanged};
use crate::client::Error;
use crate::environment::{Asset, AssetUnder, Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

/// `rows-changed: { table: params, column: value, percent: 30 }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "rows-changed",
    about: "Sets a column of many rows to one value, as an UPDATE without a sensible WHERE does.",
    example: "rows-changed: { table: params, column: value, to: overwritten, percent: 30, seed: 7 }",
    schema: |g| g.subschema_for::<RowsChanged>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Sets a column to one value: in a share of the rows, or in all if none is said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RowsChanged {
    /// The component that holds the database; `postgres` if nothing is said.
    #[serde(default = "postgres")]
    component: String,
    /// The table: `NAME`, or `SCHEMA.NAME`; `params` if nothing is said.
    #[serde(default = "params")]
    table: String,
    /// Its column; `value` if nothing is said.
    #[serde(default = "value")]
    column: String,
    /// What every row gets; if nothing is said, `overwritten` in a column of text, and 0 in one of numbers.
    #[serde(default)]
    to: Option<String>,
    /// So many of a hundred rows, by a digest of their keys, give or take a few.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    percent: Option<u64>,
    /// Draws them: the same seed draws the same of the same rows. 1 if nothing is said.
    #[serde(default = "one")]
    seed: u64,
}

fn params() -> String {
    "params".into()
}

fn value() -> String {
    "value".into()
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<RowsChanged> {
    let fault: RowsChanged = read(node, problems)?;
    let before = problems.len();
    fault.share().check(node, problems);
    (problems.len() == before).then_some(fault)
}

/// Which rows were to be changed, and how.
#[derive(Debug, Serialize, Deserialize)]
struct ChangedRows {
    database: BoundDatabase,
    table: BoundTable,
    column: String,
    /// The value, as SQL writes it.
    to: String,
    /// SQL that says of a row whether it is drawn.
    drawn: String,
    /// So many rows are drawn and hold another value; users may make and end some until the act.
    rows: i64,
    /// So many hold the value already.
    already: i64,
}

#[async_trait]
impl Fault for RowsChanged {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql]
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        vec![Asset::Database.into()]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let what = |database| format!("the values {}.{} in {database}", self.table, self.column);
        inventory.databases(&self.component).into_iter().map(|it| self.share().told(&what(it))).collect()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let (client, database) = bind(platform).await?;
        let table = tables(&client, std::slice::from_ref(&self.table)).await?.remove(0);
        let to = self.value(&client, &table).await?;
        let what = format!("cannot change `{}`", table.name);
        // The column itself may be of the key, as in MLflow's table of metrics: then the rest of the key tells.
        let key: Vec<_> = key(&client, &table).await?.into_iter().filter(|name| *name != self.column).collect();
        if key.is_empty() && self.percent.is_some() {
            return Err(Error::new(what, "it has no primary key, by which a share of its rows could be drawn"));
        }
        let drawn = self.share().drawn(&key);
        let mut changed = ChangedRows { database, table, column: self.column.clone(), to, drawn, rows: 0, already: 0 };
        (changed.rows, changed.already) = changed.count(&client).await?;
        if changed.rows == 0 {
            return Err(Error::new(what, "no row would be another than it is"));
        }
        Ok(Receipt(serde_json::json!(changed)))
    }
    /// The same column of the same table; how many rows it has by now does not matter.
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        let counted = recall::<ChangedRows>(&now)?;
        let ChangedRows { rows, already, .. } = counted;
        let then = ChangedRows { rows, already, ..recall(bound)? };
        unchanged("the table", &Receipt(serde_json::json!(then)), now)
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let changed = recall::<ChangedRows>(receipt)?;
        let client = rejoin(platform, &changed.database).await?;
        locked(&client, std::slice::from_ref(&changed.table), "ROW EXCLUSIVE").await?;
        let ChangedRows { table, to, drawn, .. } = &changed;
        let column = escape_identifier(&changed.column);
        let update = format!(
            "UPDATE {} SET {column} = {to} WHERE {drawn} AND {column} IS DISTINCT FROM {to}; COMMIT",
            table.name
        );
        client.batch_execute(&update).await.map_err(|e| Error::caused_by("cannot change the rows", e))
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        changed(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

impl RowsChanged {
    fn share(&self) -> RowShare {
        RowShare { percent: self.percent, seed: self.seed }
    }

    /// The value, as SQL writes it.
    async fn value(&self, client: &Client, table: &BoundTable) -> Result<String, Error> {
        let query = "SELECT format_type(a.atttypid, NULL), t.typcategory::text FROM pg_attribute a \
            JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = $1 AND a.attname = $2::text AND a.attnum > 0";
        let row = client.query_opt(query, &[&table.oid, &self.column]).await.map_err(asked)?;
        let what = format!("cannot change `{}` of `{}`", self.column, table.name);
        let row = row.ok_or_else(|| Error::new(what.clone(), "there is no such column"))?;
        let (kind, category): (String, String) = (row.get(0), row.get(1));
        let to = match (self.to.as_deref(), category.as_str()) {
            (Some(to), _) => to,
            (None, "N") => "0",
            (None, "S") => "overwritten",
            _ => return Err(Error::new(what, format!("it is a column of `{kind}`")).hint("say the value with `to`")),
        };
        Ok(format!("{}::{kind}", escape_literal(to)))
    }
}

impl ChangedRows {
    /// How many of the drawn rows hold another value, and how many hold this one.
    async fn count(&self, client: &Client) -> Result<(i64, i64), Error> {
        let (column, Self { table, to, drawn, .. }) = (escape_identifier(&self.column), self);
        let query = format!(
            "SELECT count(*) FILTER (WHERE {column} IS DISTINCT FROM {to}), \
             count(*) FILTER (WHERE {column} IS NOT DISTINCT FROM {to}) FROM {} WHERE {drawn}",
            table.name
        );
        let row = client.query_one(&query, &[]).await.map_err(asked)?;
        Ok((row.get(0), row.get(1)))
    }
}

async fn changed(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let changed = recall::<ChangedRows>(receipt)?;
    let client = rejoin(platform, &changed.database).await?;
    let (_, now) = changed.count(&client).await?;
    let (table, column) = (&changed.table.name, &changed.column);
    if now <= changed.already {
        return Ok(Finding::missed(format!("`{column}` of `{table}` holds the values of before")));
    }
    Ok(Finding::met().figure("rows changed", now - changed.already))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::stack;

    fn parsed(text: &str) -> Result<RowsChanged, String> {
        let mut problems = vec![];
        let fault = parse(&crate::node::parse(text).unwrap(), &mut problems);
        fault.ok_or_else(|| problems[0].to_string())
    }

    #[test]
    fn it_says_what_it_aims_at() {
        let targets = |text: &str| parsed(text).unwrap().targets(&stack::inventory()).concat();
        assert_eq!(targets("{}"), "all of the values params.value in the database mlflow of postgres");
        let some = "30 % of the values metrics.value in the database mlflow of postgres (drawn by seed 1)";
        assert_eq!(targets("{ table: metrics, percent: 30 }"), some);
        assert_eq!(targets("{ component: s3 }"), "");
    }

    #[test]
    fn a_share_that_is_none_is_a_problem() {
        assert!(parsed("{ percent: 0 }").unwrap_err().contains("from 1 to 100"));
        assert!(parsed("{ percent: 101 }").unwrap_err().contains("from 1 to 100"));
    }

    #[test]
    fn a_share_is_drawn_by_a_digest_of_the_key_and_the_seed() {
        let share = RowShare { percent: Some(30), seed: 7 };
        let key = ["key".to_owned(), "run_uuid".to_owned()];
        let sql = r#"('x' || substr(md5(concat_ws('/', '7', "key"::text, "run_uuid"::text)), 1, 8))::bit(32)::bigint % 100 < 30"#;
        assert_eq!(share.drawn(&key), sql);
        assert_eq!(RowShare { percent: None, seed: 7 }.drawn(&key), "true");
    }
}
