//! The fault that damages a page of a table on the disk of the database server, as a failing disk does.
//!
//! The server writes it itself: an administrator may have it run a program (`COPY TO PROGRAM`), which writes a text into
//! the middle of the page in the file. What the server had read of that page before would hide the damage, so it is ended
//! at once and started again. Only a server with data checksums can see it: others answer with wrong values.

use super::relations::{BoundDatabase, BoundTable, asked, bind, locked, postgres, rejoin, tables};
use super::{Fault, Nature, recall, unchanged};
use crate::client::Error;
use crate::environment::{Asset, AssetUnder, Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// `page-damaged: { table: params }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "page-damaged",
    about: "Damages a page of a table on the disk of the database server, and restarts the server, which must have checksums.",
    example: "page-damaged: { component: postgres, table: params, page: 0 }",
    schema: |g| g.subschema_for::<PageDamaged>(),
    parse: |n, p| read::<PageDamaged>(n, p).map(|k| Box::new(k) as _),
};

/// Damages a page of a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageDamaged {
    /// The component that holds the database; `postgres` if nothing is said.
    #[serde(default = "postgres")]
    component: String,
    /// The table: `NAME`, or `SCHEMA.NAME`; `params` if nothing is said.
    #[serde(default = "params")]
    table: String,
    /// Which page of it; the first, 0, holds the oldest rows.
    #[serde(default)]
    page: u32,
}

fn params() -> String {
    "params".into()
}

/// Bytes of one file of a table: longer tables go on in a next one.
const FILE: u64 = 1 << 30;

/// What is written; it must not be as long as half of a page.
const DAMAGE: &str = "damaged by a drill";

/// Which page was to be damaged, and where it lies.
#[derive(Debug, Serialize, Deserialize)]
struct DamagedPage {
    component: String,
    database: BoundDatabase,
    table: BoundTable,
    page: u32,
    /// The table's file, below the server's data directory: another once it is written anew, as by `VACUUM FULL`.
    file: String,
    /// Bytes of a page.
    size: u64,
}

#[async_trait]
impl Fault for PageDamaged {
    fn nature(&self) -> Nature {
        Nature::Loss
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql, Power::Components]
    }
    fn takes(&self, _: &Inventory) -> Vec<AssetUnder> {
        vec![Asset::Database.into()]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let databases = inventory.databases(&self.component).into_iter();
        databases.map(|it| format!("the page {} of the table {} in {it}", self.page, self.table)).collect()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let (client, database) = bind(platform).await?;
        let table = tables(&client, std::slice::from_ref(&self.table)).await?.remove(0);
        let query = "SELECT current_setting('data_checksums') = 'on', current_setting('block_size')::bigint, \
            pg_relation_size($1::oid::regclass), pg_relation_filepath($1::oid::regclass)";
        let row = client.query_one(query, &[&table.oid]).await.map_err(asked)?;
        let what = format!("cannot damage the page {} of `{}`", self.page, table.name);
        if !row.get::<_, bool>(0) {
            let error = Error::new(what, "the server has no data checksums: nobody would see the damage");
            return Err(error.hint("turn them on with `pg_checksums --enable`"));
        }
        let (size, bytes, file): (i64, i64, Option<String>) = (row.get(1), row.get(2), row.get(3));
        let size = u64::try_from(size).unwrap_or(8192);
        let pages = u64::try_from(bytes).unwrap_or_default() / size;
        let file = file.filter(|_| u64::from(self.page) < pages);
        let file = file.ok_or_else(|| Error::new(what, format!("it has {pages} pages")))?;
        let (component, page) = (self.component.clone(), self.page);
        Ok(Receipt(serde_json::json!(DamagedPage { component, database, table, page, file, size })))
    }
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        unchanged("the table's file", bound, now)
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let damaged = recall::<DamagedPage>(receipt)?;
        let client = rejoin(platform, &damaged.database).await?;
        // Else the page may be written over the damage, or be brought back by the log.
        let ready = client.batch_execute("CHECKPOINT").await;
        ready.map_err(|e| Error::caused_by("cannot write a checkpoint", e))?;
        locked(&client, std::slice::from_ref(&damaged.table), "ACCESS SHARE").await?;
        let file = client.query_one("SELECT pg_relation_filepath($1::oid::regclass)", &[&damaged.table.oid]).await;
        if file.map_err(asked)?.get::<_, Option<String>>(0).as_ref() != Some(&damaged.file) {
            let what = format!("the table `{}`", damaged.table.name);
            return Err(Error::new(what, "it lies in another file than the one that was meant"));
        }
        let written = client.batch_execute(&format!("{}; COMMIT", damaged.harm())).await;
        written.map_err(|e| Error::caused_by("cannot write into the table's file", e))?;
        let components = platform.components()?;
        components.kill(&damaged.component).await?;
        components.start(&damaged.component).await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        unreadable(platform, receipt).await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
    fn confirmed_within(&self) -> Duration {
        Duration::from_mins(1) // the server starts again
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a loss: only the recovery brings it back
    }
}

impl DamagedPage {
    /// SQL that writes into the middle of the page. The program reads what the server gives it, the text and a newline.
    /// No shell sees anything of a user's: the name of the file is the server's own, of letters, digits and slashes.
    fn harm(&self) -> String {
        let offset = u64::from(self.page) * self.size;
        let (number, within) = (offset / FILE, offset % FILE + self.size / 2);
        let file = if number == 0 { self.file.clone() } else { format!("{}.{number}", self.file) };
        format!("COPY (SELECT '{DAMAGE}') TO PROGRAM 'dd of={file} bs=1 seek={within} conv=notrunc,fsync'")
    }
}

/// Reads the rows of that page alone, in the order of the table, so that no index answers instead.
async fn unreadable(platform: &dyn Platform, receipt: &Receipt) -> Result<Finding, Error> {
    let damaged = recall::<DamagedPage>(receipt)?;
    let client = rejoin(platform, &damaged.database).await?;
    let (name, page) = (&damaged.table.name, damaged.page);
    let rows = format!("SELECT count(*) FROM {name} t WHERE ctid >= '({page},0)' AND ctid < '({},0)'", page + 1);
    match client.query_one(&rows, &[]).await {
        Ok(_) => Ok(Finding::missed(format!("the server reads the page {page} of `{name}`"))),
        Err(error) if error.code() == Some(&SqlState::DATA_CORRUPTED) => {
            let said = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
            Ok(Finding::met().figure("the server says", said))
        }
        Err(error) => Err(asked(error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::stack;

    fn receipt(page: u32) -> DamagedPage {
        let database = serde_json::json!({ "system": "1", "name": "mlflow", "oid": 7 });
        let table = serde_json::json!({ "name": "public.params", "oid": 8 });
        let receipt = serde_json::json!({ "component": "postgres", "database": database, "table": table, "page": page,
            "file": "base/7/9", "size": 8192 });
        serde_json::from_value(receipt).unwrap()
    }

    #[test]
    fn the_middle_of_the_page_is_hit_in_the_file_that_has_it() {
        let harm = |page: u32| receipt(page).harm();
        assert!(harm(0).contains("'dd of=base/7/9 bs=1 seek=4096 conv=notrunc,fsync'"), "{}", harm(0));
        assert!(harm(2).contains("seek=20480 "), "{}", harm(2));
        assert!(harm(131_073).contains("of=base/7/9.1 bs=1 seek=12288 "), "{}", harm(131_073));
    }

    #[test]
    fn it_says_what_it_aims_at() {
        let targets = |text: &str| {
            let fault: PageDamaged = read(&crate::node::parse(text).unwrap(), &mut vec![]).unwrap();
            fault.targets(&stack::inventory())
        };
        assert_eq!(targets("{}"), ["the page 0 of the table params in the database mlflow of postgres"]);
        assert!(targets("{ component: s3 }").is_empty());
    }
}
