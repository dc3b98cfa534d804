//! The engine of those who have one already: two shell commands, one that backs up and one that restores.
//!
//! A command's point has a folder of its own to write into; a command that keeps its backups elsewhere leaves it
//! empty. Nothing is known of its snapshot but that it was taken before the command ended.

use super::unfinished::UnfinishedPoint;
use super::{Engine, EngineContext, RestorePlan, Session};
use crate::client::shell::{self, Variable};
use crate::client::{Error, process};
use crate::clock;
use crate::environment::{Asset, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, RecoveryPoint};
use crate::node::read;
use async_trait::async_trait;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;

/// `command: { backup: "…", restore: "…" }`
pub const KIND: Kind<dyn Engine> = Kind {
    name: "command",
    about: "Backs up and restores by your own shell commands.",
    example: "command: { backup: 'pg_dump -Fc -f \"$LIFEBOAT_POINT/db\" \"$LIFEBOAT_POSTGRES\"', \
              restore: './restore.sh \"$LIFEBOAT_POINT\"', verify: 'pg_restore -f /dev/null \"$LIFEBOAT_POINT/db\"', \
              covers: [database] }",
    schema: |g| g.subschema_for::<CommandEngine>(),
    parse: |n, p| read::<CommandEngine>(n, p).map(|k| Box::new(k) as _),
};

/// Backs up and restores by shell commands.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CommandEngine {
    /// Takes a backup into the folder `$LIFEBOAT_POINT`; must not end before the backup is complete.
    backup: String,
    /// Restores the backup of the folder `$LIFEBOAT_POINT`.
    restore: String,
    /// Proves the backup of the folder `$LIFEBOAT_POINT`, once it is complete; if it fails, there is no backup.
    #[serde(default)]
    verify: Option<String>,
    /// What a restore brings back: `database`, `artifacts`, `resources`, `models`. On a standing platform, nothing is lost that is
    /// not named here.
    #[serde(default)]
    covers: Vec<Asset>,
}

/// Where clients connect and which run it is, as variables for a user's command. By the run's name `cleanup` finds what
/// the command started.
pub fn variables(platform: &dyn Platform) -> Vec<Variable> {
    let endpoints = platform.endpoints();
    let mut variables: Vec<Variable> = vec![(process::COMPONENT.to_owned(), process::COMMAND.into())];
    variables.extend(platform.run().map(|run| (process::RUN.to_owned(), run.into())));
    let texts = [
        ("LIFEBOAT_MLFLOW", &endpoints.mlflow),
        ("LIFEBOAT_POSTGRES", &endpoints.postgres),
        ("LIFEBOAT_S3_ENDPOINT", &endpoints.s3),
        ("LIFEBOAT_BUCKET", &endpoints.bucket),
    ];
    variables.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_ref()?.into()))));
    variables.extend(endpoints.passfile.as_ref().map(|path| ("PGPASSFILE".to_owned(), path.into())));
    variables
}

#[async_trait]
impl Engine for CommandEngine {
    fn needs(&self) -> &'static [Power] {
        &[]
    }

    fn covers(&self) -> Vec<Asset> {
        self.covers.clone()
    }

    fn verifies(&self) -> bool {
        self.verify.is_some()
    }

    async fn open(&self, context: EngineContext) -> Result<Box<dyn Session>, Error> {
        let points = Mutex::new(context.known.clone());
        Ok(Box::new(CommandSession { engine: self.clone(), context, points }))
    }
}

/// The commands at work on a platform.
struct CommandSession {
    engine: CommandEngine,
    context: EngineContext,
    points: Mutex<Vec<RecoveryPoint>>,
}

impl CommandSession {
    fn variables(&self, point: &Path) -> Vec<Variable> {
        let mut variables = variables(self.context.platform.as_ref());
        variables.push(("LIFEBOAT_POINT".to_owned(), point.into()));
        variables
    }
}

#[async_trait]
impl Session for CommandSession {
    async fn backup(&self, label: &str) -> Result<RecoveryPoint, Error> {
        let points = &self.context.folder;
        let path = points.join(label);
        let folder = UnfinishedPoint::create(path.clone())
            .map_err(|e| Error::caused_by(format!("cannot make the folder `{}`", path.display()), e))?;
        let variables = self.variables(&path);
        shell::run(&self.engine.backup, &variables, &points.join("backup.log")).await?;
        let (snapshot, taken_at) = (self.context.clock.now(), clock::wall());
        if let Some(verify) = &self.engine.verify {
            shell::run(verify, &variables, &points.join("verify.log")).await?;
        }
        folder.keep();
        let bytes = size(&path).filter(|n| *n > 0);
        let point = RecoveryPoint { id: label.to_owned(), snapshot, taken_at, bytes };
        self.points.lock().push(point.clone());
        Ok(point)
    }

    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
        Ok(self.points.lock().clone())
    }

    async fn restore(&self, plan: &RestorePlan) -> Finding {
        let variables = self.variables(&self.context.folder.join(&plan.point.id));
        match shell::run(&self.engine.restore, &variables, &self.context.folder.join("restore.log")).await {
            Ok(()) => Finding::met(),
            Err(error) => Finding::missed(error.to_string()),
        }
    }
}

/// The bytes of all files under `folder`.
fn size(folder: &Path) -> Option<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let about = entry.metadata().ok()?;
        bytes += if about.is_dir() { size(&entry.path())? } else { about.len() };
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::engine::Goal;
    use crate::environment::Endpoints;
    use std::sync::Arc;

    struct Nowhere(Endpoints);

    #[async_trait]
    impl Platform for Nowhere {
        fn endpoints(&self) -> &Endpoints {
            &self.0
        }
        async fn remove(&self) -> Vec<String> {
            vec![]
        }
    }

    async fn session(folder: &Path, engine: CommandEngine) -> Box<dyn Session> {
        let endpoints = Endpoints { mlflow: Some("http://there".into()), ..Endpoints::default() };
        let context = EngineContext {
            platform: Arc::new(Nowhere(endpoints)),
            folder: folder.to_owned(),
            clock: Clock::start(),
            known: vec![],
            reader: None,
            repository: None,
        };
        engine.open(context).await.unwrap()
    }

    #[tokio::test]
    async fn a_command_that_fails_leaves_no_point_and_one_that_works_can_be_restored() {
        let folder = tempfile::tempdir().unwrap();
        let engine = |backup: &str, restore: &str| CommandEngine {
            backup: backup.into(),
            restore: restore.into(),
            verify: None,
            covers: vec![],
        };
        let open = async |engine| session(folder.path(), engine).await;
        let bad = open(engine("echo half > $LIFEBOAT_POINT/x; echo no space >&2; exit 1", "true")).await;
        let error = bad.backup("1").await.unwrap_err();
        assert!(error.why.ends_with("no space") && !folder.path().join("1").exists(), "{error}");
        let good = open(engine("echo $LIFEBOAT_MLFLOW > $LIFEBOAT_POINT/x", "grep -q http $LIFEBOAT_POINT/x")).await;
        let point = good.backup("2").await.unwrap();
        assert_eq!((point.bytes, good.points().await.unwrap()), (Some(13), vec![point.clone()]));
        let plan = good.plan(&Goal::Latest(None)).await.unwrap();
        assert_eq!((&plan.point, good.restore(&plan).await), (&point, Finding::met()));
        let missed = open(engine("true", "exit 7")).await.restore(&plan).await;
        assert!(missed.reason.unwrap().contains("exit status: 7"));
        let unproved = open(CommandEngine { verify: Some("exit 3".into()), ..engine("true", "true") }).await;
        assert!(unproved.backup("3").await.is_err());
        assert!(!folder.path().join("3").exists(), "a backup that is not proved is none");
        assert!(unproved.points().await.unwrap().is_empty());
    }
}
