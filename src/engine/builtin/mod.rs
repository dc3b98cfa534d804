//! Lifeboat's own engine: logical backups of the platform's database, each verified by reading it back, and with them
//! the artifacts, if asked; or physical backups of its server ([`physical`]).
//!
//! A logical backup is one snapshot: the rows counted for the manifest and the rows dumped are the same. Its restore
//! goes into a database at the side, is compared with the manifest, and takes the place of the live one in a single
//! transaction, so that clients see the old state, then none, then the whole new one.
//! Not here: the choice of a point, which is the runbook's.

mod apart;
mod artifacts;
mod beside;
mod dump;
mod manifest;
mod model;
mod own;
pub mod physical;
mod properties;
mod restore;
mod session;

use super::{Engine, EngineContext, Receiving, Session, receives_nothing};
use crate::client::Error;
use crate::client::kubernetes::permission::MAKING_A_HELPER;
use crate::environment::{Asset, LossKind, Permission, Platform, Power, Sql};
use crate::kind::Kind;
use crate::node::{Node, Problem, read};
use artifacts::ArtifactMethod;
use async_trait::async_trait;
use physical::protected::ProtectedServer;
use physical::receiver::CommitMode;
use physical::session::PhysicalSession;
use schemars::JsonSchema;
use serde::Deserialize;
use session::LogicalSession;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Client;

/// `builtin: { postgres: logical }`
pub const KIND: Kind<dyn Engine> = Kind {
    name: "builtin",
    about: "Backs up the database, and the artifacts if asked, and restores them without a half-restored database.",
    example: "builtin: { postgres: logical, artifacts: objects }",
    schema: |g| g.subschema_for::<Builtin>(),
    parse: |n, p| read_builtin(n, p).map(|k| Box::new(k) as _),
};

/// Lifeboat's own engine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Builtin {
    /// How the database is backed up.
    postgres: Method,
    /// How the artifacts are backed up; without it, they are not.
    #[serde(default)]
    artifacts: Option<ArtifactMethod>,
    /// With `physical`: do commits wait until their log is received? They do not if nothing is said: then what was
    /// acknowledged in the last moment before a loss may be lost.
    commits: Option<CommitMode>,
}

/// How a database is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Method {
    /// By `pg_dump` of one snapshot, compressed by zstd.
    Logical,
    /// By base backups of the whole server, and its log as it is written; restored to the last transaction before the
    /// disaster.
    Physical,
}

impl Builtin {
    fn commit_mode(&self) -> CommitMode {
        self.commits.unwrap_or(CommitMode::Asynchronous)
    }
}

fn read_builtin(node: &Node, problems: &mut Vec<Problem>) -> Option<Builtin> {
    let builtin = read::<Builtin>(node, problems)?;
    let problem = match builtin.postgres {
        Method::Logical if builtin.commits.is_some() => {
            let problem = Problem::new(node.at(&["commits"]), "no log is received with `postgres: logical`");
            problem.hint("take it out, or use `postgres: physical`")
        }
        Method::Physical if builtin.artifacts.is_some() => {
            let text = "the points of `postgres: physical` hold no artifacts yet";
            Problem::new(node.at(&["artifacts"]), text).hint("take it out, or use `postgres: logical`")
        }
        _ => return Some(builtin),
    };
    problems.push(problem);
    None
}

#[async_trait]
impl Engine for Builtin {
    fn needs(&self) -> &'static [Power] {
        match (self.postgres, self.artifacts) {
            (Method::Logical, Some(_)) => &[Power::Sql, Power::Objects],
            (Method::Logical, None) => &[Power::Sql],
            (Method::Physical, _) => &[Power::Sql, Power::Components, Power::Volumes],
        }
    }

    fn permissions(&self) -> Vec<Permission> {
        if self.postgres == Method::Physical { MAKING_A_HELPER.to_vec() } else { vec![] }
    }

    fn covers(&self) -> Vec<Asset> {
        match (self.postgres, self.artifacts) {
            (Method::Logical, Some(_)) => vec![Asset::Database, Asset::Artifacts, Asset::Models],
            _ => vec![Asset::Database],
        }
    }

    fn brings_back(&self, asset: Asset, how: LossKind) -> bool {
        let by_versions = asset != Asset::Database && self.artifacts == Some(ArtifactMethod::Versions);
        self.covers().contains(&asset) && !(by_versions && how == LossKind::Purged)
    }

    fn verifies(&self) -> bool {
        true
    }

    fn uses_repositories(&self) -> bool {
        true
    }

    fn keeps_log(&self) -> bool {
        self.postgres == Method::Physical
    }

    async fn receive(&self, server: Arc<dyn Platform>, receiving: Receiving<'_>) -> Result<(), Error> {
        match self.postgres {
            Method::Physical => physical::receive::receive(server, self.commit_mode(), receiving).await,
            Method::Logical => Err(receives_nothing()),
        }
    }

    fn restores_beside(&self) -> bool {
        self.postgres == Method::Logical
    }

    async fn open(&self, context: EngineContext) -> Result<Box<dyn Session>, Error> {
        Ok(match (self.postgres, context.repository.clone()) {
            (Method::Physical, Some(named)) => Box::new(ProtectedServer::new(context, named)),
            (Method::Logical, _) => Box::new(LogicalSession::begin(context, self.artifacts).await?),
            (Method::Physical, None) => Box::new(PhysicalSession::begin(context, self.commit_mode()).await?),
        })
    }

    async fn tidy(&self, platform: &dyn Platform) -> Vec<String> {
        let tidied = async {
            match self.postgres {
                Method::Logical => restore::tidy(platform.sql()?).await,
                Method::Physical => physical::session::tidy(platform).await.map(|()| vec![]),
            }
        };
        tidied.await.unwrap_or_else(|error| vec![format!("what a restore may have left: {error}")])
    }
}

/// A frozen server accepts connections and says nothing, hence the time-out.
async fn connect(sql: &dyn Sql, database: &str) -> Result<Client, Error> {
    let late = |_| Error::new(format!("cannot connect to database `{database}`"), "no answer within 10 s");
    tokio::time::timeout(Duration::from_secs(10), sql.connect(database)).await.map_err(late)?
}

/// Carries out statements that answer nothing.
async fn execute(client: &Client, what: &str, statements: &str) -> Result<(), Error> {
    client.batch_execute(statements).await.map_err(|e| Error::caused_by(what, e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;

    #[test]
    fn whether_commits_wait_is_asked_only_where_a_log_is_received() {
        let problems = |text: &str| {
            let mut problems = vec![];
            let read = read_builtin(&parse(text).unwrap(), &mut problems).is_some();
            assert_eq!(read, problems.is_empty(), "{problems:?}");
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        for right in ["{ postgres: logical }", "{ postgres: physical }", "{ postgres: physical, commits: synchronous }"]
        {
            assert_eq!(problems(right), "", "{right}");
        }
        let said = problems("{ postgres: logical, commits: asynchronous }");
        assert!(said.starts_with("no log is received with `postgres: logical`; take it out"), "{said}");
    }

    #[test]
    fn physical_backups_need_power_over_the_data_directory_and_keep_a_log() {
        let physical = Builtin { postgres: Method::Physical, artifacts: None, commits: None };
        assert!(physical.needs().contains(&Power::Volumes) && physical.keeps_log());
        let logical = Builtin { postgres: Method::Logical, artifacts: None, commits: None };
        assert!(!logical.needs().contains(&Power::Volumes) && !logical.keeps_log());
        let both = Builtin { artifacts: Some(ArtifactMethod::Objects), ..logical };
        assert!(both.needs().contains(&Power::Objects) && both.covers().contains(&Asset::Artifacts));
        assert!(both.covers().contains(&Asset::Models), "its rows and its artifacts");
    }

    #[test]
    fn versions_bring_back_what_was_overwritten_and_not_what_was_purged() {
        let method = |artifacts| Builtin { postgres: Method::Logical, artifacts: Some(artifacts), commits: None };
        let (versions, objects) = (method(ArtifactMethod::Versions), method(ArtifactMethod::Objects));
        assert!(versions.brings_back(Asset::Artifacts, LossKind::Overwritten));
        assert!(!versions.brings_back(Asset::Artifacts, LossKind::Purged));
        assert!(versions.brings_back(Asset::Database, LossKind::Purged));
        assert!(objects.brings_back(Asset::Artifacts, LossKind::Purged));
    }
}
