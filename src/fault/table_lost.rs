//! The fault that drops tables of the platform's database, with all that depends on them.
//!
//! The receipt names each table by its oid: a table of the same name that was made since is never mistaken for it.

use super::relations::{BoundDatabase, BoundTable, bind, forced, postgres, rejoin, still_there, tables};
use super::{Fault, Nature, recall, unchanged};
use crate::client::Error;
use crate::environment::{Asset, AssetUnder, Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `table-lost: { tables: [metrics] }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "table-lost",
    about: "Drops tables of the platform's database, with all that depends on them, whoever uses them.",
    example: "table-lost: { tables: [metrics, latest_metrics] }",
    schema: |g| g.subschema_for::<TableLost>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Drops tables of the platform's database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TableLost {
    /// The component that holds the database; `postgres` if nothing is said.
    #[serde(default = "postgres")]
    component: String,
    /// The tables: `NAME`, or `SCHEMA.NAME`. If nothing is said, the two that hold MLflow's metrics.
    #[serde(default = "metrics")]
    #[schemars(length(min = 1))]
    tables: Vec<String>,
}

/// The history of the metrics, which only a question about one metric reads, and their latest values, which every question
/// about a run reads.
fn metrics() -> Vec<String> {
    ["metrics", "latest_metrics"].map(str::to_owned).into()
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<TableLost> {
    let fault: TableLost = read(node, problems)?;
    if !fault.tables.is_empty() {
        return Some(fault);
    }
    let at = node.get("tables").unwrap_or(node);
    problems.push(Problem::new(at, "no table is named").hint("leave `tables` out for MLflow's metrics"));
    None
}

/// What was dropped, and of which database.
#[derive(Debug, Serialize, Deserialize)]
struct DroppedTables {
    database: BoundDatabase,
    tables: Vec<BoundTable>,
}

#[async_trait]
impl Fault for TableLost {
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
        let databases = inventory.databases(&self.component).into_iter();
        databases.flat_map(|it| self.tables.iter().map(move |table| format!("the table {table} in {it}"))).collect()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let (client, database) = bind(platform).await?;
        let tables = tables(&client, &self.tables).await?;
        Ok(Receipt(serde_json::json!(DroppedTables { database, tables })))
    }
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        unchanged("the tables", bound, now)
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let DroppedTables { database, tables } = recall(receipt)?;
        let client = rejoin(platform, &database).await?;
        forced(&client, &tables).await?;
        let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
        let drop = format!("DROP TABLE {} CASCADE; COMMIT", names.join(", "));
        client.batch_execute(&drop).await.map_err(|e| Error::caused_by("cannot drop the tables", e))
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        gone(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

async fn gone(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let DroppedTables { database, tables } = recall(receipt)?;
    let client = rejoin(platform, &database).await?;
    let oids: Vec<_> = tables.iter().map(|table| table.oid).collect();
    let left = still_there(&client, "pg_class", &oids).await?;
    Ok(match tables.iter().find(|table| left.contains(&table.oid)) {
        Some(table) => Finding::missed(format!("the table `{}` is still there", table.name)),
        None => Finding::met().figure("tables dropped", tables.len()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::stack;

    #[test]
    fn it_aims_at_each_table_of_the_database_and_at_none_elsewhere() {
        let targets = |text: &str| {
            let fault = parse(&crate::node::parse(text).unwrap(), &mut vec![]).unwrap();
            fault.targets(&stack::inventory())
        };
        let both =
            ["metrics", "latest_metrics"].map(|table| format!("the table {table} in the database mlflow of postgres"));
        assert_eq!(targets("{}"), both);
        assert_eq!(targets("{ tables: [runs] }"), ["the table runs in the database mlflow of postgres"]);
        assert!(targets("{ component: s3 }").is_empty());
    }

    #[test]
    fn a_list_without_a_table_is_a_problem() {
        let mut problems = vec![];
        assert!(parse(&crate::node::parse("{ tables: [] }").unwrap(), &mut problems).is_none());
        assert!(problems[0].to_string().contains("no table is named"), "{problems:?}");
    }
}
