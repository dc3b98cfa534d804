//! What the server must be set to for physical backups, as data: provisioning takes it, a survey asks for it.
//!
//! Apart because it is said before any server runs. `wal_level` and `max_wal_senders` are as PostgreSQL has them by
//! default; the bound of what a slot keeps is not: without it a receiver that is gone fills the server's disk.

use crate::client::{Error, postgres};
use crate::environment::Sql;
use crate::environment::stack::SLOT_BOUND;

/// One setting of the server, with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSetting {
    /// Its name.
    pub name: &'static str,
    /// What it is set to where Lifeboat starts the server.
    pub value: &'static str,
    /// SQL: is the value `v` of a server that somebody else started good enough?
    sufficient: &'static str,
    /// Why it is needed.
    pub why: &'static str,
}

/// All of them.
pub const SETTINGS: &[ServerSetting] = &[
    ServerSetting {
        name: "wal_level",
        value: "replica",
        sufficient: "v IN ('replica', 'logical')",
        why: "a log that can be replayed",
    },
    ServerSetting {
        name: "max_wal_senders",
        value: "10",
        sufficient: "v::int >= 3",
        why: "one for the receiver, two for a base backup",
    },
    ServerSetting {
        name: "max_replication_slots",
        value: "10",
        sufficient: "v::int >= 1",
        why: "the log is kept until it is received",
    },
    ServerSetting {
        name: "max_slot_wal_keep_size",
        value: SLOT_BOUND,
        sufficient: "v <> '-1'",
        why: "a receiver that is gone must not fill the server's disk",
    },
    ServerSetting {
        name: "full_page_writes",
        value: "on",
        sufficient: "v = 'on'",
        why: "a page that was written while it was copied is repaired from the log",
    },
];

/// Asks the server what is not as it must be, each in one sentence. One more is no setting of its file: whether the
/// administrator may replicate.
pub async fn unmet(sql: &dyn Sql) -> Result<Vec<String>, Error> {
    let client = super::connect(sql, "postgres").await?;
    let mut unmet = vec![];
    for ServerSetting { name, value, sufficient, why } in SETTINGS {
        let query =
            format!("SELECT v, {sufficient} FROM (SELECT current_setting('{name}', true) v) x WHERE v IS NOT NULL");
        for row in postgres::rows(&client, &query).await? {
            if !row.get::<_, bool>(1) {
                unmet.push(format!("`{name}` is {}, and is to be {value}: {why}", row.get::<_, String>(0)));
            }
        }
    }
    let query = "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user";
    let row = postgres::one(&client, query).await?;
    if !row.get::<_, bool>(0) {
        unmet.push("the administrator may not replicate: ALTER ROLE … REPLICATION".into());
    }
    Ok(unmet)
}

/// The error of what is not as it must be.
pub fn refusal(unmet: &[String]) -> Error {
    let error = Error::new("the server is not set up for physical backups", unmet.join("; "));
    error.hint("change that and restart the server, or use `postgres: logical`")
}
