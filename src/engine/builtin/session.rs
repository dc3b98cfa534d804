//! The session of logical backups: it only remembers which points are complete.

use super::{dump, manifest, restore};
use crate::client::Error;
use crate::engine::{EngineContext, Readings, RestorePlan, Session};
use crate::model::{Finding, RecoveryPoint};
use async_trait::async_trait;
use parking_lot::Mutex;

/// Logical backups of one platform's database.
pub struct LogicalSession {
    context: EngineContext,
    points: Mutex<Vec<RecoveryPoint>>,
}

impl LogicalSession {
    /// With the points that are known.
    pub fn begin(context: EngineContext) -> Self {
        Self { points: Mutex::new(context.known.clone()), context }
    }
}

#[async_trait]
impl Session for LogicalSession {
    async fn backup(&self, label: &str) -> Result<RecoveryPoint, Error> {
        let EngineContext { platform, repository, clock, reader, .. } = &self.context;
        let point = dump::backup(platform.sql()?, repository, label, clock, reader.as_deref()).await?;
        self.points.lock().push(point.clone());
        Ok(point)
    }

    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
        Ok(self.points.lock().clone())
    }

    async fn restore(&self, plan: &RestorePlan) -> Finding {
        let sql = match self.context.platform.sql() {
            Ok(sql) => sql,
            Err(error) => return Finding::unknown(error.to_string()),
        };
        let restored = restore::restore(sql, &self.context.repository.join(&plan.point.id)).await;
        restored.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }

    async fn readings(&self, point: &str) -> Readings {
        manifest::readings(&self.context.repository.join(point))
    }
}
