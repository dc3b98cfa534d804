//! The fault that deletes one registered model: its rows in the registry, and the artifacts of its versions with all that
//! the bucket kept of them. Its runs stay.
//!
//! As after a deletion in MLflow and a clean-up of the bucket behind it. By oid and time of making: a model of the same name
//! that was registered anew since is never mistaken for it.

use super::relations::{BoundDatabase, BoundTable, asked, bind, postgres, rejoin, tables};
use super::{Fault, Nature, recall};
use crate::client::{Error, deletions, foreign_keys, s3, versions};
use crate::environment::{Asset, AssetUnder, Inventory, LossKind, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use postgres_protocol::escape::escape_literal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `model-deleted: { model: churn }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "model-deleted",
    about: "Deletes a registered model with its versions, aliases and tags, and purges its artifacts.",
    example: "model-deleted: { model: churn }",
    schema: |g| g.subschema_for::<ModelDeleted>(),
    parse: |n, p| read::<ModelDeleted>(n, p).map(|k| Box::new(k) as _),
};

/// Deletes a registered model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelDeleted {
    /// Its name.
    model: String,
}

/// What was deleted, and of which database and bucket.
#[derive(Debug, Serialize, Deserialize)]
struct DeletedModel {
    database: BoundDatabase,
    table: BoundTable,
    model: String,
    made: Option<i64>,
    versions: i64,
    bucket: String,
    /// The folders of its versions.
    prefixes: BTreeSet<String>,
    objects: usize,
}

#[async_trait]
impl Fault for ModelDeleted {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        vec![AssetUnder { asset: Asset::Models, prefix: self.model.clone() }]
    }
    fn loss(&self) -> LossKind {
        LossKind::Purged
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql, Power::Objects]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let databases = inventory.databases(&postgres()).into_iter();
        databases.map(|it| format!("the model {} with its versions and artifacts in {it}", self.model)).collect()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let (client, database) = bind(platform).await?;
        let what = || format!("cannot delete the model `{}`", self.model);
        let table = tables(&client, &["registered_models".to_owned()]).await?.remove(0);
        let made = format!("SELECT creation_time FROM {} WHERE name = $1", table.name);
        let made = client.query(&made, &[&self.model]).await.map_err(asked)?;
        let [made] = made.as_slice() else {
            return Err(Error::new(what(), format!("{} workspaces have a model of this name", made.len())));
        };
        let locations = "SELECT coalesce(nullif(storage_location, ''), source, '') FROM model_versions WHERE name = $1";
        let locations = client.query(locations, &[&self.model]).await.map_err(asked)?;
        let objects = platform.objects()?;
        let prefix = |location: &str| {
            let key = s3::located(objects.bucket(), objects.prefix(), location).map(|key| key + "/");
            key.ok_or_else(|| Error::new(what(), format!("its location `{location}` is not in the bucket")))
        };
        let prefixes = locations.iter().map(|row| prefix(row.get(0))).collect::<Result<BTreeSet<_>, _>>()?;
        let mut count = 0;
        for prefix in &prefixes {
            count += s3::list(objects.s3(), objects.bucket(), prefix).await?.len();
        }
        Ok(Receipt(serde_json::json!(DeletedModel {
            database,
            table,
            model: self.model.clone(),
            made: made.get(0),
            versions: i64::try_from(locations.len()).unwrap_or(i64::MAX),
            bucket: objects.bucket().to_owned(),
            prefixes,
            objects: count,
        })))
    }
    /// The same model in the same bucket; users may have registered versions since.
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        let (before, there) = (recall::<DeletedModel>(bound)?, recall::<DeletedModel>(&now)?);
        let identity = |it: &DeletedModel| (it.database.clone(), it.table.clone(), it.made, it.bucket.clone());
        if identity(&before) == identity(&there) {
            return Ok(now);
        }
        Err(Error::new(format!("the model `{}`", before.model), "it is another than when the platform stood"))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let DeletedModel { database, table, model, bucket, prefixes, .. } = recall(receipt)?;
        let client = rejoin(platform, &database).await?;
        let of_it = format!("name = {}", escape_literal(&model));
        let statements = deletions(&foreign_keys(&client).await?, &table.name, &of_it).join("; ");
        let what = format!("cannot delete the model `{model}`");
        client.batch_execute(&format!("BEGIN; {statements}; COMMIT")).await.map_err(|e| Error::caused_by(&what, e))?;
        let store = platform.objects()?.s3();
        for prefix in &prefixes {
            let all = versions::list(store, &bucket, prefix).await?.into_iter();
            let all: Vec<_> = all.map(|version| (version.key, Some(version.id))).collect();
            if let Some((key, why)) = versions::delete(store, &bucket, &all).await?.first() {
                return Err(Error::new(&what, format!("`{key}`: {why}")));
            }
        }
        Ok(())
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        gone(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

async fn gone(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let deleted = recall::<DeletedModel>(receipt)?;
    let DeletedModel { database, table, model, bucket, prefixes, .. } = &deleted;
    let client = rejoin(platform, database).await?;
    let left = format!("SELECT count(*) FROM {} WHERE name = $1", table.name);
    let left: i64 = client.query_one(&left, &[model]).await.map_err(asked)?.get(0);
    if left > 0 {
        return Ok(Finding::missed(format!("the model `{model}` is still there")));
    }
    for prefix in prefixes {
        if let Some(version) = versions::list(platform.objects()?.s3(), bucket, prefix).await?.first() {
            return Ok(Finding::missed(format!("`{}` is still there", version.key)));
        }
    }
    Ok(Finding::met().figure("versions deleted", deleted.versions).figure("artifacts purged", deleted.objects))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::stack;

    #[test]
    fn it_takes_one_model_and_says_so() {
        let node = crate::node::parse("{ model: churn }").unwrap();
        let fault = (KIND.parse)(&node, &mut vec![]).unwrap();
        let targets = fault.targets(&stack::inventory()).concat();
        assert_eq!(targets, "the model churn with its versions and artifacts in the database mlflow of postgres");
        assert_eq!(fault.takes(&stack::inventory())[0].to_string(), "model `churn`");
        assert!(fault.targets(&Inventory::default()).is_empty());
    }
}
