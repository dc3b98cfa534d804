//! Protection files: what is protected, by which engine, and in which repositories its points are kept.
//!
//! Apart from a drill's `protect`, which is about one run: a protection outlives runs, and its repositories outlive it.
//! Not here: what starts a backup; `every` says how often one is due, and a timer of yours calls the command.

use super::configuration::Configuration;
use super::keep::{self, Keep};
use super::raw::{Alone, Raw, one_of};
use super::{Wrong, expect_name, tree};
use crate::engine::{ENGINES, Engine};
use crate::environment::{Asset, ServerAddress};
use crate::kind::{Chosen, pick};
use crate::model::Period;
use crate::node::{Node, Problem, read};
use crate::repository::{BucketAddress, RepositorySettings, SecretFrom};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// What is protected, by what, and where the points are kept.
#[derive(Debug, Clone)]
pub struct Protection {
    /// Its name, under which its points are kept.
    pub name: String,
    /// The database.
    pub server: ServerAddress,
    /// Where its user's password stands; nothing if it has none.
    pub password: Option<SecretFrom>,
    /// The bucket of the artifacts, if they are protected.
    pub artifacts: Option<BucketAddress>,
    /// The configuration that goes into each point, sealed, if it is protected.
    pub configuration: Option<Configuration>,
    /// What takes the backups.
    pub engine: Chosen<dyn Engine>,
    /// Where its points are kept, in the order of the file: a restore takes the first that has the point.
    pub repositories: Vec<RepositorySettings>,
    /// For how long its points are kept; without it, for ever.
    pub keep: Option<Keep>,
    /// How often a point is due.
    pub every: Option<Period>,
    /// By how much a point may be smaller than the one before it, until that is told.
    pub shrink: Share,
    /// Where the server's log is received on this machine, for an engine that keeps one.
    pub spool: Option<PathBuf>,
}

/// A part of a whole, of 0 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u8);

impl Share {
    /// Has what was `before` become smaller by more than this share?
    pub fn shrunk(self, before: u64, now: u64) -> bool {
        u128::from(now) * 100 < u128::from(before) * u128::from(100 - self.0)
    }
}

impl Default for Share {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let wrong = || serde::de::Error::custom("expected a share from 0% to 100%, such as 50%");
        let text = String::deserialize(d).map_err(|_: D::Error| wrong())?;
        let percent = text.strip_suffix('%').and_then(|text| text.trim().parse().ok()).filter(|it| *it <= 100);
        percent.map(Self).ok_or_else(wrong)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(100|[0-9]{1,2})%$", "description": "A share: 50%" })
    }
}

/// A protection: what is backed up, by what, and into which repositories.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a protection's keys")]
#[schemars(title = "Lifeboat protection")]
#[allow(dead_code)] // what is raw is read by its kinds
pub(super) struct ProtectionFile {
    /// Its name: small letters, digits and hyphens. Its points are kept under it.
    protection: String,
    /// What is protected.
    platform: ProtectedPlatform,
    /// What takes the backups.
    #[schemars(schema_with = "engine")]
    engine: Raw,
    /// Where the points are kept, each under a name of its own; a restore takes the first that has the point.
    #[schemars(schema_with = "repositories")]
    repositories: Vec<Raw>,
    /// For how long points are kept: `lifeboat prune` removes the others.
    #[serde(default)]
    #[schemars(schema_with = "keep::schema")]
    keep: Option<Raw>,
    /// How often a point is due. `lifeboat points` ends with 3 when the newest is older than this and half as much again.
    #[serde(default)]
    every: Option<Period>,
    /// A point that is smaller than the one before it by more than this share is told, and `lifeboat backup` ends with 3.
    #[serde(default)]
    shrink: Share,
    /// With `postgres: physical`: the directory on this machine into which `lifeboat receive` takes the server's log. It
    /// must be on another disk than the server's data, and on another machine if you can.
    #[serde(default)]
    spool: Option<PathBuf>,
}

/// What is protected.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`postgres`, `artifacts` and `configuration`")]
struct ProtectedPlatform {
    /// MLflow's database.
    postgres: ProtectedDatabase,
    /// MLflow's artifacts.
    #[serde(default)]
    artifacts: Option<ProtectedArtifacts>,
    /// What it takes to start the same platform again, sealed in each point.
    #[serde(default)]
    configuration: Option<Configuration>,
}

/// MLflow's artifacts: where the server keeps them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`s3`")]
struct ProtectedArtifacts {
    /// A bucket, or what is under a prefix of one: `s3://BUCKET/PREFIX` of MLflow's `--artifacts-destination`.
    s3: BucketAddress,
}

/// MLflow's database, as an administrator reaches it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`url` and `password`")]
struct ProtectedDatabase {
    /// `postgresql://USER@HOST:PORT/DATABASE`, without a password.
    #[allow(dead_code)] // read from its node, so that it is told of beside other problems
    url: String,
    /// Where the user's password stands.
    #[serde(default)]
    password: Option<SecretFrom>,
    /// Encrypts the connection. Without it, it is in the clear.
    #[serde(default)]
    tls: Option<DatabaseTls>,
}

/// Whom the connection trusts: the server's certificate must name its host and be signed by one of these.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`ca`")]
struct DatabaseTls {
    /// A file of PEM certificates.
    ca: PathBuf,
}

fn engine(g: &mut SchemaGenerator) -> Schema {
    one_of::<_, Alone>(ENGINES, g)
}

fn repositories(g: &mut SchemaGenerator) -> Schema {
    crate::repository::list_schema(g)
}

/// Reads a protection.
///
/// # Errors
/// All that is wrong with the file.
pub fn load_protection(path: &Path) -> Result<Protection, Wrong> {
    let (root, mut problems) = (tree(path)?, vec![]);
    let read = read_protection(&root, &mut problems);
    read.filter(|_| problems.is_empty()).ok_or_else(|| Wrong::one(path, problems))
}

fn read_protection(root: &Node, problems: &mut Vec<Problem>) -> Option<Protection> {
    let file = read::<ProtectionFile>(root, problems);
    let given = |key: &str| root.get(key).filter(|node| !node.is_null());
    let engine = given("engine").and_then(|node| read_engine(node, problems));
    let repositories = given("repositories").map(|node| read_repositories(node, problems)).unwrap_or_default();
    let names: Vec<_> = repositories.iter().map(|it| it.name.as_str()).collect();
    let keep = given("keep").and_then(|node| Keep::read(node, &names, problems));
    if let Some(node) = root.get("protection") {
        expect_name("protection", node, problems);
    }
    let url = root.at(&["platform", "postgres", "url"]);
    let server = url.text().map(|text| address(text).map_err(|problem| problems.push(problem(url))));
    let (file, engine, mut server) = (file?, engine?, server?.ok()?);
    let ProtectedPlatform { postgres: ProtectedDatabase { password, tls, .. }, artifacts, configuration } =
        file.platform;
    if let Some(configuration) = &configuration {
        configuration.check(root.at(&["platform", "configuration"]), problems);
    }
    let artifacts = artifacts.map(|artifacts| artifacts.s3);
    match (&artifacts, engine.covers().contains(&Asset::Artifacts)) {
        (None, true) => {
            let problem = Problem::new(root.at(&["platform"]), "it does not say where the artifacts are");
            problems.push(problem.hint("add `artifacts: { s3: { bucket: …, credentials: … } }`"));
        }
        (Some(_), false) => {
            let text = "no backup is taken of the artifacts";
            let problem = Problem::new(root.at(&["platform", "artifacts"]), text);
            problems.push(problem.hint("write `engine: { builtin: { postgres: logical, artifacts: objects } }`"));
        }
        _ => {}
    }
    match (&file.spool, engine.keeps_log()) {
        (None, true) => {
            let problem = Problem::new(root, "it does not say where the server's log is received");
            problems.push(problem.hint("add `spool: DIRECTORY`, on another disk than the server's"));
        }
        (Some(_), false) => {
            let problem = Problem::new(root.at(&["spool"]), "no log is received by this engine");
            problems.push(problem.hint("take it out, or write `engine: { builtin: { postgres: physical } }`"));
        }
        _ => {}
    }
    server.ca = tls.map(|tls| tls.ca);
    Some(Protection {
        name: file.protection,
        server,
        password,
        artifacts,
        configuration,
        engine,
        repositories,
        keep,
        every: file.every,
        shrink: file.shrink,
        spool: file.spool,
    })
}

fn read_engine(node: &Node, problems: &mut Vec<Problem>) -> Option<Chosen<dyn Engine>> {
    let engine = pick("engine", ENGINES, node, problems)?;
    if engine.uses_repositories() {
        return Some(engine);
    }
    let text = format!("the engine `{}` keeps its points itself, and in no repository", engine.name);
    problems
        .push(Problem::new(node, text).hint("use `builtin: { postgres: logical }`, or name it in a drill's `protect`"));
    None
}

pub(super) fn read_repositories(node: &Node, problems: &mut Vec<Problem>) -> Vec<RepositorySettings> {
    let mut all: Vec<RepositorySettings> = vec![];
    if node.items().is_empty() {
        let problem = Problem::new(node, "there is no repository");
        problems.push(problem.hint("write a list, such as `- near: { directory: /backups, password: { file: … } }`"));
    }
    for item in node.items() {
        let [(key, settings)] = item.entries() else {
            let problem = Problem::new(item, "expected one name with its repository");
            problems.push(problem.hint("such as `near: { directory: /backups, password: { file: … } }`"));
            continue;
        };
        let name = key.text().unwrap_or_default();
        expect_name("repository", key, problems);
        if all.iter().any(|other| other.name == name) {
            problems.push(Problem::new(key, format!("there are two repositories `{name}`")));
        }
        if keep::is_class(name) {
            problems
                .push(Problem::new(key, format!("`{name}` is a class of data in `keep`")).hint("name it otherwise"));
        }
        all.extend(RepositorySettings::read(name, settings, problems));
    }
    all
}

/// Where a database is, or what is wrong with its URL.
fn address(url: &str) -> Result<ServerAddress, impl FnOnce(&Node) -> Problem + use<>> {
    const HINT: &str = "write `postgresql://USER@HOST:PORT/DATABASE`";
    let wrong = |text: String, hint: &'static str| move |node: &Node| Problem::new(node, text).hint(hint);
    let config: Config = match url.parse() {
        Ok(config) => config,
        Err(_) => return Err(wrong("this is no URL of a PostgreSQL database".into(), HINT)),
    };
    if config.get_password().is_some() {
        let hint = "take it out, and name where it stands: `password: { file: PATH }`";
        return Err(wrong("the password stands in the file".into(), hint));
    }
    let (hosts, user, database) = (config.get_hosts(), config.get_user(), config.get_dbname());
    let ([Host::Tcp(host)], Some(user), Some(database)) = (hosts, user, database) else {
        return Err(wrong("the URL must name one host, a user and a database".into(), HINT));
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    Ok(ServerAddress { host: host.clone(), port, user: user.to_owned(), database: database.to_owned(), ca: None })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;

    const GOOD: &str = "protection: mlflow
platform: { postgres: { url: 'postgresql://admin@db:5433/mlflow', password: { env: PG } } }
engine: { builtin: { postgres: logical } }
repositories:
  - near: { directory: /backups, password: { file: /run/secrets/near } }
  - far: { directory: /far, password: { env: FAR } }
";

    fn problems_of(text: &str) -> Vec<String> {
        let mut problems = vec![];
        let read = read_protection(&parse(text).unwrap(), &mut problems);
        assert!(read.is_none() || !problems.is_empty(), "{text} is right");
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_protection_is_read_with_its_repositories_in_order() {
        let mut problems = vec![];
        let protection = read_protection(&parse(GOOD).unwrap(), &mut problems).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let (user, database) = ("admin".into(), "mlflow".into());
        let address = ServerAddress { host: "db".into(), port: 5433, user, database, ca: None };
        assert_eq!((protection.name.as_str(), protection.server), ("mlflow", address));
        assert_eq!(protection.repositories.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["near", "far"]);
    }

    #[test]
    fn how_long_points_are_kept_and_how_much_they_may_shrink_stands_beside() {
        let mut problems = vec![];
        let text = format!("{GOOD}keep: {{ near: 7d, full: 30d }}\nevery: 1h\nshrink: 20%\n");
        let protection = read_protection(&parse(&text).unwrap(), &mut problems).unwrap();
        assert!(problems.is_empty() && protection.keep.unwrap().repositories.contains_key("near"), "{problems:?}");
        assert_eq!(protection.every, Some(Period::seconds(3600)));
        assert!(protection.shrink.shrunk(100, 79) && !protection.shrink.shrunk(100, 80));
        assert!(!Share(100).shrunk(100, 0) && Share(0).shrunk(100, 99) && !Share::default().shrunk(0, 0));
        let text = format!("{GOOD}keep: {{ neer: 7d }}\nshrink: 200%\n").replace("far:", "full:");
        let said = problems_of(&text);
        for part in ["did you mean `near`?", "0% to 100%", "`full` is a class of data"] {
            assert!(said.iter().any(|problem| problem.contains(part)), "{part}: {said:#?}");
        }
    }

    #[test]
    fn a_log_has_a_place_where_one_is_received_and_only_there() {
        let physical = GOOD.replace("logical", "physical");
        assert!(problems_of(&physical)[0].contains("where the server's log is received"));
        let text = format!("{physical}spool: /spool\n");
        let protection = read_protection(&parse(&text).unwrap(), &mut vec![]).unwrap();
        assert_eq!(protection.spool, Some(PathBuf::from("/spool")));
        assert!(problems_of(&format!("{GOOD}spool: /spool\n"))[0].contains("no log is received by this engine"));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let text = GOOD
            .replace("mlflow\nplatform", "Ml Flow\nplatform")
            .replace("admin@db", "admin:sesame@db")
            .replace("builtin: { postgres: logical }", "command: { backup: 'true', restore: 'true' }")
            .replace("far:", "near:");
        let said = problems_of(&text);
        assert_eq!(said.len(), 4, "{said:#?}");
        assert!(!said.iter().any(|problem| problem.contains("sesame")), "{said:#?}");
        for part in ["no name for a protection", "password stands in the file", "keeps its points itself", "two repos"]
        {
            assert!(said.iter().any(|problem| problem.contains(part)), "{part}: {said:#?}");
        }
    }

    #[test]
    fn a_url_that_leads_nowhere_and_an_empty_list_are_told() {
        for (from, to, part) in [
            ("postgresql://admin@db:5433/mlflow", "mysql://db", "no URL of a PostgreSQL database"),
            ("admin@db:5433/mlflow", "db", "one host, a user and a database"),
            ("admin@db:5433/mlflow", "admin@a,b/mlflow", "one host, a user and a database"),
        ] {
            assert!(
                problems_of(&GOOD.replace(from, to))[0].contains(part),
                "{to}: {:?}",
                problems_of(&GOOD.replace(from, to))
            );
        }
        let none = format!("{}repositories: []\n", GOOD.split("repositories").next().unwrap());
        assert!(problems_of(&none)[0].contains("there is no repository"));
    }
}
