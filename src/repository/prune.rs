//! Removes points, and what no point needs any more.
//!
//! In two steps, so that readers need no lease: a point's removal takes only its snapshot, and what nobody needs is first
//! marked and removed by a later prune, when the readers of then are done. Not here: which points go.

use super::backend::file;
use super::gate::Gate;
use super::open::OpenRepository;
use crate::client::{Error, ErrorKind};
use crate::clock::wall;
use jiff::Timestamp;
use rustic_core::repofile::SnapshotId;
use rustic_core::{FileType, LimitOption, PruneOptions, PrunePlan, PruneStats};
use std::sync::Arc;
use std::time::Duration;

/// What a prune has done, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Files that are removed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that nobody needs and that are marked, to be removed by a prune after the time for readers.
    pub marked: u64,
    /// Bytes that are written anew, because they lay among others that nobody needs.
    pub moved: u64,
    /// Bytes that points need.
    pub needed: u64,
}

impl OpenRepository {
    /// Removes points. What they alone needed is removed by [`Self::prune`].
    ///
    /// # Errors
    /// When one of them is not there or still locked, before any is removed; when another writes.
    pub async fn remove(&self, ids: &[String]) -> Result<(), Error> {
        let what = format!("cannot remove points of `{}`", self.location());
        let parse = |id: &String| id.parse::<SnapshotId>().map_err(|_| absent(&what, id));
        let doomed = ids.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        for text in ids {
            if let Some(until) = self.locked_until(text).await?.filter(|until| *until > wall()) {
                return Err(Error::new(&what, format!("the point `{text}` is locked until {until}")));
            }
        }
        let gate = self.writer("a removal of points").await?;
        let (inner, told) = (Arc::clone(&gate), what.clone());
        self.write(&gate, what, move |rustic| {
            let there: Vec<SnapshotId> = rustic.list()?.collect();
            match doomed.iter().find(|id| !there.contains(id)) {
                Some(id) => inner.fail(absent(&told, &id.to_hex())),
                None => rustic.delete_snapshots(&doomed)?,
            }
            Ok(())
        })
        .await
    }

    /// Until when a point cannot be removed; none if it can.
    ///
    /// # Errors
    /// Of the kind `NotFound` when it is not there.
    pub async fn locked_until(&self, id: &str) -> Result<Option<Timestamp>, Error> {
        let what = format!("cannot ask for the lock of a point of `{}`", self.location());
        let parsed: SnapshotId = id.parse().map_err(|_| absent(&what, id))?;
        let until = self.place().locked_until(&file(FileType::Snapshot, &parsed)).await;
        until.map_err(|e| if e.kind == ErrorKind::NotFound { absent(&what, id) } else { e })
    }

    /// Removes what no point needs and was marked for as long as `readers`, and marks the rest. Zero removes all at once:
    /// only where nobody reads.
    ///
    /// # Errors
    /// When another writes; when anything that a point needs is missing, before anything is removed.
    pub async fn prune(&self, readers: Duration) -> Result<Pruned, Error> {
        let what = format!("cannot prune `{}`", self.location());
        let options = options(&what, readers)?;
        let gate = self.writer("a prune").await?;
        let inner = Arc::clone(&gate);
        self.write(&gate, what, move |rustic| {
            let plan: PrunePlan = rustic.prune_plan(&options)?;
            let pruned = told(&plan, &options);
            if inner.failure().is_none() {
                rustic.prune(&options, plan)?;
            }
            Ok(pruned)
        })
        .await
    }

    /// What [`Self::prune`] would do if these points were not there. Asks no lease and changes nothing.
    ///
    /// # Errors
    /// When anything that another point needs is missing.
    pub async fn prune_plan(&self, readers: Duration, without: &[String]) -> Result<Pruned, Error> {
        let what = format!("cannot tell what a prune of `{}` would do", self.location());
        let mut options = options(&what, readers)?;
        let parse = |id: &String| id.parse::<SnapshotId>().map_err(|_| absent(&what, id));
        options.ignore_snaps = without.iter().map(parse).collect::<Result<_, _>>()?;
        let gate = Arc::new(Gate::default());
        self.work(&gate, what, move |rustic| Ok(told(&rustic.prune_plan(&options)?, &options))).await
    }
}

fn options(what: &str, readers: Duration) -> Result<PruneOptions, Error> {
    let mut options = PruneOptions::default();
    options.keep_delete = jiff::Span::try_from(readers).map_err(|e| Error::new(what, e))?;
    options.instant_delete = readers.is_zero();
    options.max_repack = LimitOption::Unlimited;
    Ok(options)
}

fn absent(what: &str, id: &str) -> Error {
    Error::new(what, format!("there is no point `{id}`")).kind(ErrorKind::NotFound)
}

fn told(plan: &PrunePlan, options: &PruneOptions) -> Pruned {
    let stats: &PruneStats = &plan.stats;
    let (sizes, packs, bytes) = (stats.size_sum(), stats.packs_to_delete, stats.size_to_delete);
    let unneeded = sizes.remove + sizes.repack + stats.size_unref;
    let (mut files, mut removed, mut marked) = (packs.remove, bytes.remove, bytes.keep + unneeded);
    if options.instant_delete {
        files += packs.keep + stats.packs.unused + stats.packs.repack + stats.packs_unref;
        removed += marked;
        marked = 0;
    }
    Pruned { files, bytes: removed, marked, moved: sizes.repack - sizes.repackrm, needed: sizes.used }
}
