//! Makes commits wait for the receiver, and lets them go again.
//!
//! Apart because it is the one thing here that can stop a platform: with a name in `synchronous_standby_names` and nobody
//! of that name connected, every commit waits for ever. So it is set only while the receiver streams, is cleared when
//! that is no longer so, and a name of somebody else's is never replaced.

use crate::client::{Error, postgres};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Client;

/// Whose commits wait by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Nobody's.
    None,
    /// For this receiver.
    Ours,
    /// For another.
    Foreign(String),
}

/// Whom commits wait for, asked of the server.
pub async fn waiting(client: &Client, name: &str) -> Result<Waiting, Error> {
    let row = postgres::one(client, "SELECT current_setting('synchronous_standby_names')").await?;
    Ok(whose(row.get(0), name))
}

/// Whom a value of the setting names.
pub fn whose(value: &str, name: &str) -> Waiting {
    match value.trim() {
        "" => Waiting::None,
        value if value == name || value == escape_identifier(name) => Waiting::Ours,
        value => Waiting::Foreign(value.to_owned()),
    }
}

/// Makes commits wait for the receiver of this name.
pub async fn set(client: &Client, name: &str) -> Result<(), Error> {
    match waiting(client, name).await? {
        Waiting::Ours => Ok(()),
        Waiting::None => {
            alter(client, &format!("SET synchronous_standby_names = {}", escape_literal(&escape_identifier(name))))
                .await
        }
        Waiting::Foreign(other) => Err(foreign(&other)),
    }
}

/// Lets commits go, if they wait for the receiver of this name; idempotent.
pub async fn clear(client: &Client, name: &str) -> Result<(), Error> {
    match waiting(client, name).await? {
        Waiting::Ours => alter(client, "RESET synchronous_standby_names").await,
        Waiting::None | Waiting::Foreign(_) => Ok(()),
    }
}

/// That commits wait for somebody else.
pub fn foreign(other: &str) -> Error {
    let why = format!("`synchronous_standby_names` is `{other}` already");
    Error::new("cannot make commits wait for the receiver", why).hint("receive asynchronously, or take that name away")
}

/// `ALTER SYSTEM` may not be in a transaction with anything else, and ends no transaction that would wait itself.
async fn alter(client: &Client, what: &str) -> Result<(), Error> {
    let failed = |e| Error::caused_by(format!("ALTER SYSTEM {what}"), e);
    client.batch_execute(&format!("ALTER SYSTEM {what}")).await.map_err(failed)?;
    client.batch_execute("SELECT pg_reload_conf()").await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_somebody_elses_is_told_from_ours() {
        assert_eq!(whose("", "lb"), Waiting::None);
        assert_eq!(whose("\"lb\"", "lb"), Waiting::Ours);
        assert_eq!(whose("lb", "lb"), Waiting::Ours);
        assert_eq!(whose("FIRST 1 (lb, other)", "lb"), Waiting::Foreign("FIRST 1 (lb, other)".into()));
    }
}
