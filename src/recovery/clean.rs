//! The newest clean recovery point: each is tried beside the live state, newest first, and the first that passes the checks
//! and the user's own scan takes its place.
//!
//! Apart from the step `restore` because here a point is judged before anything is replaced. When the disaster struck is
//! not asked: who recovers from an attack does not know it either, and backups of the ruins are valid points.

use super::StepContext;
use super::text::Text;
use crate::client::s3::ObjectSource;
use crate::client::{Error, shell};
use crate::engine::command::variables;
use crate::engine::{Goal, PointBeside, PointJudge, Session};
use crate::model::{Finding, RecoveryPoint, Verdict};
use async_trait::async_trait;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// So much of why a point was refused is said.
const SAID: usize = 240;

/// Tries the points, and restores the first clean one.
pub async fn restore(context: &StepContext<'_>, session: &dyn Session, scan: Option<&Text>) -> Finding {
    let mut points = match session.points().await {
        Ok(points) => points,
        Err(error) => return Finding::missed(error.to_string()),
    };
    points.sort_by_key(|point| (point.taken_at, point.snapshot));
    let mut refused: Vec<(String, String)> = vec![];
    for point in points.iter().rev() {
        context.journal.progress(&format!("trying the recovery point {}", point.id));
        let judge = CleanJudge { context, scan, point, passed: AtomicBool::new(false) };
        let finding = match session.plan(&Goal::Point(point.id.clone())).await {
            Ok(plan) => session.restore_judged(&plan, &judge).await,
            Err(error) => Finding::missed(error.to_string()),
        };
        // From then on something of the live state may be replaced: no other point is tried.
        if judge.passed.load(Ordering::SeqCst) {
            let finding = finding.figure("point", &point.id).figure("taken_at", point.taken_at);
            return told(finding, &refused, refused.len() + 1);
        }
        refused.push((point.id.clone(), beginning(&finding.reason.unwrap_or_default())));
    }
    let each = refused.iter().map(|(id, why)| format!("{id}: {why}")).collect::<Vec<_>>().join("; ");
    let none = match refused.len() {
        0 => Finding::missed("there is no recovery point"),
        tried => Finding::missed(format!("none of {tried} recovery points is clean, and nothing was replaced: {each}")),
    };
    told(none, &refused, refused.len())
}

/// With the points that were tried, and why each was refused.
fn told(mut finding: Finding, refused: &[(String, String)], tried: usize) -> Finding {
    if finding.verdict == Verdict::Met && !refused.is_empty() {
        let names: Vec<_> = refused.iter().map(|(id, _)| id.as_str()).collect();
        finding.reason = Some(format!("refused, newest first: {}", names.join(", ")));
    }
    finding = finding.figure("tried", tried).figure("refused", refused.len());
    refused.iter().fold(finding, |finding, (id, why)| finding.figure(format!("refused {id}"), why))
}

fn beginning(text: &str) -> String {
    let cut: String = text.chars().take(SAID).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// Lets a point through that the checks and the scan find clean, once that is recorded.
struct CleanJudge<'a> {
    context: &'a StepContext<'a>,
    scan: Option<&'a Text>,
    point: &'a RecoveryPoint,
    passed: AtomicBool,
}

#[async_trait]
impl PointJudge for CleanJudge<'_> {
    async fn judge(&self, beside: &PointBeside<'_>) -> Finding {
        let finding = match (self.context.checks, self.scan) {
            (Some(checks), _) => checks.look(beside).await,
            (None, Some(_)) => Finding::met(),
            (None, None) => {
                Finding::unknown("nothing tells a clean recovery point: there is no check that does, and no scan")
            }
        };
        if finding.verdict != Verdict::Met {
            return finding;
        }
        if let Some(scan) = self.scan
            && let Err(error) = self.scanned(scan, beside).await
        {
            return Finding::missed(format!("the scan: {error}"));
        }
        if let Err(error) = self.context.record_restore("platform", &self.point.id, true).await {
            return Finding::unknown(error.to_string());
        }
        self.passed.store(true, Ordering::SeqCst);
        finding
    }
}

impl CleanJudge<'_> {
    /// Runs the user's own scan, to which the point is the database and a folder of artifacts.
    async fn scanned(&self, scan: &Text, beside: &PointBeside<'_>) -> Result<(), Error> {
        let folder = tempfile::Builder::new().prefix("scan-").tempdir_in(self.context.folder);
        let folder = folder.map_err(|e| Error::caused_by("cannot make a folder for the point's artifacts", e))?;
        if let Some(artifacts) = beside.artifacts {
            lay_out(artifacts.objects, folder.path()).await?;
        }
        let (command, outputs) = scan.shell(self.context.outputs);
        let own = vec![
            ("LIFEBOAT_POINT".to_owned(), self.point.id.clone().into()),
            ("LIFEBOAT_ARTIFACTS".to_owned(), folder.path().into()),
        ];
        let variables = [variables(beside.platform), own, outputs].concat();
        shell::run(&command, &variables, &self.context.folder.join("logs/scan.log")).await
    }
}

/// Writes objects as files of these names into a folder.
async fn lay_out(objects: &dyn ObjectSource, folder: &Path) -> Result<(), Error> {
    for object in objects.list("").await? {
        let path = folder.join(inside(&object.key)?);
        let what = || format!("cannot write `{}` for the scan", object.key);
        let written = async {
            tokio::fs::create_dir_all(path.parent().unwrap_or(folder)).await?;
            tokio::io::copy(&mut objects.read(&object.key).await?, &mut tokio::fs::File::create(&path).await?).await
        };
        written.await.map_err(|e: std::io::Error| Error::caused_by(what(), e))?;
    }
    Ok(())
}

/// The key as a path that stays where it is put.
fn inside(key: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(key);
    let stays = !key.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)));
    stays.then_some(path).ok_or_else(|| Error::new(format!("cannot write `{key}` for the scan"), "it is no plain path"))
}

#[cfg(test)]
#[path = "clean_tests.rs"]
mod tests;
