//! The engine of those who have one already: two shell commands, one that backs up and one that restores.
//!
//! A command's point has a folder of its own to write into; a command that keeps its backups elsewhere leaves it
//! empty. Nothing is known of its snapshot but that it was taken before the command ended.

use super::builtin::UnfinishedPoint;
use super::{Engine, SnapshotReader};
use crate::client::shell::{self, Variable};
use crate::client::{Error, process};
use crate::clock::{self, Clock};
use crate::environment::{Asset, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, RecoveryPoint};
use crate::node::read;
use async_trait::async_trait;
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CommandEngine {
    /// Takes a backup into the folder `$LIFEBOAT_POINT`; must not end before the backup is complete.
    backup: String,
    /// Restores the backup of the folder `$LIFEBOAT_POINT`.
    restore: String,
    /// Proves the backup of the folder `$LIFEBOAT_POINT`, once it is complete; if it fails, there is no backup.
    #[serde(default)]
    verify: Option<String>,
    /// What a restore brings back: `database`, `artifacts`, `resources`. On a standing platform, nothing is lost that is
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

    async fn backup(
        &self,
        platform: &dyn Platform,
        repository: &Path,
        id: &str,
        clock: &Clock,
        _: Option<&dyn SnapshotReader>,
    ) -> Result<RecoveryPoint, Error> {
        let path = repository.join(id);
        let folder = UnfinishedPoint::create(path.clone())
            .map_err(|e| Error::caused_by(format!("cannot make the folder `{}`", path.display()), e))?;
        let mut variables = variables(platform);
        variables.push(("LIFEBOAT_POINT".to_owned(), path.clone().into()));
        shell::run(&self.backup, &variables, &repository.join("backup.log")).await?;
        let (snapshot, taken_at) = (clock.now(), clock::wall());
        if let Some(verify) = &self.verify {
            shell::run(verify, &variables, &repository.join("verify.log")).await?;
        }
        folder.keep();
        Ok(RecoveryPoint { id: id.to_owned(), snapshot, taken_at, bytes: size(&path).filter(|n| *n > 0) })
    }

    async fn restore(&self, platform: &dyn Platform, repository: &Path, point: &RecoveryPoint) -> Finding {
        let mut variables = variables(platform);
        variables.push(("LIFEBOAT_POINT".to_owned(), repository.join(&point.id).into()));
        match shell::run(&self.restore, &variables, &repository.join("restore.log")).await {
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
    use crate::environment::Endpoints;

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

    #[tokio::test]
    async fn a_command_that_fails_leaves_no_point_and_one_that_works_can_be_restored() {
        let folder = tempfile::tempdir().unwrap();
        let platform = Nowhere(Endpoints { mlflow: Some("http://there".into()), ..Endpoints::default() });
        let engine = |backup: &str, restore: &str| CommandEngine {
            backup: backup.into(),
            restore: restore.into(),
            verify: None,
            covers: vec![],
        };
        let clock = Clock::start();
        let bad = engine("echo half > $LIFEBOAT_POINT/x; echo no space >&2; exit 1", "true");
        let error = bad.backup(&platform, folder.path(), "1", &clock, None).await.unwrap_err();
        assert!(error.why.ends_with("no space") && !folder.path().join("1").exists(), "{error}");
        let good = engine("echo $LIFEBOAT_MLFLOW > $LIFEBOAT_POINT/x", "grep -q http $LIFEBOAT_POINT/x");
        let point = good.backup(&platform, folder.path(), "2", &clock, None).await.unwrap();
        assert_eq!((point.bytes, point.snapshot <= clock.now()), (Some(13), true));
        assert_eq!(good.restore(&platform, folder.path(), &point).await, Finding::met());
        let missed = engine("true", "exit 7").restore(&platform, folder.path(), &point).await;
        assert!(missed.reason.unwrap().contains("exit status: 7"));
        let unproved = CommandEngine { verify: Some("exit 3".into()), ..engine("true", "true") };
        assert!(unproved.backup(&platform, folder.path(), "3", &clock, None).await.is_err());
        assert!(!folder.path().join("3").exists(), "a backup that is not proved is none");
    }
}
