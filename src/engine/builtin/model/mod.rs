//! The restore of one registered model: its rows and artifacts are put back into a platform where nothing else changes.
//!
//! The point is restored into a database at the side. The rows that make up the model are chosen there, compared with the
//! live ones, and what is gone is put back in one transaction, after the artifacts that the rows name. What is there and
//! differs is a conflict: nothing is written then, unless it was asked for. What came later than the point stays.

mod folders;
mod live;
mod numbers;
mod selection;
mod tables;

use super::artifacts::{ArtifactContent, ArtifactMethod, Back, path};
use super::connect;
use super::manifest::PointManifest;
use super::restore::fill_anywhere;
use crate::client::Error;
use crate::engine::{ModelRestore, RestorePlan};
use crate::environment::{Asset, Platform};
use crate::model::Finding;
use crate::repository::{OpenPoint, StoredFile};
use folders::FoundObjects;
use live::{FoundRows, LiveRows};
use selection::Selection;
use std::error::Error as _;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// So often the transaction is tried, when others have changed what it touches.
const TRIES: usize = 5;
/// How many conflicts the reason names.
const NAMED: usize = 5;

/// Restores one model of a point; an error is a restore that did not work.
pub async fn restore(
    platform: &dyn Platform,
    point: &OpenPoint,
    manifest: &PointManifest,
    plan: &RestorePlan,
    wanted: &ModelRestore,
) -> Result<Finding, Error> {
    let sql = platform.sql()?;
    let content = content(manifest, plan)?;
    let filled = fill_anywhere(sql, point, manifest).await?;
    let restored = async {
        let (side, live) = (connect(sql, filled.name()).await?, connect(sql, sql.database()).await?);
        OneModel { platform, point, content, plan, wanted, live: &live }.restore(&side).await
    };
    let restored = restored.await;
    let removed = filled.discard().await;
    let restored = restored?; // its error says more than that of a failed clean-up
    removed.map(|()| restored)
}

/// The artifacts of the point, unless only rows are wanted.
fn content<'m>(manifest: &'m PointManifest, plan: &RestorePlan) -> Result<Option<&'m ArtifactContent>, Error> {
    match &manifest.artifacts {
        _ if !plan.restores(Asset::Artifacts) => Ok(None),
        Some(content) if content.method == ArtifactMethod::Versions => {
            let what = format!("cannot put back the artifacts of the point `{}`", plan.point.id);
            Err(Error::new(what, "it lists their versions and has no bytes")
                .hint("--only database puts back the rows alone"))
        }
        Some(content) => Ok(Some(content)),
        None => {
            let what = format!("cannot put back the artifacts of the point `{}`", plan.point.id);
            Err(Error::new(what, "it has none").hint("--only database puts back the rows alone"))
        }
    }
}

/// One model on its way back.
struct OneModel<'a> {
    platform: &'a dyn Platform,
    point: &'a OpenPoint,
    content: Option<&'a ArtifactContent>,
    plan: &'a RestorePlan,
    wanted: &'a ModelRestore,
    live: &'a Client,
}

impl OneModel<'_> {
    async fn restore(&self, side: &Client) -> Result<Finding, Error> {
        let selection = Selection::of(side, &self.wanted.model).await?;
        let rows = LiveRows::begin(self.live, &selection, self.wanted).await?;
        let (found, folders) = (rows.found().await?, folders::folders(&selection, &rows).await?);
        rows.leave().await?;
        let back =
            self.content.map(|content| Ok::<_, Error>((Back::new(self.platform.objects()?, self.point), content)));
        let back = back.transpose()?;
        let objects = match &back {
            Some((back, content)) => folders::found(back, content, &folders).await?,
            None => FoundObjects::default(),
        };
        let found = if self.plan.restores(Asset::Database) { found } else { vec![] };
        let finding = told(Finding::met(), &found, &objects);
        let against = self.against(&found, &objects);
        if !against.is_empty() || self.wanted.dry_run {
            return Ok(self.judged(finding, "nothing was written", &against));
        }
        let (put, bytes) = match back {
            Some((back, _)) => {
                let files: Vec<_> = objects.gone.into_iter().chain(objects.different).collect();
                (files.len(), folders::put(&back, files).await?)
            }
            None => (0, 0),
        };
        let finding = finding.figure("artifacts put back", put).figure("bytes put back", bytes);
        if !self.plan.restores(Asset::Database) {
            return Ok(finding);
        }
        match self.write(&selection).await? {
            Ok(others) => Ok(finding.figure("other rows, none changed", others)),
            Err(against) => Ok(self.judged(finding, "no row was written", &against)),
        }
    }

    /// Writes the rows; answers how many other rows there are, or what stands against it by now.
    async fn write(&self, selection: &Selection<'_>) -> Result<Result<i64, Vec<String>>, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let written = async {
                let rows = LiveRows::begin(self.live, selection, self.wanted).await?;
                let against = self.against(&rows.found().await?, &FoundObjects::default());
                if against.is_empty() { Ok(Ok(rows.write().await?)) } else { Ok(Err(against)) }
            };
            let written = written.await;
            if !matches!(written, Ok(Ok(_))) {
                let _ = self.live.batch_execute("ROLLBACK").await; // a connection that is gone has rolled back
            }
            match written {
                Err(error) if tries < TRIES && changed_meanwhile(&error) => {}
                written => return written,
            }
        }
    }

    /// Why nothing must be written, in words.
    fn against(&self, rows: &[FoundRows], objects: &FoundObjects) -> Vec<String> {
        let mut against = objects.lacking.clone();
        for FoundRows { table, differing, named, taken, .. } in rows {
            against.extend(taken.iter().map(|key| format!("`{key}` of `{table}` is another one by now")));
            if *differing > 0 && !self.wanted.replace {
                against.push(format!(
                    "{differing} rows of `{table}` are there and differ, such as `{}`",
                    named.join("`, `")
                ));
            }
        }
        if !self.wanted.replace {
            let different = |file: &StoredFile| format!("the artifact `{}` has other bytes", path(file));
            against.extend(objects.different.iter().map(different));
        }
        against
    }

    /// Missed, if anything stands against it.
    fn judged(&self, finding: Finding, ended: &str, against: &[String]) -> Finding {
        if against.is_empty() {
            return finding;
        }
        let more = against.len().saturating_sub(NAMED);
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        let named = against[..against.len() - more].join("; ") + &rest;
        let differs = |name| finding.get(name).is_some_and(|count| count != "0");
        let hint = if !self.wanted.replace && (differs("rows that differ") || differs("artifacts that differ")) {
            " (`replace` makes what differs as it was in the point)"
        } else {
            ""
        };
        let missed = Finding::missed(format!("{ended}: {named}{hint}"));
        let missed = Finding { figures: finding.figures, ..missed };
        against.iter().fold(missed, |missed, conflict| missed.figure("conflict", conflict))
    }
}

fn told(finding: Finding, rows: &[FoundRows], objects: &FoundObjects) -> Finding {
    let sum = |count: fn(&FoundRows) -> i64| rows.iter().map(count).sum::<i64>();
    let finding = finding
        .figure("rows of the model", sum(|rows| rows.chosen))
        .figure("rows gone", sum(|rows| rows.absent))
        .figure("rows that differ", sum(|rows| rows.differing))
        .figure("artifacts", objects.count())
        .figure("artifacts gone", objects.gone.len())
        .figure("artifacts that differ", objects.different.len());
    let table = |finding: Finding, rows: &FoundRows| {
        let told = format!("{} rows, {} gone, {} differ", rows.chosen, rows.absent, rows.differing);
        finding.figure(format!("table {}", rows.table), told)
    };
    rows.iter().filter(|rows| rows.chosen > 0).fold(finding, table)
}

/// Has somebody else changed what the transaction touches?
fn changed_meanwhile(error: &Error) -> bool {
    // A number that was free may be taken by now.
    let codes = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::UNIQUE_VIOLATION];
    let of_server = error.source().and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    of_server.and_then(tokio_postgres::Error::code).is_some_and(|code| codes.contains(code))
}
