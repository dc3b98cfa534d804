//! The session of logical backups: an open repository, and which of its points are complete.

use super::manifest::PointManifest;
use super::{artifacts, dump, manifest, model, own, restore};
use crate::client::Error;
use crate::engine::{EngineContext, ModelRestore, Readings, RestorePlan, Session};
use crate::environment::Asset;
use crate::model::{Finding, RecoveryPoint, Verdict};
use crate::repository::{OpenPoint, OpenRepository};
use async_trait::async_trait;
use parking_lot::Mutex;

/// Logical backups of one platform's database, and of its artifacts.
pub struct LogicalSession {
    context: EngineContext,
    repository: OpenRepository,
    /// What the points are of, as the repository knows it.
    subject: String,
    /// Are the artifacts a part of each point?
    artifacts: bool,
    points: Mutex<Vec<RecoveryPoint>>,
}

impl LogicalSession {
    /// Uses the repository that it is given, or else the run's own, with the points that are known.
    pub async fn begin(context: EngineContext, artifacts: bool) -> Result<Self, Error> {
        let (repository, subject) = match &context.repository {
            Some(named) => (named.repository.clone(), named.protection.clone()),
            None => (own::open(&context.folder).await?, context.platform.sql()?.database().to_owned()),
        };
        Ok(Self { points: Mutex::new(context.known.clone()), repository, subject, artifacts, context })
    }

    /// The contents of the point of this name.
    async fn contents(&self, name: &str) -> Result<OpenPoint, Error> {
        self.repository.tagged_point(&self.subject, name).await
    }

    async fn restored(&self, plan: &RestorePlan) -> Result<Finding, Error> {
        let point = self.contents(&plan.point.id).await?;
        let manifest = PointManifest::read(&point).await?;
        let mut finding = Finding::met();
        // First: rows must not name artifacts that are not back yet.
        match &manifest.artifacts {
            Some(content) if plan.restores(Asset::Artifacts) => {
                finding = artifacts::restore(&*self.context.platform, &point, content).await?;
            }
            None if plan.only == Some(Asset::Artifacts) => {
                return Ok(Finding::missed(format!("the recovery point `{}` has no artifacts", plan.point.id)));
            }
            _ => {}
        }
        if finding.verdict == Verdict::Met && plan.restores(Asset::Database) {
            let rows = restore::restore(self.context.platform.sql()?, &point, &manifest).await?;
            finding = Finding { figures: rows.figures.into_iter().chain(finding.figures).collect(), ..rows };
        }
        Ok(finding)
    }
}

#[async_trait]
impl Session for LogicalSession {
    async fn backup(&self, label: &str) -> Result<RecoveryPoint, Error> {
        let point = dump::backup(&self.context, &self.repository, &self.subject, self.artifacts, label).await?;
        self.points.lock().push(point.clone());
        Ok(point)
    }

    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
        Ok(self.points.lock().clone())
    }

    async fn restore(&self, plan: &RestorePlan) -> Finding {
        self.restored(plan).await.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }

    async fn restore_model(&self, plan: &RestorePlan, model: &ModelRestore) -> Finding {
        let restored = async {
            let point = self.contents(&plan.point.id).await?;
            let manifest = PointManifest::read(&point).await?;
            model::restore(&*self.context.platform, &point, &manifest, plan, model).await
        };
        restored.await.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }

    async fn readings(&self, point: &str) -> Readings {
        let read = async { manifest::readings(&self.contents(point).await?).await };
        read.await.unwrap_or_default()
    }
}
