//! The session of logical backups: an open repository, and which of its points are complete.

use super::artifacts::{ArtifactContent, ArtifactMethod, VersionObjects};
use super::beside::{PointObjects, SidePlatform};
use super::manifest::PointManifest;
use super::restore::fill_side;
use super::{apart, artifacts, dump, manifest, model, own};
use crate::client::Error;
use crate::client::s3::ObjectSource;
use crate::engine::{
    EngineContext, ModelRestore, PointArtifacts, PointBeside, PointJudge, Readings, RestorePlan, Session,
};
use crate::environment::{Asset, Platform, ThrowawayServer};
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
    /// How the artifacts are a part of each point, if they are.
    artifacts: Option<ArtifactMethod>,
    points: Mutex<Vec<RecoveryPoint>>,
}

impl LogicalSession {
    /// Uses the repository that it is given, or else the run's own, with the points that are known.
    pub async fn begin(context: EngineContext, artifacts: Option<ArtifactMethod>) -> Result<Self, Error> {
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

    /// Fills the database at the side, lets the judge look at it if there is one, puts the artifacts back, and only then
    /// the database in its place: rows must not name artifacts that are not back yet.
    async fn restored(&self, plan: &RestorePlan, judge: Option<&dyn PointJudge>) -> Result<Finding, Error> {
        let platform = &*self.context.platform;
        let point = self.contents(&plan.point.id).await?;
        let manifest = PointManifest::read(&point).await?;
        let artifacts = manifest.artifacts.as_ref().filter(|_| plan.restores(Asset::Artifacts));
        if artifacts.is_none() && plan.only == Some(Asset::Artifacts) {
            return Ok(Finding::missed(format!("the recovery point `{}` has no artifacts", plan.point.id)));
        }
        if !plan.restores(Asset::Database) {
            return put_back(platform, &point, artifacts).await;
        }
        let filled = fill_side(platform.sql()?, &point, &manifest).await?;
        let mut ready = match judge {
            Some(judge) => judged(platform, filled.name(), &point, artifacts, judge).await,
            None => Ok(Finding::met()),
        };
        if ready.as_ref().is_ok_and(|judged| judged.verdict == Verdict::Met) {
            ready = put_back(platform, &point, artifacts).await;
        }
        match ready {
            Ok(put) if put.verdict == Verdict::Met => {
                let rows = filled.take_place().await?;
                Ok(Finding { figures: rows.figures.into_iter().chain(put.figures).collect(), ..rows })
            }
            refused => {
                let _ = filled.discard().await; // the refusal says more than a failed clean-up
                refused
            }
        }
    }
}

/// What the judge says of a point whose database is at the side.
async fn judged(
    platform: &dyn Platform,
    side: &str,
    point: &OpenPoint,
    artifacts: Option<&ArtifactContent>,
    judge: &dyn PointJudge,
) -> Result<Finding, Error> {
    let side = SidePlatform::new(platform, side)?;
    let objects: Option<Box<dyn ObjectSource>> = match artifacts.map(|content| (content, content.method)) {
        Some((content, ArtifactMethod::Objects)) => Some(Box::new(PointObjects::new(point, content))),
        Some((content, ArtifactMethod::Versions)) => {
            Some(Box::new(VersionObjects::of(platform, point, content).await?))
        }
        None => None,
    };
    let artifacts = objects.as_deref().zip(artifacts);
    let artifacts = artifacts.map(|(objects, it)| PointArtifacts { objects, bucket: &it.bucket, prefix: &it.prefix });
    Ok(judge.judge(&PointBeside { platform: &side, artifacts }).await)
}

/// Puts the artifacts back, if there are any to put back.
async fn put_back(
    platform: &dyn Platform,
    point: &OpenPoint,
    artifacts: Option<&ArtifactContent>,
) -> Result<Finding, Error> {
    match artifacts {
        Some(content) => artifacts::restore(platform, point, content).await,
        None => Ok(Finding::met()),
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
        self.restored(plan, None).await.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }

    async fn restore_judged(&self, plan: &RestorePlan, judge: &dyn PointJudge) -> Finding {
        self.restored(plan, Some(judge)).await.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }

    async fn restore_apart(
        &self,
        plan: &RestorePlan,
        on: &ThrowawayServer,
        judge: &dyn PointJudge,
    ) -> Result<Finding, Error> {
        let point = async {
            let point = self.contents(&plan.point.id).await?;
            let manifest = PointManifest::read(&point).await?;
            Ok::<_, Error>((point, manifest))
        };
        match point.await {
            Ok((point, manifest)) => apart::restore(&point, &manifest, on, judge).await,
            Err(error) => Ok(Finding::missed(error.to_string())),
        }
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
