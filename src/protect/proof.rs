//! The proof that a point can be restored: on a server that is made for it, asked there, and thrown away.
//!
//! Apart from the restore because nothing that is protected is touched, or even asked: the repository is enough. What was
//! restored is judged by checks, never by the engine that restored it.

use super::restore::goal;
use super::{digests, on_nothing};
use crate::check::{contents, database_health, sql_integrity};
use crate::client::{Error, postgres, registered};
use crate::clock::{Deadline, Stopwatch};
use crate::engine::{PointArtifacts, PointBeside, PointJudge};
use crate::environment::{Platform, ThrowawayServer};
use crate::model::{Finding, Planted, RecoveryPoint, Verdict};
use crate::repository::{OpenRepository, Patience, RepositorySettings};
use crate::spec::Protection;
use async_trait::async_trait;
use std::time::Duration;

/// How long the pages of a restored database may be looked at.
const LOOK: Duration = Duration::from_hours(6);

/// A point that was restored to see whether it can be.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreProof {
    /// The point.
    pub point: RecoveryPoint,
    /// What was found.
    pub finding: Finding,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Restores a point of a repository on a server of this machine and asks it: `latest`, or whatever else a restore may be
/// asked for. `on` is removed by whoever made it.
///
/// # Errors
/// When it could not be tried: there is no such point, or this machine lacks what it takes.
pub async fn prove(
    protection: &Protection,
    repository: &RepositorySettings,
    to: &str,
    on: &ThrowawayServer,
) -> Result<RestoreProof, Error> {
    let time = Stopwatch::start();
    let goal = goal(protection, repository, to).await?;
    let opened = OpenRepository::open(repository, Patience::default()).await?;
    let session = on_nothing(protection, opened).await?;
    let plan = session.plan(&goal).await?;
    // Of a whole server nothing but its pages was read when it was copied: they have checksums.
    let digests = if protection.engine.keeps_log() {
        None
    } else {
        Some(digests::of_point(&mut session.readings(&plan.point.id).await))
    };
    let finding = session.restore_apart(&plan, on, &RestoredDatabase { digests }).await?;
    Ok(RestoreProof { point: plan.point, finding, seconds: time.seconds() })
}

/// Judges a restored database.
struct RestoredDatabase {
    /// What was read in the point's snapshot, or why nothing was; nothing if nothing can be.
    digests: Option<Result<Planted, String>>,
}

#[async_trait]
impl PointJudge for RestoredDatabase {
    async fn judge(&self, beside: &PointBeside<'_>) -> Finding {
        let platform = beside.platform;
        let mut looks = vec![];
        match &self.digests {
            Some(Ok(digests)) => looks.push(("contents", contents::compare_digests(platform, digests).await)),
            Some(Err(why)) => looks.push(("contents", Finding::unknown(why))),
            None => {}
        }
        looks.push(("database-health", database_health::look(platform, Deadline::within(LOOK)).await));
        match revision(platform).await {
            Ok(Some(revision)) => {
                looks.push(("MLflow", Finding::met().figure("revision of MLflow's schema", revision)));
                looks.push(("sql-integrity", sql_integrity::look_alone(platform).await));
                if let Some(artifacts) = beside.artifacts {
                    looks.push(("registry-artifacts", registered(platform, artifacts).await));
                }
            }
            Ok(None) => looks.push(("MLflow", Finding::met().figure("note", "the database is none of MLflow's"))),
            Err(error) => looks.push(("MLflow", Finding::unknown(error.to_string()))),
        }
        merged(looks)
    }
}

/// The revision of MLflow's schema, if it is there.
async fn revision(platform: &dyn Platform) -> Result<Option<String>, Error> {
    let sql = platform.sql()?;
    let client = sql.connect(sql.database()).await?;
    let there = postgres::one(&client, "SELECT to_regclass('public.alembic_version') IS NOT NULL").await?;
    if !there.get::<_, bool>(0) {
        return Ok(None);
    }
    let revision = "SELECT string_agg(version_num, ',') FROM public.alembic_version";
    let revision: Option<String> = postgres::one(&client, revision).await?.get(0);
    let none = || Error::new("the revision of MLflow's schema", "`alembic_version` is empty");
    revision.map(Some).ok_or_else(none)
}

/// Does every registered version find its artifacts in the point?
async fn registered(platform: &dyn Platform, artifacts: PointArtifacts<'_>) -> Finding {
    let found = async {
        let sql = platform.sql()?;
        let client = sql.connect(sql.database()).await?;
        registered::find_all(&client, artifacts.objects, artifacts.bucket, artifacts.prefix).await
    };
    let found = match found.await {
        Ok(found) => found,
        Err(error) => return Finding::unknown(error.to_string()),
    };
    let some = |names: &[String]| match names {
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one}; and {} more", rest.len()),
        [] => String::new(),
    };
    let finding = match (found.wrong.as_slice(), found.elsewhere.as_slice()) {
        ([], []) => Finding::met(),
        ([], elsewhere) => Finding::unknown(format!("not in the protected bucket: {}", some(elsewhere))),
        (wrong, _) => Finding::missed(some(wrong)),
    };
    finding.figure("model versions with artifacts", found.versions)
}

/// One finding of all: the worst verdict, every reason of those that are not met with who gives it, every figure.
fn merged(looks: Vec<(&str, Finding)>) -> Finding {
    let named = |(name, finding): (&str, Finding)| {
        let reason = finding.reason.filter(|_| finding.verdict != Verdict::Met);
        Finding { reason: reason.map(|reason| format!("{name}: {reason}")), ..finding }
    };
    looks.into_iter().map(named).fold(Finding::met(), Finding::and)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flaw_is_a_flaw_and_what_could_not_be_told_is_never_proof() {
        let met = || ("a", Finding::met().figure("rows", 5));
        let all = merged(vec![met(), ("b", Finding::unknown("late")), ("c", Finding::missed("gone"))]);
        assert_eq!((all.verdict, all.reason.as_deref()), (Verdict::Missed, Some("b: late; c: gone")));
        assert_eq!(merged(vec![met(), ("b", Finding::unknown("late"))]).verdict, Verdict::Unknown);
        assert_eq!(merged(vec![met(), met()]).figures.len(), 2);
    }
}
