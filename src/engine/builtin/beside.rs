//! A recovery point beside the live state, as a judge sees it: the platform with the database at the side, and the point's
//! artifacts as the repository holds them.
//!
//! Apart from the restore because nothing is changed here. Reading an artifact proves the repository's bytes: it tells
//! every damaged one.

use super::artifacts::{ArtifactContent, FOLDER, root};
use crate::client::s3::{ListedObject, ObjectSource};
use crate::client::{Error, Running};
use crate::environment::{Endpoints, Objects, Platform, Sql};
use crate::repository::{OpenPoint, StoredFile};
use async_trait::async_trait;
use futures::TryStreamExt;
use std::io;
use tokio::io::AsyncRead;
use tokio_postgres::Client;

/// The platform with another database of its server in place of the live one. Of its powers it has SQL and the bucket's
/// names.
pub struct SidePlatform<'a> {
    platform: &'a dyn Platform,
    sql: &'a dyn Sql,
    database: String,
    endpoints: Endpoints,
}

impl<'a> SidePlatform<'a> {
    /// With the database of this name.
    ///
    /// # Errors
    /// If the platform has no database server.
    pub fn new(platform: &'a dyn Platform, database: &str) -> Result<Self, Error> {
        let (sql, mut endpoints) = (platform.sql()?, platform.endpoints().clone());
        endpoints.postgres = endpoints.postgres.map(|uri| with_database(&uri, database));
        Ok(Self { platform, sql, database: database.to_owned(), endpoints })
    }
}

/// The URI with another database: what comes after the last slash.
fn with_database(uri: &str, database: &str) -> String {
    uri.rsplit_once('/').map_or_else(|| uri.to_owned(), |(server, _)| format!("{server}/{database}"))
}

#[async_trait]
impl Platform for SidePlatform<'_> {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
    fn run(&self) -> Option<&str> {
        self.platform.run()
    }
    fn standing(&self) -> bool {
        self.platform.standing()
    }
    fn sql(&self) -> Result<&dyn Sql, Error> {
        Ok(self)
    }
    fn objects(&self) -> Result<&dyn Objects, Error> {
        self.platform.objects()
    }
    async fn remove(&self) -> Vec<String> {
        vec![] // nothing of it is made here
    }
}

#[async_trait]
impl Sql for SidePlatform<'_> {
    fn database(&self) -> &str {
        &self.database
    }
    async fn connect(&self, database: &str) -> Result<Client, Error> {
        self.sql.connect(database).await
    }
    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        self.sql.tool(name, args).await
    }
}

/// The artifacts of a point.
pub struct PointObjects<'a> {
    point: &'a OpenPoint,
    root: String,
}

impl<'a> PointObjects<'a> {
    /// Of this point.
    pub fn new(point: &'a OpenPoint, content: &ArtifactContent) -> Self {
        Self { point, root: root(&content.prefix) }
    }

    fn listed(&self, file: StoredFile) -> ListedObject {
        let path = file.name.strip_prefix(FOLDER).and_then(|path| path.strip_prefix('/')).unwrap_or(&file.name);
        let etag = file.attributes.into_iter().find(|(name, etag)| name == "etag" && !etag.is_empty());
        ListedObject { key: format!("{}{path}", self.root), size: file.size, etag: etag.map(|(_, etag)| etag) }
    }
}

#[async_trait]
impl ObjectSource for PointObjects<'_> {
    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, Error> {
        let all = self.point.list(FOLDER).map_ok(|file| self.listed(file));
        all.try_filter(|object| std::future::ready(object.key.starts_with(prefix))).try_collect().await
    }

    async fn read(&self, key: &str) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        let path =
            key.strip_prefix(&self.root).ok_or_else(|| io::Error::other("it is not under the point's prefix"))?;
        let file = self.point.find(&format!("{FOLDER}/{path}")).await.map_err(io::Error::other)?;
        Ok(Box::new(self.point.read(&file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_at_the_side_stands_in_the_address_of_the_live_one() {
        let side = with_database("postgresql://mlflow@127.0.0.1:5432/mlflow", "mlflow_lifeboat_restore");
        assert_eq!(side, "postgresql://mlflow@127.0.0.1:5432/mlflow_lifeboat_restore");
    }
}
