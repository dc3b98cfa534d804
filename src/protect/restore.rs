//! Chooses a point and restores it, beside what is live or in its place.

use super::{WorkPlace, points_of, session};
use crate::client::{Error, access};
use crate::engine::{Goal, ModelRestore, RestorePlan, Session};
use crate::environment::{self, Asset, Platform, ServerAddress};
use crate::model::Finding;
use crate::repository::{OpenRepository, Patience, RepositorySettings};
use crate::spec::Protection;
use jiff::Timestamp;
use std::path::PathBuf;

/// Where a point is restored to.
#[derive(Debug, Clone)]
pub enum RestoreTarget {
    /// Beside what is live; what is not named is not restored.
    Beside {
        /// A new database of this name on the same server.
        database: Option<String>,
        /// A bucket at the same place, with nothing under the prefix of the protected one.
        bucket: Option<String>,
    },
    /// In the place of what is protected: of this, or of all.
    Live(Option<Asset>),
    /// On the platform of another protection: this of one model, or all of it.
    Elsewhere(Box<Protection>, Option<Asset>),
    /// A new data directory on this machine; a plan can be made without one.
    Directory(Option<PathBuf>),
}

/// A restore that is decided: from which repository, and which point.
pub struct ChosenRestore {
    /// The repository's name.
    pub repository: String,
    /// What is restored.
    pub plan: RestorePlan,
    /// The database that comes into being, or is replaced, if one is.
    pub database: Option<String>,
    /// The bucket into which artifacts are put back, if they are.
    pub bucket: Option<String>,
    session: Box<dyn Session>,
}

/// Chooses a point: `latest`, a point's name, or a time. The first repository of the file that can be read and has one
/// is taken, or the one that is named. Reads only.
///
/// # Errors
/// When there is no such point; when what is named beside is there already.
pub async fn choose(
    protection: &Protection,
    to: &str,
    from: Option<&RepositorySettings>,
    target: &RestoreTarget,
) -> Result<ChosenRestore, Error> {
    let wanted = match from {
        Some(from) => std::slice::from_ref(from),
        None => &protection.repositories,
    };
    let directory = fits(protection, target)?;
    let (at, only) = place(protection, target).await?;
    let mut failed = vec![];
    for repository in wanted {
        let chosen = async {
            let goal = goal(protection, repository, to).await?;
            let opened = OpenRepository::open(repository, Patience::default()).await?;
            let session = session(protection, opened, &at).await?;
            let plan = RestorePlan { only, directory: directory.clone(), ..session.plan(&goal).await? };
            Ok::<_, Error>((plan, session))
        };
        match chosen.await {
            Ok((plan, session)) => {
                let repository = repository.name.clone();
                let database =
                    (!protection.engine.keeps_log() && plan.restores(Asset::Database)).then_some(at.server.database);
                let bucket = at.artifacts.filter(|_| plan.restores(Asset::Artifacts)).map(|it| it.bucket);
                return Ok(ChosenRestore { repository, plan, database, bucket, session });
            }
            Err(error) => failed.push((repository.name.as_str(), error)),
        }
    }
    Err(no_choice(failed))
}

/// Can what the protection's engine takes be restored to there? A whole server is a directory, a database is in a server.
/// Answers the whole path of the directory, if one is named.
fn fits(protection: &Protection, target: &RestoreTarget) -> Result<Option<PathBuf>, Error> {
    let what = "cannot restore";
    match (protection.engine.keeps_log(), target) {
        (true, RestoreTarget::Directory(path)) => path.as_deref().map(environment::empty).transpose(),
        (false, RestoreTarget::Live(_) | RestoreTarget::Beside { .. } | RestoreTarget::Elsewhere(..)) => Ok(None),
        (true, RestoreTarget::Live(_)) => {
            let hint = "restore with `--into-directory NEW`, stop the server, put that directory in the place of its own, \
                 and start it";
            Err(Error::new(what, "the server is not ours to stop and replace").hint(hint))
        }
        (true, RestoreTarget::Beside { .. } | RestoreTarget::Elsewhere(..)) => {
            let why = "the points are of a whole server, and no database of another can be made of them";
            Err(Error::new(what, why).hint("use `--into-directory NEW`"))
        }
        (false, RestoreTarget::Directory(_)) => {
            let why = "the points are of a database, and no data directory can be made of them";
            Err(Error::new(what, why).hint("use `--into NEW`, or protect with `postgres: physical`"))
        }
    }
}

/// Why no repository will do: each for its own reason.
pub(super) fn no_choice(mut failed: Vec<(&str, Error)>) -> Error {
    if failed.len() == 1 {
        return failed.remove(0).1;
    }
    let why = failed.iter().map(|(name, error)| format!("{name}: {error}")).collect::<Vec<_>>().join("; ");
    Error::new("no repository can give the point", why)
}

/// Carries out what was chosen.
pub async fn restore(chosen: &ChosenRestore) -> Finding {
    chosen.session.restore(&chosen.plan).await
}

/// Restores one model of what was chosen, or only finds out what would be restored.
pub async fn restore_model(chosen: &ChosenRestore, model: &ModelRestore) -> Finding {
    chosen.session.restore_model(&chosen.plan, model).await
}

/// What is asked for. A point's name comes first, since it looks like a time.
pub(super) async fn goal(protection: &Protection, repository: &RepositorySettings, to: &str) -> Result<Goal, Error> {
    if to == "latest" {
        return Ok(Goal::Latest(None));
    }
    if let Some(what) = to.strip_prefix("before:") {
        return Ok(Goal::Before(what.to_owned()));
    }
    let points = points_of(protection, repository).await?.points;
    if points.iter().any(|point| super::name(point) == to) {
        return Ok(Goal::Point(to.to_owned()));
    }
    Ok(to.parse::<Timestamp>().map_or_else(|_| Goal::Point(to.to_owned()), Goal::At))
}

/// Where it is restored to, and which asset if not all. What is named beside must hold nothing yet: it would be gone.
async fn place(protection: &Protection, target: &RestoreTarget) -> Result<(WorkPlace, Option<Asset>), Error> {
    let live = WorkPlace::live(protection);
    let (database, bucket) = match target {
        RestoreTarget::Live(Some(Asset::Artifacts)) | RestoreTarget::Beside { bucket: Some(_), .. }
            if live.artifacts.is_none() =>
        {
            let error = Error::new("cannot restore artifacts", "the protection has none");
            return Err(error.hint("add `artifacts` to its `platform` and to its engine"));
        }
        RestoreTarget::Live(only) => return Ok((live, *only)),
        RestoreTarget::Elsewhere(other, only) if other.artifacts.is_none() && *only != Some(Asset::Database) => {
            let error =
                Error::new(format!("cannot put artifacts into the platform of `{}`", other.name), "it has none");
            return Err(error.hint("--only database puts back the rows alone"));
        }
        RestoreTarget::Elsewhere(other, only) => return Ok((WorkPlace::live(other), *only)),
        RestoreTarget::Directory(_) => return Ok((live, None)),
        RestoreTarget::Beside { database, bucket } => (database, bucket),
    };
    let only = match (database, bucket) {
        (Some(_), None) => Some(Asset::Database),
        (None, Some(_)) => Some(Asset::Artifacts),
        _ => None,
    };
    let WorkPlace { mut server, password, mut artifacts } = live;
    if let Some(name) = database {
        server = beside(protection, name).await?;
    }
    if let (Some(address), Some(name)) = (&mut artifacts, bucket) {
        let what = format!("cannot restore into the bucket `{name}`");
        if *name == address.bucket {
            return Err(Error::new(what, "it is the protected bucket").hint("use --replace if you mean that"));
        }
        address.bucket.clone_from(name);
        if let Some(key) = access::first(&address.client()?, name, address.prefix.trim_matches('/')).await? {
            return Err(Error::new(what, format!("it holds `{key}`")).hint("name one that is empty"));
        }
    }
    Ok((WorkPlace { server, password, artifacts }, only))
}

/// A database beside the protected one.
async fn beside(protection: &Protection, name: &str) -> Result<ServerAddress, Error> {
    let what = format!("cannot restore into `{name}`");
    if name == protection.server.database {
        return Err(Error::new(what, "it is the protected database").hint("use --replace if you mean that"));
    }
    let client = super::platform(&WorkPlace::live(protection))?.sql()?.connect("postgres").await?;
    let found = client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await;
    if found.map_err(|e| Error::caused_by(&what, e))?.is_some() {
        return Err(Error::new(what, "there is a database of this name").hint("name one that is not there yet"));
    }
    Ok(ServerAddress { database: name.to_owned(), ..protection.server.clone() })
}
