//! What belongs to a database and is in no dump of it: its comment, its settings, its limit of connections and who may do
//! what with it.
//!
//! Apart because `pg_dump` leaves all of it to whoever creates the database (seen with PostgreSQL 15), and a restore
//! creates one.

use crate::client::Error;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

/// The properties of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProperties {
    comment: Option<String>,
    /// How many clients it takes; -1 for no limit.
    limit: i32,
    /// Settings of the database: for a role, or for all if there is none; `name=value`.
    settings: Vec<(Option<String>, String)>,
    /// Who may do what, and pass it on; nothing where nobody ever granted or revoked.
    grants: Option<Vec<Grant>>,
}

/// A right on the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Grant {
    /// The role; everybody if there is none.
    role: Option<String>,
    right: String,
    passed_on: bool,
}

const OWN: &str = "SELECT shobj_description(oid, 'pg_database'), datconnlimit, datacl IS NOT NULL FROM pg_database \
     WHERE datname = current_database()";
const SETTINGS: &str = "SELECT r.rolname::text, unnest(s.setconfig) FROM pg_db_role_setting s \
     JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole \
     WHERE d.datname = current_database() ORDER BY 1, 2";
const GRANTS: &str = "SELECT r.rolname::text, a.privilege_type, a.is_grantable FROM pg_database d \
     CROSS JOIN aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee \
     WHERE d.datname = current_database() ORDER BY 1, 2";

impl DatabaseProperties {
    /// Those of the database that the client is connected to.
    pub async fn read(client: &Client) -> Result<Self, Error> {
        let failed = |e| Error::caused_by("cannot read the database's properties", e);
        let own = client.query_one(OWN, &[]).await.map_err(failed)?;
        let settings = client.query(SETTINGS, &[]).await.map_err(failed)?;
        let grants = client.query(GRANTS, &[]).await.map_err(failed)?;
        let grant = |row: &tokio_postgres::Row| Grant { role: row.get(0), right: row.get(1), passed_on: row.get(2) };
        Ok(Self {
            comment: own.get(0),
            limit: own.get(1),
            settings: settings.iter().map(|row| (row.get(0), row.get(1))).collect(),
            grants: own.get::<_, bool>(2).then(|| grants.iter().map(grant).collect()),
        })
    }

    /// The statements that give them to another database.
    pub fn statements(&self, database: &str) -> String {
        let database = escape_identifier(database);
        let mut all = vec![];
        all.extend(
            self.comment.as_ref().map(|text| format!("COMMENT ON DATABASE {database} IS {}", escape_literal(text))),
        );
        all.push(format!("ALTER DATABASE {database} CONNECTION LIMIT {}", self.limit));
        for (role, setting) in &self.settings {
            let Some((name, value)) = setting.split_once('=') else { continue };
            // A list such as `search_path` is no single text; the session takes it as it was stored.
            all.push(format!("SELECT set_config({}, {}, false)", escape_literal(name), escape_literal(value)));
            let whose = match role {
                Some(role) => format!("ROLE {} IN DATABASE {database}", escape_identifier(role)),
                None => format!("DATABASE {database}"),
            };
            all.push(format!("ALTER {whose} SET {name} FROM CURRENT"));
        }
        if let Some(grants) = &self.grants {
            all.push(format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"));
            all.extend(grants.iter().map(|Grant { role, right, passed_on }| {
                let role = role.as_deref().map_or_else(|| "PUBLIC".to_owned(), escape_identifier);
                let option = if *passed_on { " WITH GRANT OPTION" } else { "" };
                format!("GRANT {right} ON DATABASE {database} TO {role}{option}")
            }));
        }
        all.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_no_dump_holds_is_given_to_the_database_at_the_side() {
        let properties = DatabaseProperties {
            comment: Some("it's ours".into()),
            limit: 50,
            settings: vec![
                (None, "search_path=\"$user\", public".into()),
                (Some("mlflow".into()), "work_mem=8MB".into()),
            ],
            grants: Some(vec![Grant { role: None, right: "CONNECT".into(), passed_on: false }]),
        };
        let expected = [
            "COMMENT ON DATABASE \"side\" IS 'it''s ours'",
            "ALTER DATABASE \"side\" CONNECTION LIMIT 50",
            "SELECT set_config('search_path', '\"$user\", public', false)",
            "ALTER DATABASE \"side\" SET search_path FROM CURRENT",
            "SELECT set_config('work_mem', '8MB', false)",
            "ALTER ROLE \"mlflow\" IN DATABASE \"side\" SET work_mem FROM CURRENT",
            "REVOKE ALL ON DATABASE \"side\" FROM PUBLIC",
            "GRANT CONNECT ON DATABASE \"side\" TO PUBLIC",
        ];
        assert_eq!(properties.statements("side"), expected.join("; "));
    }

    #[test]
    fn a_database_of_which_nothing_was_said_gets_nothing_but_its_limit() {
        let plain = DatabaseProperties { limit: -1, ..DatabaseProperties::default() };
        assert_eq!(plain.statements("a"), "ALTER DATABASE \"a\" CONNECTION LIMIT -1");
    }
}
