//! Copies points from one repository of a protection into another, which may have another place and password.
//!
//! What the other already has is not stored again. Every byte is checked while it is read; the point gets its name, time and
//! files, and is there only when all of it is.

use super::name;
use super::retention::retained;
use crate::client::Error;
use crate::clock::wall;
use crate::repository::{NewFile, NewPoint, OpenPoint, OpenRepository, StoredFile, StoredPoint};
use crate::spec::Protection;
use futures::StreamExt;
use std::collections::BTreeSet;

/// The points that `to` lacks, the oldest first: those that it would keep, or the one that is named; and after them, unless
/// one is named, what it lacks of their log.
///
/// # Errors
/// When a repository cannot be listed; when there is no point of that name.
pub async fn lacking(
    protection: &Protection,
    (from, to): (&OpenRepository, &OpenRepository),
    to_name: &str,
    only: Option<&str>,
) -> Result<Vec<StoredPoint>, Error> {
    // What lies under the protection's name and is no point of it is the log of its points.
    let under = format!("{}/", protection.name);
    let of = async |repository: &OpenRepository| {
        let points = repository.points().await?.points.into_iter();
        let ours = points.filter(|point| point.label == protection.name || point.label.starts_with(&under));
        Ok::<(Vec<_>, Vec<_>), Error>(ours.partition(|point| point.label == protection.name))
    };
    let ((mut source, mut log), (there, log_there)) = (of(from).await?, of(to).await?);
    let known: BTreeSet<_> = there.iter().map(name).collect();
    if let Some(only) = only {
        source.retain(|point| name(point) == only);
        if source.is_empty() {
            let why = format!("`{}` has no point `{only}`", from.location());
            return Err(Error::new("cannot copy", why).hint("`lifeboat points` lists the points"));
        }
    }
    source.retain(|point| !known.contains(name(point)));
    let known: BTreeSet<_> = log_there.iter().map(name).collect();
    log.retain(|batch| only.is_none() && !known.contains(name(batch)));
    if let (Some(keep), None) = (&protection.keep, only) {
        let times: Vec<_> = source.iter().chain(&there).map(|point| point.time).collect();
        let mut kept = retained(&times, keep, to_name, wall()).into_iter();
        source.retain(|_| kept.next().flatten().is_some());
    }
    source.append(&mut log);
    Ok(source)
}

/// Copies one point; answers the bytes by which the other repository has grown.
///
/// # Errors
/// When it cannot be read whole or written; the other has no such point then.
pub async fn copy(from: &OpenRepository, to: &OpenRepository, point: &StoredPoint) -> Result<u64, Error> {
    let contents = from.point(&point.id).await?;
    let files = contents.list("").map(move |file| Ok(handed_on(&contents, file?)));
    let new = NewPoint { label: point.label.clone(), tags: point.tags.clone(), time: point.time };
    let stored = to.put(new, files).await?;
    if (stored.files, stored.bytes) == (point.files, point.bytes) {
        return Ok(stored.added);
    }
    to.remove(&[stored.id]).await?;
    let why =
        format!("{} files of {} bytes arrived, not {} of {}", stored.files, stored.bytes, point.files, point.bytes);
    Err(Error::new(format!("cannot copy the point `{}`", name(point)), why))
}

fn handed_on(contents: &OpenPoint, file: StoredFile) -> NewFile {
    let (contents, size, modified) = (contents.clone(), file.size, file.modified);
    let (named, attributes) = (file.name.clone(), file.attributes.clone());
    let open = move || async move { Ok(Box::new(contents.read(&file)) as Box<_>) };
    NewFile { size: Some(size), modified, attributes, ..NewFile::stream(named, open) }
}
