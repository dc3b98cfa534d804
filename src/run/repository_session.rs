//! The session of a drill whose points are kept in repositories: each backup goes into the first and is copied to the
//! others, and a restore takes the first that has the point by then.
//!
//! Apart from the engine because that works with one repository: here is one session of it for each. What a repository
//! holds is asked anew each time, since a disaster may have struck it.

use crate::client::Error;
use crate::engine::{ModelRestore, PointJudge, Readings, RestorePlan, Session};
use crate::model::{Finding, RecoveryPoint};
use crate::protect;
use crate::repository::{OpenRepository, StoredPoint};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeSet;

/// A repository that is open, with the engine's session on it.
pub struct HeldRepository {
    /// Its name in the file.
    pub name: String,
    /// The repository.
    pub repository: OpenRepository,
    /// The engine at work in it.
    pub session: Box<dyn Session>,
}

/// One engine at work in several repositories.
pub struct RepositorySession {
    label: String,
    held: Vec<HeldRepository>,
    /// Every point that was taken, whether a repository still has it or not.
    taken: Mutex<Vec<RecoveryPoint>>,
}

impl RepositorySession {
    /// In these, in their order; the points are of `label`.
    pub fn new(label: String, held: Vec<HeldRepository>) -> Self {
        Self { label, held, taken: Mutex::default() }
    }

    /// The points of this run that a repository has now.
    async fn stored(&self, held: &HeldRepository) -> Result<Vec<StoredPoint>, Error> {
        let points = held.repository.points().await?.points.into_iter();
        Ok(points.filter(|point| point.label == self.label).collect())
    }

    /// The first repository that has the point.
    async fn holder(&self, id: &str) -> Result<&HeldRepository, Error> {
        let mut why = vec![];
        for held in &self.held {
            match self.stored(held).await {
                Ok(points) if points.iter().any(|point| protect::name(point) == id) => return Ok(held),
                Ok(_) => why.push(format!("`{}` does not have it", held.name)),
                Err(error) => why.push(format!("`{}`: {error}", held.name)),
            }
        }
        Err(Error::new(format!("the recovery point `{id}`"), why.join("; ")))
    }

    /// Copies a point to the repositories that come after the one that has it.
    async fn copy(&self, id: &str, (from, to): (&HeldRepository, &HeldRepository)) -> Result<(), Error> {
        let found = self.stored(from).await?.into_iter().find(|point| protect::name(point) == id);
        let lost = || Error::new(format!("the recovery point `{id}`"), format!("`{}` has lost it", from.name));
        protect::copy(&from.repository, &to.repository, &found.ok_or_else(lost)?).await.map(|_| ())
    }
}

#[async_trait]
impl Session for RepositorySession {
    async fn backup(&self, label: &str) -> Result<RecoveryPoint, Error> {
        let (mut taken, mut lacking) = (None::<(RecoveryPoint, &HeldRepository)>, vec![]);
        for held in &self.held {
            // Where none is any more, not even a lease is written.
            let put = match (self.stored(held).await, &taken) {
                (Err(error), _) => Err(error),
                (Ok(_), Some((_, from))) => self.copy(label, (from, held)).await,
                (Ok(_), None) => held.session.backup(label).await.map(|point| {
                    self.taken.lock().push(point.clone());
                    taken = Some((point, held));
                }),
            };
            lacking.extend(put.err().map(|error| format!("`{}`: {error}", held.name)));
        }
        match taken {
            Some((point, _)) if lacking.is_empty() => Ok(point),
            Some((_, from)) => {
                let what = format!("the point `{label}` is in `{}` and not everywhere", from.name);
                Err(Error::new(what, lacking.join("; ")))
            }
            None => Err(Error::new("no repository took the point", lacking.join("; "))),
        }
    }

    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
        let (mut there, mut failed) = (BTreeSet::new(), vec![]);
        for held in &self.held {
            match self.stored(held).await {
                Ok(points) => there.extend(points.iter().map(|point| protect::name(point).to_owned())),
                Err(error) => failed.push(format!("`{}`: {error}", held.name)),
            }
        }
        if failed.len() == self.held.len() {
            return Err(Error::new("no repository can be read", failed.join("; ")));
        }
        let mut points = self.taken.lock().clone();
        points.retain(|point| there.contains(&point.id));
        Ok(points)
    }

    async fn restore(&self, plan: &RestorePlan) -> Finding {
        match self.holder(&plan.point.id).await {
            Ok(held) => held.session.restore(plan).await.figure("repository", &held.name),
            Err(error) => Finding::missed(error.to_string()),
        }
    }

    async fn restore_judged(&self, plan: &RestorePlan, judge: &dyn PointJudge) -> Finding {
        match self.holder(&plan.point.id).await {
            Ok(held) => held.session.restore_judged(plan, judge).await.figure("repository", &held.name),
            Err(error) => Finding::missed(error.to_string()),
        }
    }

    async fn restore_model(&self, plan: &RestorePlan, model: &ModelRestore) -> Finding {
        match self.holder(&plan.point.id).await {
            Ok(held) => held.session.restore_model(plan, model).await.figure("repository", &held.name),
            Err(error) => Finding::missed(error.to_string()),
        }
    }

    async fn readings(&self, point: &str) -> Readings {
        match self.holder(point).await {
            Ok(held) => held.session.readings(point).await,
            Err(_) => Readings::new(),
        }
    }
}
