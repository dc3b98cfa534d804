//! The fault that drops the platform's database under its clients.
//!
//! The receipt names the database by its oid and the server by its system identifier: a database of the same name
//! that was made since, or another server at the same address, is never mistaken for the one that was meant.

use super::{Fault, Nature, recall, unchanged};
use crate::client::Error;
use crate::environment::{Asset, AssetUnder, Identity, Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use postgres_protocol::escape::escape_identifier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio_postgres::Client;

/// `database-drop: { component: postgres }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "database-drop",
    about: "Drops the platform's database, whoever is connected to it.",
    example: "database-drop: { component: postgres }",
    schema: |g| g.subschema_for::<DatabaseDrop>(),
    parse: |n, p| read::<DatabaseDrop>(n, p).map(|k| Box::new(k) as _),
};

/// Drops the platform's database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DatabaseDrop {
    /// The component that holds the database; `postgres` if nothing is said.
    #[serde(default = "postgres")]
    component: String,
}

fn postgres() -> String {
    "postgres".into()
}

/// What was dropped, and from which server.
#[derive(Debug, Serialize, Deserialize)]
struct DroppedDatabase {
    database: String,
    oid: u32,
    system: String,
}

#[async_trait]
impl Fault for DatabaseDrop {
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
        inventory.databases(&self.component)
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let sql = platform.sql()?;
        let (client, database) = (connect(platform).await?, sql.database().to_owned());
        let (system, oid) = (system(&client).await?, oid(&client, &database).await?);
        let oid = oid.ok_or_else(|| Error::new(format!("cannot drop `{database}`"), "it is not there"))?;
        Ok(Receipt(serde_json::json!(DroppedDatabase { database, oid, system })))
    }
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        unchanged("the database", bound, now)
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let dropped = recall::<DroppedDatabase>(receipt)?;
        let client = connect(platform).await?;
        let what = format!("cannot drop `{}`", dropped.database);
        if system(&client).await? != dropped.system {
            return Err(Error::new(what, "another server answers than the one that was meant"));
        }
        if oid(&client, &dropped.database).await? != Some(dropped.oid) {
            return Err(Error::new(what, "it is not the database that was meant"));
        }
        platform.ends(Identity::Database).await?;
        let drop = format!("DROP DATABASE {} WITH (FORCE)", escape_identifier(&dropped.database));
        client.batch_execute(&drop).await.map_err(|e| Error::caused_by(what, e))
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        match gone(platform, receipt).await {
            Ok(finding) => finding,
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

async fn gone(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let dropped = recall::<DroppedDatabase>(receipt)?;
    let client = connect(platform).await?;
    if system(&client).await? != dropped.system {
        return Ok(Finding::unknown("another server answers than the one that was meant"));
    }
    let row = client.query_opt("SELECT 1 FROM pg_database WHERE oid = $1", &[&dropped.oid]).await;
    let there = row.map_err(|e| Error::caused_by("cannot read `pg_database`", e))?.is_some();
    Ok(if there { Finding::missed(format!("database `{}` is still there", dropped.database)) } else { Finding::met() })
}

/// To the server's own database: a client cannot drop the database that it is connected to. A frozen server accepts connections
/// and says nothing, hence the time-out.
async fn connect(platform: &dyn Platform) -> Result<Client, Error> {
    let connecting = platform.sql()?.connect("postgres");
    let late = |_| Error::new("cannot connect to database `postgres`", "no answer within 10 s");
    tokio::time::timeout(Duration::from_secs(10), connecting).await.map_err(late)?
}

async fn system(client: &Client) -> Result<String, Error> {
    let row = client.query_one("SELECT system_identifier::text FROM pg_control_system()", &[]).await;
    row.map(|row| row.get(0)).map_err(|e| Error::caused_by("cannot read the server's identifier", e))
}

async fn oid(client: &Client, database: &str) -> Result<Option<u32>, Error> {
    let row = client.query_opt("SELECT oid FROM pg_database WHERE datname = $1", &[&database]).await;
    row.map(|row| row.map(|row| row.get(0))).map_err(|e| Error::caused_by("cannot read `pg_database`", e))
}
