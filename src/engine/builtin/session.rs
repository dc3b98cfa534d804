//! The session of logical backups: an open repository, and which of its points are complete.

use super::{dump, manifest, own, restore};
use crate::client::Error;
use crate::engine::{EngineContext, Readings, RestorePlan, Session};
use crate::model::{Finding, RecoveryPoint};
use crate::repository::{OpenPoint, OpenRepository, StoredPoint};
use async_trait::async_trait;
use parking_lot::Mutex;

/// Logical backups of one platform's database.
pub struct LogicalSession {
    context: EngineContext,
    repository: OpenRepository,
    /// What the points are of, as the repository knows it.
    subject: String,
    points: Mutex<Vec<RecoveryPoint>>,
}

impl LogicalSession {
    /// Uses the repository that it is given, or else the run's own, with the points that are known.
    pub async fn begin(context: EngineContext) -> Result<Self, Error> {
        let (repository, subject) = match &context.repository {
            Some(named) => (named.repository.clone(), named.protection.clone()),
            None => (own::open(&context.folder).await?, context.platform.sql()?.database().to_owned()),
        };
        Ok(Self { points: Mutex::new(context.known.clone()), repository, subject, context })
    }

    /// The contents of the point of this name.
    async fn contents(&self, name: &str) -> Result<OpenPoint, Error> {
        let points = self.repository.points().await?.points;
        let ours = |point: &StoredPoint| point.label == self.subject && point.tags.iter().any(|tag| tag == name);
        let stored = points.into_iter().find(ours);
        let absent = || Error::new(format!("the recovery point `{name}`"), "its repository does not have it");
        self.repository.point(&stored.ok_or_else(absent)?.id).await
    }

    async fn restored(&self, plan: &RestorePlan) -> Result<Finding, Error> {
        let point = self.contents(&plan.point.id).await?;
        restore::restore(self.context.platform.sql()?, &point).await
    }
}

#[async_trait]
impl Session for LogicalSession {
    async fn backup(&self, label: &str) -> Result<RecoveryPoint, Error> {
        let point = dump::backup(&self.context, &self.repository, &self.subject, label).await?;
        self.points.lock().push(point.clone());
        Ok(point)
    }

    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
        Ok(self.points.lock().clone())
    }

    async fn restore(&self, plan: &RestorePlan) -> Finding {
        self.restored(plan).await.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }

    async fn readings(&self, point: &str) -> Readings {
        let read = async { manifest::readings(&self.contents(point).await?).await };
        read.await.unwrap_or_default()
    }
}
