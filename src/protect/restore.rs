//! Chooses a point and restores it, into a database beside the live one or in its place.

use super::{points_of, session};
use crate::client::Error;
use crate::engine::{Goal, RestorePlan, Session};
use crate::environment::{Platform, ServerAddress};
use crate::model::Finding;
use crate::repository::{OpenRepository, Patience, RepositorySettings};
use crate::spec::Protection;
use jiff::Timestamp;

/// Where a point is restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreTarget {
    /// A new database of this name on the same server.
    Beside(String),
    /// The protected database, which is replaced.
    Live,
}

/// A restore that is decided: from which repository, and which point.
pub struct ChosenRestore {
    /// The repository's name.
    pub repository: String,
    /// What is restored.
    pub plan: RestorePlan,
    /// The database that comes into being, or is replaced.
    pub database: String,
    session: Box<dyn Session>,
}

/// Chooses a point: `latest`, a point's name, or a time. The first repository of the file that can be read and has one
/// is taken, or the one that is named. Reads only.
///
/// # Errors
/// When there is no such point; when the database beside is there already.
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
    let server = database(protection, target).await?;
    let mut failed = vec![];
    for repository in wanted {
        let chosen = async {
            let goal = goal(protection, repository, to).await?;
            let opened = OpenRepository::open(repository, Patience::default()).await?;
            let session = session(protection, opened, &server).await?;
            let plan = session.plan(&goal).await?;
            Ok::<_, Error>((plan, session))
        };
        match chosen.await {
            Ok((plan, session)) => {
                let (repository, database) = (repository.name.clone(), server.database);
                return Ok(ChosenRestore { repository, plan, database, session });
            }
            Err(error) => failed.push((repository.name.as_str(), error)),
        }
    }
    Err(no_choice(failed))
}

/// Why no repository will do: each for its own reason.
fn no_choice(mut failed: Vec<(&str, Error)>) -> Error {
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

/// What is asked for. A point's name comes first, since it looks like a time.
async fn goal(protection: &Protection, repository: &RepositorySettings, to: &str) -> Result<Goal, Error> {
    if to == "latest" {
        return Ok(Goal::Latest(None));
    }
    let points = points_of(protection, repository).await?.points;
    if points.iter().any(|point| super::name(point) == to) {
        return Ok(Goal::Point(to.to_owned()));
    }
    Ok(to.parse::<Timestamp>().map_or_else(|_| Goal::Point(to.to_owned()), Goal::At))
}

/// The database that is restored into. One beside must not be there yet: what it holds would be gone.
async fn database(protection: &Protection, target: &RestoreTarget) -> Result<ServerAddress, Error> {
    let RestoreTarget::Beside(name) = target else { return Ok(protection.server.clone()) };
    let what = format!("cannot restore into `{name}`");
    if *name == protection.server.database {
        return Err(Error::new(what, "it is the protected database").hint("use --replace if you mean that"));
    }
    let client = super::platform(protection, &protection.server)?.sql()?.connect("postgres").await?;
    let found = client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[name]).await;
    if found.map_err(|e| Error::caused_by(&what, e))?.is_some() {
        return Err(Error::new(what, "there is a database of this name").hint("name one that is not there yet"));
    }
    Ok(ServerAddress { database: name.clone(), ..protection.server.clone() })
}
