//! The fault that does what an encrypting attacker does with the keys that it found on the platform: artifacts overwritten in
//! place, their older versions purged where MLflow's key allows that, and the history's values scrambled.
//!
//! Clients are answered as before, with wrong bytes and wrong values, and backups go on and hold them. Apart from the
//! faults that do a part of it because here nothing is left that a step brings back without an engine. Not here: the
//! recovery points themselves, which no key of the platform reaches.

use super::drawn_artifacts::ArtifactShare;
use super::overwritten::{OverwrittenArtifacts, READ_BACK};
use super::relations::{BoundDatabase, BoundTable, asked, bind, locked, one, rejoin, tables};
use super::{Fault, Nature, recall};
use crate::client::{Error, versions};
use crate::environment::{Asset, AssetUnder, Inventory, LossKind, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use aws_sdk_s3::Client as S3Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio_postgres::Client;

/// `ransomware: {}`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "ransomware",
    about: "Overwrites all artifacts in place, purges their older versions where MLflow's key may, and scrambles values.",
    example: "ransomware: { tables: [params, tags], seed: 7 }",
    schema: |g| g.subschema_for::<Ransomware>(),
    parse: |n, p| parse(n, p).map(|k| Box::new(k) as _),
};

/// Overwrites all artifacts, purges their older versions, and scrambles values of the database in one transaction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ransomware {
    /// The tables whose column `value`, a column of text, is scrambled: `NAME`, or `SCHEMA.NAME`. If nothing is said, those
    /// that hold the params and tags of MLflow's runs.
    #[serde(default = "history")]
    #[schemars(length(min = 1))]
    tables: Vec<String>,
    /// Makes the bytes and the values. 1 if nothing is said.
    #[serde(default = "one")]
    seed: u64,
}

fn history() -> Vec<String> {
    ["params", "tags"].map(str::to_owned).into()
}

fn parse(node: &Node, problems: &mut Vec<Problem>) -> Option<Ransomware> {
    let fault: Ransomware = read(node, problems)?;
    if !fault.tables.is_empty() {
        return Some(fault);
    }
    let at = node.get("tables").unwrap_or(node);
    problems.push(Problem::new(at, "no table is named").hint("leave `tables` out for MLflow's params and tags"));
    None
}

/// With this every scrambled value begins.
const SIGN: &str = "encrypted:";

/// What was to be encrypted.
#[derive(Debug, Serialize, Deserialize)]
struct EncryptedPlatform {
    artifacts: OverwrittenArtifacts,
    database: BoundDatabase,
    tables: Vec<EncryptedTable>,
}

/// A table, with how many values were still to be read and how many not, when that was asked.
#[derive(Debug, Serialize, Deserialize)]
struct EncryptedTable {
    table: BoundTable,
    plain: i64,
    already: i64,
}

#[async_trait]
impl Fault for Ransomware {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        vec![Asset::Database.into(), Asset::Artifacts.into()]
    }
    fn loss(&self) -> LossKind {
        LossKind::Purged
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql, Power::Objects, Power::Policies]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let databases = inventory.kind("database");
        let values =
            databases.map(|it| format!("the values of {} in the database {}", self.tables.join(", "), it.name));
        let buckets = inventory.kind("bucket");
        let objects = buckets.map(|it| format!("all artifacts of the bucket {}, with their older versions", it.name));
        let (values, objects): (Vec<_>, Vec<_>) = (values.collect(), objects.collect());
        if values.is_empty() || objects.is_empty() { vec![] } else { [values, objects].concat() }
    }
    fn confirmed_within(&self) -> Duration {
        READ_BACK
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let objects = platform.objects()?;
        let cannot = |why: String| Error::new(format!("cannot encrypt the bucket `{}`", objects.bucket()), why);
        let drawn = ArtifactShare::all(self.seed).of_all(objects, cannot).await?;
        let artifacts = OverwrittenArtifacts { drawn, seed: self.seed };
        let (client, database) = bind(platform).await?;
        let mut encrypted = vec![];
        for table in tables(&client, &self.tables).await? {
            let (plain, already) = count(&client, &table).await?;
            encrypted.push(EncryptedTable { table, plain, already });
        }
        if encrypted.iter().all(|table| table.plain == 0) {
            return Err(Error::new("cannot scramble values", format!("{} hold none", self.tables.join(" and "))));
        }
        Ok(Receipt(serde_json::json!(EncryptedPlatform { artifacts, database, tables: encrypted })))
    }
    /// The same bucket, database and tables; what clients have written since is hit too.
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        let (then, there) = (recall::<EncryptedPlatform>(bound)?, recall::<EncryptedPlatform>(&now)?);
        let ids = |of: &EncryptedPlatform| of.tables.iter().map(|it| it.table.oid).collect::<Vec<_>>();
        let same = then.database == there.database && ids(&then) == ids(&there);
        if same && then.artifacts.drawn.bucket == there.artifacts.drawn.bucket {
            return Ok(now);
        }
        Err(Error::new("cannot encrypt the platform", "it is another than when it stood"))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let EncryptedPlatform { artifacts, database, tables } = recall(receipt)?;
        // With the key that lies on the platform: what it may not do, an attacker who found it may not either.
        let stolen = platform.policies()?.s3();
        artifacts.put(&stolen).await?;
        scramble(&rejoin(platform, &database).await?, &tables, self.seed).await?;
        let doomed = older(platform.objects()?.s3(), &artifacts).await?;
        versions::delete(&stolen, &artifacts.drawn.bucket, &doomed).await.map(drop) // what is refused stays, and is counted
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        confirmed(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

/// Scrambles all values in one transaction.
async fn scramble(client: &Client, tables: &[EncryptedTable], seed: u64) -> Result<(), Error> {
    let bound: Vec<_> = tables.iter().map(|it| it.table.clone()).collect();
    locked(client, &bound, "ROW EXCLUSIVE").await?;
    let update = |table: &BoundTable| {
        let value = format!("'{SIGN}' || md5('{seed}/' || value)");
        format!("UPDATE {} SET value = {value} WHERE value NOT LIKE '{SIGN}%'; ", table.name)
    };
    let updates: String = bound.iter().map(update).collect();
    client.batch_execute(&(updates + "COMMIT")).await.map_err(|e| Error::caused_by("cannot scramble the values", e))
}

/// How many values are still to be read, and how many not.
async fn count(client: &Client, table: &BoundTable) -> Result<(i64, i64), Error> {
    let query = format!(
        "SELECT count(*) FILTER (WHERE value NOT LIKE '{SIGN}%'), count(*) FILTER (WHERE value LIKE '{SIGN}%') FROM {}",
        table.name
    );
    let row = client.query_one(&query, &[]).await.map_err(asked)?;
    Ok((row.get(0), row.get(1)))
}

/// The versions of the drawn objects that clients no longer see.
async fn older(client: &S3Client, artifacts: &OverwrittenArtifacts) -> Result<Vec<versions::ObjectToDelete>, Error> {
    let drawn = &artifacts.drawn;
    let all = versions::list(client, &drawn.bucket, &drawn.prefix).await?.into_iter();
    let old = all.filter(|version| !version.latest && drawn.objects.contains_key(&version.key));
    Ok(old.map(|version| (version.key, Some(version.id))).collect())
}

/// Every object is read back, and the values of every table that had some.
async fn confirmed(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let EncryptedPlatform { artifacts, database, tables } = recall(receipt)?;
    let objects = platform.objects()?.s3();
    let changed = artifacts.changed(objects).await?;
    if changed.reason.is_some() {
        return Ok(changed);
    }
    let (client, mut scrambled) = (rejoin(platform, &database).await?, 0);
    for EncryptedTable { table, plain, already } in &tables {
        let (_, now) = count(&client, table).await?;
        if *plain > 0 && now <= *already {
            return Ok(Finding::missed(format!("`value` of `{}` holds the values of before", table.name)));
        }
        scrambled += now - already;
    }
    let left = older(objects, &artifacts).await?.len();
    Ok(changed.figure("values scrambled", scrambled).figure("older versions left", left))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::stack;

    fn parsed(text: &str) -> Result<Ransomware, String> {
        let mut problems = vec![];
        let fault = parse(&crate::node::parse(text).unwrap(), &mut problems);
        fault.ok_or_else(|| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn it_aims_at_the_database_and_the_bucket_or_at_nothing() {
        let targets = parsed("{}").unwrap().targets(&stack::inventory());
        let expected = [
            "the values of params, tags in the database mlflow",
            "all artifacts of the bucket mlflow, with their older versions",
        ];
        assert_eq!(targets, expected);
        assert!(parsed("{}").unwrap().targets(&Inventory::default()).is_empty());
        assert!(parsed("{ tables: [] }").unwrap_err().contains("no table is named"));
        assert!(parsed("{ table: params }").is_err());
    }

    #[test]
    fn nothing_but_a_recovery_point_brings_it_back() {
        let fault = parsed("{}").unwrap();
        assert_eq!((fault.nature(), fault.loss()), (Nature::Loss, LossKind::Purged));
        assert_eq!(fault.takes(&Inventory::default()), [Asset::Database.into(), Asset::Artifacts.into()]);
    }
}
