//! An administrator's connection to the private server inside of a helper: nothing of it is published, so a program in
//! there carries the bytes.
//!
//! Apart from the volume because the database's client is what needs it.

use super::{Helper, HelperUser};
use crate::client::{Error, Running, postgres};
use crate::environment::Sql;
use crate::environment::stack::DATABASE;
use async_trait::async_trait;
use std::sync::Arc;
use tokio_postgres::{Client, Config};

/// The private server's port, inside of the helper.
pub const PORT: &str = "5432";
/// Carries bytes to and fro. Every image of PostgreSQL has bash, whose own entrypoint needs it.
const RELAY: &str = "exec 3<>\"/dev/tcp/127.0.0.1/$1\" 4<&0; cat <&4 >&3 2>/dev/null 4<&- & exec cat <&3 4<&-";

/// The connection.
pub struct HelperSql(pub Arc<dyn Helper>);

#[async_trait]
impl Sql for HelperSql {
    async fn connect(&self, database: &str) -> Result<Client, Error> {
        let relay = self.0.exec(HelperUser::Server, &["bash", "-c", RELAY, "bash", PORT]).await?;
        let mut config = Config::new();
        config.user(DATABASE).dbname(database);
        postgres::connect_through(&config, relay).await
    }

    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        let (user, database, port) =
            (format!("PGUSER={DATABASE}"), format!("PGDATABASE={DATABASE}"), format!("PGPORT={PORT}"));
        let told = ["env", "PGHOST=127.0.0.1", &port, &user, &database, "PGCONNECT_TIMEOUT=10", name];
        self.0.exec(HelperUser::Server, &[&told, args].concat()).await
    }
}
