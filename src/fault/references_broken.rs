//! The fault that drops the foreign keys of tables and deletes their rows, as a bad clean-up by hand does.
//!
//! The rows that pointed at the deleted ones stay, and point at nothing: runs without their experiment, versions without
//! their model. Whoever uses the tables is disconnected, since a backup may hold them for hours. The receipt names each key
//! by its oid.

use super::relations::{
    BoundDatabase, BoundTable, RowShare, asked, bind, forced, key, one, postgres, rejoin, still_there, tables,
};
use super::{Fault, Nature, recall, unchanged};
use crate::client::{Error, NamedForeignKey, named_foreign_keys};
use crate::environment::{Asset, AssetUnder, Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use postgres_protocol::escape::escape_identifier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `references-broken: { tables: [experiments, registered_models] }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "references-broken",
    about: "Drops the foreign keys that point at tables, and deletes the tables' rows: what pointed at them points at nothing.",
    example: "references-broken: { tables: [experiments, registered_models], percent: 50, seed: 7 }",
    schema: |g| g.subschema_for::<ReferencesBroken>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Deletes rows that others point at: a share of them, or all if none is said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReferencesBroken {
    /// The component that holds the database; `postgres` if nothing is said.
    #[serde(default = "postgres")]
    component: String,
    /// The tables whose rows are deleted: `NAME`, or `SCHEMA.NAME`. If nothing is said, the experiments and the registered
    /// models.
    #[serde(default = "parents")]
    #[schemars(length(min = 1))]
    tables: Vec<String>,
    /// So many of a hundred rows, by a digest of their keys, give or take a few.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    percent: Option<u64>,
    /// Draws them: the same seed draws the same of the same rows. 1 if nothing is said.
    #[serde(default = "one")]
    seed: u64,
}

fn parents() -> Vec<String> {
    ["experiments", "registered_models"].map(str::to_owned).into()
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<ReferencesBroken> {
    let fault: ReferencesBroken = read(node, problems)?;
    let before = problems.len();
    fault.share().check(node, problems);
    if fault.tables.is_empty() {
        let at = node.get("tables").unwrap_or(node);
        let hint = "leave `tables` out for the experiments and the registered models";
        problems.push(Problem::new(at, "no table is named").hint(hint));
    }
    (problems.len() == before).then_some(fault)
}

/// Which keys were to be dropped, and which rows deleted.
#[derive(Debug, Serialize, Deserialize)]
struct BrokenReferences {
    database: BoundDatabase,
    tables: Vec<DeletedRows>,
    keys: Vec<BrokenKey>,
}

/// Rows of a table.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DeletedRows {
    table: BoundTable,
    /// SQL that says of a row whether it is drawn.
    drawn: String,
}

/// A foreign key, by its oid.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BrokenKey {
    oid: u32,
    name: String,
    table: BoundTable,
    /// SQL that counts the rows that point at nothing.
    orphans: String,
}

#[async_trait]
impl Fault for ReferencesBroken {
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
        let what = |table: &String, database: &String| format!("the rows of {table} in {database}");
        databases.flat_map(|it| self.tables.iter().map(move |table| self.share().told(&what(table, &it)))).collect()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let (client, database) = bind(platform).await?;
        let mut deleted = vec![];
        for table in tables(&client, &self.tables).await? {
            let key = key(&client, &table).await?;
            if key.is_empty() && self.percent.is_some() {
                let why = "it has no primary key, by which a share of its rows could be drawn";
                return Err(Error::new(format!("cannot delete of `{}`", table.name), why));
            }
            deleted.push(DeletedRows { drawn: self.share().drawn(&key), table });
        }
        let mut keys = vec![];
        for named in named_foreign_keys(&client).await? {
            if deleted.iter().any(|rows| rows.table.name == named.key.other) {
                let table = tables(&client, std::slice::from_ref(&named.key.table)).await?.remove(0);
                let NamedForeignKey { oid, name, key, .. } = named;
                keys.push(BrokenKey { oid, name, table, orphans: key.orphans() });
            }
        }
        if keys.is_empty() {
            let why = "no foreign key points at them, so that no row would point at nothing";
            return Err(Error::new(format!("cannot break what points at {}", self.tables.join(", ")), why));
        }
        Ok(Receipt(serde_json::json!(BrokenReferences { database, tables: deleted, keys })))
    }
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        unchanged("the tables and their keys", bound, now)
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let BrokenReferences { database, tables, keys } = recall(receipt)?;
        let client = rejoin(platform, &database).await?;
        let own = tables.iter().map(|rows| &rows.table);
        let all: BTreeMap<_, _> = own.chain(keys.iter().map(|key| &key.table)).map(|it| (it.oid, it.clone())).collect();
        forced(&client, &all.into_values().collect::<Vec<_>>()).await?;
        let drop = |key: &BrokenKey| {
            format!("ALTER TABLE {} DROP CONSTRAINT {}; ", key.table.name, escape_identifier(&key.name))
        };
        let delete = |rows: &DeletedRows| format!("DELETE FROM {} WHERE {}; ", rows.table.name, rows.drawn);
        let harm: String = keys.iter().map(drop).chain(tables.iter().map(delete)).collect();
        let done = client.batch_execute(&format!("{harm}COMMIT")).await;
        done.map_err(|e| Error::caused_by("cannot break the references", e))
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        broken(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

impl ReferencesBroken {
    fn share(&self) -> RowShare {
        RowShare { percent: self.percent, seed: self.seed }
    }
}

async fn broken(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let BrokenReferences { database, keys, .. } = recall(receipt)?;
    let client = rejoin(platform, &database).await?;
    let oids: Vec<_> = keys.iter().map(|key| key.oid).collect();
    let left = still_there(&client, "pg_constraint", &oids).await?;
    if let Some(key) = keys.iter().find(|key| left.contains(&key.oid)) {
        return Ok(Finding::missed(format!("`{}` still has the key `{}`", key.table.name, key.name)));
    }
    let mut orphans: i64 = 0;
    for key in &keys {
        orphans += client.query_one(&key.orphans, &[]).await.map_err(asked)?.get::<_, i64>(0);
    }
    if orphans == 0 {
        return Ok(Finding::missed("every row that points at another finds it"));
    }
    Ok(Finding::met().figure("keys dropped", keys.len()).figure("rows that point at nothing", orphans))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::stack;

    fn parsed(text: &str) -> Result<ReferencesBroken, Vec<String>> {
        let mut problems = vec![];
        let fault = parse(&crate::node::parse(text).unwrap(), &mut problems);
        fault.ok_or_else(|| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn it_says_what_it_aims_at() {
        let targets = |text: &str| parsed(text).unwrap().targets(&stack::inventory());
        let of = |table: &str| format!("the rows of {table} in the database mlflow of postgres");
        let all = ["experiments", "registered_models"].map(|table| format!("all of {}", of(table)));
        assert_eq!(targets("{}"), all);
        let some = format!("50 % of {} (drawn by seed 3)", of("runs"));
        assert_eq!(targets("{ tables: [runs], percent: 50, seed: 3 }"), [some]);
        assert!(targets("{ component: s3 }").is_empty());
    }

    #[test]
    fn what_would_delete_nothing_is_a_problem() {
        let problems = parsed("{ tables: [], percent: 0 }").unwrap_err();
        assert!(problems.iter().any(|text| text.contains("no table is named")), "{problems:?}");
        assert!(problems.iter().any(|text| text.contains("from 1 to 100")), "{problems:?}");
    }
}
