//! The repositories that a drill names: opened for its run, and rid of its points when it is over.
//!
//! Its points lie there under a label that no protection can have, so that no command of a protection lists, keeps, copies
//! or restores them. Apart from the session because `cleanup` removes the points of a dead run too.

use super::repository_session::{HeldRepository, RepositorySession};
use crate::client::{Error, ErrorKind};
use crate::clock::wall;
use crate::engine::{Engine, EngineContext, NamedRepository, Session};
use crate::environment::Journal;
use crate::model::{Fact, Line, Receipt};
use crate::protect;
use crate::report::words::things;
use crate::repository::{OpenRepository, Patience, RepositoryFiles, RepositorySettings, label_of_run};
use crate::spec::DrillRepositories;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the removal from one repository may take.
const REMOVE: Duration = Duration::from_mins(2);

/// Opens a session on all of them, once that is recorded; makes those that are the drill's own and not there yet.
///
/// # Errors
/// When one of them cannot be opened.
pub async fn open(
    repositories: &DrillRepositories,
    engine: &dyn Engine,
    run: &str,
    journal: &dyn Journal,
    context: EngineContext,
) -> Result<Arc<dyn Session>, Error> {
    let label = label_of_run(run);
    // Paths in the settings begin at the working directory.
    let from = std::env::current_dir().unwrap_or_default();
    journal.creating(Receipt(json!({ "points": label, "started": { "in": from } }))).await?;
    let mut held = vec![];
    for settings in &repositories.settings {
        let repository = protect::open(settings, repositories.own()).await?;
        // A drill restores no configuration, so its points hold none.
        let named = NamedRepository { repository: repository.clone(), protection: label.clone(), configuration: None };
        let context = EngineContext { repository: Some(named), ..context.clone() };
        let session = engine.open(context).await?;
        held.push(HeldRepository { name: settings.name.clone(), repository, session });
    }
    Ok(Arc::new(RepositorySession::new(label, held)))
}

/// What came of the removal of a run's points.
#[derive(Debug, Default)]
pub struct RemovedPoints {
    /// What could not be removed.
    pub left: Vec<String>,
    /// What stays because it is locked, and until when.
    pub locked: Vec<String>,
}

/// Removes the points of a run from its repositories, if it has put any there by its timeline.
pub async fn remove_points(repositories: &DrillRepositories, run: &str, lines: &[Line]) -> RemovedPoints {
    let (mut removed, label) = (RemovedPoints::default(), label_of_run(run));
    let mut receipts = lines.iter().filter_map(|line| line.fact.receipt());
    let Some(receipt) = receipts.find(|it| it.0["points"] == label.as_str()) else { return removed };
    let started: Option<PathBuf> = receipt.0["started"]["in"].as_str().map(PathBuf::from);
    let elsewhere = started.filter(|started| std::env::current_dir().ok().as_ref() != Some(started));
    for settings in &repositories.settings {
        let removal = remove_from(settings, repositories.own(), &label, attacked(lines, settings));
        let late = || Err(Error::new("they are not removed", format!("not done within {} s", REMOVE.as_secs())));
        let of = format!("the points `{label}` in `{}`", settings.name);
        let failed = match timeout(REMOVE, removal).await.unwrap_or_else(|_| late()) {
            Ok(PointRemoval::Removed) => continue,
            Ok(PointRemoval::Locked(stay)) => {
                removed.locked.push(format!("{of}: {stay}; `lifeboat cleanup {run}` removes them then"));
                continue;
            }
            Ok(PointRemoval::NoRepository) if elsewhere.is_none() => continue, // and they went with it
            Ok(PointRemoval::NoRepository) => format!("{of}: no repository is there"),
            Err(error) => format!("{of}: {error}"),
        };
        let folder = elsewhere.as_ref().map(|folder| folder.display());
        let hint =
            folder.map(|folder| format!("; was it started in `{folder}`? Paths begin there: clean up from there"));
        removed.left.push(failed + &hint.unwrap_or_default());
    }
    removed
}

/// How a removal from one repository ended.
enum PointRemoval {
    Removed,
    /// Some stay, which is told.
    Locked(String),
    NoRepository,
}

/// Has a fault of the run been about to destroy this repository? Then its owner agreed that all of it goes.
fn attacked(lines: &[Line], settings: &RepositorySettings) -> bool {
    let location = settings.kind.location();
    lines.iter().any(|line| {
        matches!(&line.fact, Fact::Intended { receipt, .. }
            if receipt.0["repository"] == settings.name.as_str() && receipt.0["location"] == location.as_str())
    })
}

async fn remove_from(
    settings: &RepositorySettings,
    own: bool,
    label: &str,
    attacked: bool,
) -> Result<PointRemoval, Error> {
    let repository = match OpenRepository::open(settings, Patience::default()).await {
        Err(error) if error.kind == ErrorKind::NotFound => {
            if attacked {
                // What a backup that was under way wrote after the attack is in the way of the next repository there.
                let files = RepositoryFiles::of(settings, Patience::default()).await?;
                files.delete(&files.seen().await?).await?;
            }
            return Ok(PointRemoval::NoRepository);
        }
        opened => opened?,
    };
    let (ours, others): (Vec<_>, Vec<_>) =
        repository.points().await?.points.into_iter().partition(|point| point.label == label);
    let (mut free, mut locked) = (vec![], vec![]);
    for point in ours {
        match repository.locked_until(&point.id).await?.filter(|until| *until > wall()) {
            Some(until) => locked.push(until),
            None => free.push(point.id),
        }
    }
    if !free.is_empty() {
        repository.remove(&free).await?;
    }
    if let Some(until) = locked.iter().max() {
        let count = things(locked.len() as u64, "point");
        return Ok(PointRemoval::Locked(format!("{count} cannot be removed before {until}, because they are locked")));
    }
    // Nobody else reads there. Elsewhere the next `lifeboat prune` removes what no point needs.
    if own && others.is_empty() {
        repository.prune(Duration::ZERO).await?;
    }
    Ok(PointRemoval::Removed)
}
