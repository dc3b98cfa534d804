//! Removes the points whose time is over, and what no point needs any more.
//!
//! The newest point that can be restored stays whatever its age, and so does what is locked. Before any goes, that one is
//! read whole. Where the list of points has one that cannot be read nothing is removed: nobody knows what it needs.

use super::retention::{KeptAs, retained};
use super::{WorkPlace, name, session};
use crate::client::Error;
use crate::clock::wall;
use crate::repository::{OpenRepository, Patience, PointList, Pruned, RepositorySettings, StoredPoint};
use crate::spec::{Keep, Protection};
use futures::StreamExt;
use std::time::Duration;

/// What a prune has done to one repository, or would do.
pub struct PrunedPoints {
    /// Each of the protection's points, the oldest first, and why it stays; nothing if it goes.
    pub points: Vec<(StoredPoint, Option<KeptAs>)>,
    /// What became of what they needed.
    pub pruned: Pruned,
}

/// Removes from one repository the points of the protection that `keep` lets go, and what nobody has needed for as long as
/// `readers`. With `dry_run` it changes nothing and tells what would go.
///
/// # Errors
/// When the repository cannot be opened or another writes; when a point in it cannot be read.
pub async fn prune(
    protection: &Protection,
    keep: &Keep,
    repository: &RepositorySettings,
    readers: Duration,
    dry_run: bool,
) -> Result<PrunedPoints, Error> {
    let opened = OpenRepository::open(repository, Patience::default()).await?;
    let PointList { points, unreadable } = opened.points().await?;
    if let Some((file, why)) = unreadable.first() {
        let why = format!("the point of `{file}` cannot be read ({why}), so nobody knows what it needs");
        let error = Error::new(format!("cannot prune `{}`", opened.location()), why);
        return Err(error.hint("see what is damaged by `lifeboat verify`; nothing was removed"));
    }
    let ours: Vec<_> = points.into_iter().filter(|point| point.label == protection.name).collect();
    let times: Vec<_> = ours.iter().map(|point| point.time).collect();
    let mut kept = retained(&times, keep, &repository.name, wall());
    if kept.contains(&None) {
        kept[newest_sound(&opened, &ours).await?].get_or_insert(KeptAs::Last);
    }
    for (point, why) in ours.iter().zip(&mut kept).filter(|(_, why)| why.is_none()) {
        *why = opened.locked_until(&point.id).await?.filter(|until| *until > wall()).map(KeptAs::Locked);
    }
    let points: Vec<_> = ours.into_iter().zip(kept).collect();
    let mut gone: Vec<_> = points.iter().filter(|(_, why)| why.is_none()).map(|(point, _)| point.id.clone()).collect();
    gone.extend(obsolete_log(protection, &opened, &points).await?);
    // First, since it fails where anything is missing that a point needs which stays.
    let plan = opened.prune_plan(readers, &gone).await?;
    if dry_run {
        return Ok(PrunedPoints { points, pruned: plan });
    }
    if !gone.is_empty() {
        opened.remove(&gone).await?;
    }
    Ok(PrunedPoints { points, pruned: opened.prune(readers).await? })
}

/// The log that no point which stays needs, unless it is locked.
async fn obsolete_log(
    protection: &Protection,
    opened: &OpenRepository,
    points: &[(StoredPoint, Option<KeptAs>)],
) -> Result<Vec<String>, Error> {
    if !protection.engine.keeps_log() {
        return Ok(vec![]);
    }
    let kept: Vec<_> =
        points.iter().filter(|(_, why)| why.is_some()).map(|(point, _)| name(point).to_owned()).collect();
    let session = session(protection, opened.clone(), &WorkPlace::live(protection)).await?;
    let mut gone = vec![];
    for id in session.obsolete_log(&kept).await? {
        if opened.locked_until(&id).await?.is_none_or(|until| until <= wall()) {
            gone.push(id);
        }
    }
    Ok(gone)
}

/// The newest point that can be restored: every byte of it is read.
async fn newest_sound(repository: &OpenRepository, points: &[StoredPoint]) -> Result<usize, Error> {
    let mut why = String::new();
    for (index, point) in points.iter().enumerate().rev() {
        match read_whole(repository, point).await {
            Ok(()) => return Ok(index),
            Err(error) => why = error.to_string(),
        }
    }
    let error =
        Error::new(format!("cannot prune `{}`", repository.location()), format!("no point can be restored: {why}"));
    Err(error.hint("nothing was removed; copy a point here from another repository"))
}

async fn read_whole(repository: &OpenRepository, point: &StoredPoint) -> Result<(), Error> {
    let contents = repository.point(&point.id).await?;
    let mut files = std::pin::pin!(contents.list(""));
    let mut read = 0;
    while let Some(file) = files.next().await {
        let copied = tokio::io::copy(&mut contents.read(&file?), &mut tokio::io::sink()).await;
        read += copied.map_err(|e| Error::caused_by(format!("the point `{}`", name(point)), e))?;
    }
    if read == point.bytes {
        return Ok(());
    }
    Err(Error::new(format!("the point `{}`", name(point)), format!("{read} of {} bytes are there", point.bytes)))
}
