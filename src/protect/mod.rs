//! A protection carried out, outside any drill: backups taken, listed, verified, copied, pruned, restored.
//!
//! Each act opens what it needs and leaves nothing open. A restore is planned first, and what was planned is carried
//! out. The live database is replaced only by whoever says so in as many words.

mod configuration;
mod copy;
mod digests;
mod proof;
mod prune;
mod re_point;
mod receive;
mod restore;
mod retention;

pub use configuration::{OpenedConfiguration, open_configuration};
pub use copy::{copy, lacking};
pub use proof::{RestoreProof, prove};
pub use prune::{PrunedPoints, prune};
pub use re_point::re_point;
pub use receive::receive;
pub use restore::{ChosenRestore, RestoreTarget, choose, restore, restore_model};
pub use retention::KeptAs;

use crate::client::{Error, ErrorKind};
use crate::clock::{Clock, Deadline, wall};
use crate::engine::{EngineContext, LogReach, NamedRepository, SealedConfiguration, Session, SnapshotReader};
use crate::environment::{AbsentPlatform, ArtifactBucket, Platform, ServerAddress, ServerPlatform};
use crate::model::{Period, RecoveryPoint, Span};
use crate::repository::{
    BucketAddress, OpenRepository, Patience, PointList, RepositorySettings, SecretFrom, StoredPoint, Verified,
};
use crate::spec::Protection;
use digests::DigestReader;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// So long may it take until the log counts as received after a backup, and from one look to the next.
const RECEIVED: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);

/// The points of one repository, or why they cannot be listed.
pub struct KeptPoints<'a> {
    /// The repository.
    pub repository: &'a RepositorySettings,
    /// Its points of this protection, and those that cannot be read, whoever's they are.
    pub points: Result<PointList, Error>,
    /// How far the log reaches from each of them, if the protection keeps one; why that is not known is its flaw.
    pub reaches: Vec<LogReach>,
}

/// A backup that was taken.
pub struct TakenBackup {
    /// Its point.
    pub point: RecoveryPoint,
    /// The bytes of the point before it, if this one is smaller by more than the protection's `shrink`.
    pub shrunk_from: Option<u64>,
    /// How far the log reaches from it by now, if the protection keeps one.
    pub log: Option<LogReach>,
}

/// Opens a repository. With `create` it is made where nothing is yet.
///
/// # Errors
/// When it cannot be opened, or is not there and not to be made.
pub async fn open(repository: &RepositorySettings, create: bool) -> Result<OpenRepository, Error> {
    match OpenRepository::open(repository, Patience::default()).await {
        Err(error) if error.kind == ErrorKind::NotFound && create => {
            OpenRepository::create(repository, Patience::default()).await
        }
        Err(error) if error.kind == ErrorKind::NotFound => {
            Err(error.hint("is the place the right one? `--create` makes it there"))
        }
        opened => opened,
    }
}

/// Takes a backup into one repository. With `create` the repository is made where nothing is yet.
///
/// # Errors
/// When there is no point: the repository cannot be opened, or the database cannot be backed up.
pub async fn backup(
    protection: &Protection,
    repository: &RepositorySettings,
    create: bool,
) -> Result<TakenBackup, Error> {
    let configuration = match &protection.configuration {
        Some(configuration) => Some(configuration::seal(configuration).await?),
        None => None,
    };
    let platform: Arc<dyn Platform> = Arc::new(platform(&WorkPlace::live(protection))?);
    let parts = BackupParts { reader: Some(Arc::new(DigestReader(Arc::clone(&platform)))), configuration };
    let session = open_session(protection, open(repository, create).await?, platform, parts).await?;
    let before = session.points().await?.last().and_then(|point| point.bytes);
    let point = session.backup(&wall().strftime("%Y%m%dT%H%M%S.%3fZ").to_string()).await?;
    let now = point.bytes.unwrap_or_default();
    let log = reach(session.as_ref(), &point.id).await?;
    Ok(TakenBackup { point, shrunk_from: before.filter(|before| protection.shrink.shrunk(*before, now)), log })
}

/// How far the log reaches from a point that was just taken. What is being received counts a moment later than it comes,
/// and a small server is copied sooner than that.
async fn reach(session: &dyn Session, point: &str) -> Result<Option<LogReach>, Error> {
    let deadline = Deadline::within(RECEIVED);
    loop {
        let found = session.reaches(false).await?.into_iter().find(|reach| reach.point == point);
        if found.as_ref().is_none_or(|reach| reach.flaw.is_none()) || deadline.left().is_zero() {
            return Ok(found);
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl KeptPoints<'_> {
    /// How old the newest point is, if that is half as much again as `every`; a repository without points is overdue.
    pub fn overdue(&self, every: Period, now: Timestamp) -> Option<PointDue> {
        let newest = self.points.as_ref().ok()?.points.last().map(|point| point.time);
        let Some(newest) = newest else { return Some(PointDue::NoPoint) };
        let age = now.duration_since(newest);
        let late = age > SignedDuration::try_from(every.0 + every.0 / 2).unwrap_or(SignedDuration::MAX);
        late.then(|| PointDue::Newest(Span(age.unsigned_abs())))
    }
}

/// A point is due in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointDue {
    /// There is none.
    NoPoint,
    /// The newest is that old.
    Newest(Span),
}

/// The points of this protection in each of its repositories.
pub async fn points(protection: &Protection) -> Vec<KeptPoints<'_>> {
    let of_one = async |repository| {
        let points = points_of(protection, repository).await;
        let reaches = if points.is_ok() { reaches(protection, repository, false).await } else { vec![] };
        KeptPoints { repository, points, reaches }
    };
    futures::future::join_all(protection.repositories.iter().map(of_one)).await
}

async fn points_of(protection: &Protection, repository: &RepositorySettings) -> Result<PointList, Error> {
    let mut list = OpenRepository::open(repository, Patience::default()).await?.points().await?;
    list.points.retain(|point| point.label == protection.name);
    Ok(list)
}

/// How far the log reaches from each point of a repository, if the protection keeps one. With `read` each record of it is
/// looked at. What could not be found out is told as a flaw.
pub async fn reaches(protection: &Protection, repository: &RepositorySettings, read: bool) -> Vec<LogReach> {
    if !protection.engine.keeps_log() {
        return vec![];
    }
    let asked = async {
        let opened = OpenRepository::open(repository, Patience::default()).await?;
        on_nothing(protection, opened).await?.reaches(read).await
    };
    let unknown = |error: Error| LogReach { point: "all".into(), until: None, flaw: Some(error.to_string()) };
    asked.await.unwrap_or_else(|error| vec![unknown(error)])
}

/// Reads every byte of a repository. `progress` is told the bytes that were read and those of all files.
///
/// # Errors
/// When it cannot be opened or listed.
pub async fn verify(
    repository: &RepositorySettings,
    progress: impl Fn(u64, u64) + Send + Sync,
) -> Result<Verified, Error> {
    OpenRepository::open(repository, Patience::default()).await?.verify(progress).await
}

/// Where a session works: on what is protected, or beside it.
struct WorkPlace {
    server: ServerAddress,
    password: Option<SecretFrom>,
    artifacts: Option<BucketAddress>,
}

impl WorkPlace {
    fn live(protection: &Protection) -> Self {
        let password = protection.password.clone();
        Self { server: protection.server.clone(), password, artifacts: protection.artifacts.clone() }
    }
}

/// A session of the protection's engine.
async fn session(
    protection: &Protection,
    repository: OpenRepository,
    at: &WorkPlace,
) -> Result<Box<dyn Session>, Error> {
    open_session(protection, repository, Arc::new(platform(at)?), BackupParts::default()).await
}

/// A session that only reads the repository: what is protected is asked nothing, and need not be there.
async fn on_nothing(protection: &Protection, repository: OpenRepository) -> Result<Box<dyn Session>, Error> {
    open_session(protection, repository, Arc::new(AbsentPlatform::default()), BackupParts::default()).await
}

/// What goes into a backup beside what the engine takes by itself.
#[derive(Default)]
struct BackupParts {
    reader: Option<Arc<dyn SnapshotReader>>,
    configuration: Option<SealedConfiguration>,
}

async fn open_session(
    protection: &Protection,
    repository: OpenRepository,
    platform: Arc<dyn Platform>,
    BackupParts { reader, configuration }: BackupParts,
) -> Result<Box<dyn Session>, Error> {
    let points = repository.points().await?.points;
    let known = points.iter().filter(|point| point.label == protection.name).map(point).collect();
    let repository = NamedRepository { repository, protection: protection.name.clone(), configuration };
    let context = EngineContext {
        platform,
        // Without a log nothing is kept there: the points are in the repository.
        folder: protection.spool.clone().unwrap_or_else(std::env::temp_dir),
        clock: Clock::start(),
        known,
        reader,
        repository: Some(repository),
    };
    protection.engine.open(context).await
}

/// The server and the bucket as their administrators reach them.
fn platform(at: &WorkPlace) -> Result<ServerPlatform, Error> {
    let WorkPlace { server, password, artifacts } = at;
    let what = format!("the password of `{}` at `{}`", server.user, server.host);
    let password = password.as_ref().map(|password| password.read(&what)).transpose()?;
    let bucket = |it: &BucketAddress| {
        Ok::<_, Error>(ArtifactBucket::new(&it.client()?, it.bucket.clone(), it.prefix.trim_matches('/').to_owned()))
    };
    let artifacts = artifacts.as_ref().map(bucket).transpose()?;
    ServerPlatform::at(server.clone(), &password.unwrap_or_default(), artifacts)
}

/// A stored point as engines know it. The run's clock that dated it is long gone.
fn point(stored: &StoredPoint) -> RecoveryPoint {
    let id = name(stored).to_owned();
    RecoveryPoint { id, snapshot: crate::clock::Moment(0), taken_at: stored.time, bytes: Some(stored.bytes) }
}

/// The name of a point for people.
pub fn name(stored: &StoredPoint) -> &str {
    stored.tags.first().map_or(stored.id.as_str(), String::as_str)
}
