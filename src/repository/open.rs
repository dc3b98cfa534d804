//! A repository that is open: created or opened with its password, and the list of its points.
//!
//! Every act opens it anew with the key that the password gave, with a gate of its own and, if it writes, with the lease.

use super::backend::Backend;
use super::gate::Gate;
use super::lease::Lease;
use super::{Patience, Place, RepositoryFiles, RepositorySettings};
use crate::client::{Error, ErrorKind};
use jiff::Timestamp;
use rustic_core::repofile::{MasterKey, SnapshotFile, SnapshotId};
use rustic_core::{
    ConfigOptions, Credentials, FileType, KeyOptions, OpenStatus, Repository as Rustic, RepositoryBackends,
    RepositoryOptions, RusticError, RusticResult,
};
use std::sync::Arc;
use std::time::Duration;

/// The largest pack: what is held in memory for each that is written or verified.
const PACK_MEGABYTES: u64 = 64;

/// A point that is in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPoint {
    /// Its id, in 64 hexadecimal digits.
    pub id: String,
    /// The time that it was given.
    pub time: Timestamp,
    /// What it is a point of.
    pub label: String,
    /// Its tags, in order.
    pub tags: Vec<String>,
    /// How many files it holds.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes by which it has made the repository larger.
    pub added: u64,
    /// How long it took to take.
    pub took: Duration,
}

/// What points there are.
#[derive(Debug, Clone)]
pub struct PointList {
    /// Those that can be read, the oldest first.
    pub points: Vec<StoredPoint>,
    /// The files of those that cannot, with the reason.
    pub unreadable: Vec<(String, Error)>,
}

/// A repository that is open. All its acts may be dropped in the middle.
#[derive(Clone)]
pub struct OpenRepository {
    place: Arc<dyn Place>,
    key: Arc<MasterKey>,
    patience: Patience,
}

impl OpenRepository {
    /// Creates a repository in a place where nothing is.
    ///
    /// # Errors
    /// When anything is there already; nothing is touched then.
    pub async fn create(settings: &RepositorySettings, patience: Patience) -> Result<Self, Error> {
        let password = settings.password.read(&format!("the password of the repository `{}`", settings.name))?;
        let place = settings.place(patience).await?;
        let what = format!("cannot create the repository `{}`", place.location());
        let files = place.list("").await?;
        if files.iter().any(|file| file.name == "config") {
            return Err(Error::new(what, "there is one already").hint("open it"));
        }
        if let Some(file) = files.first() {
            let why = format!("the place is not empty, `{}` is there", file.name);
            return Err(Error::new(what, why).hint("give the repository a place of its own"));
        }
        let mut options = ConfigOptions::default();
        options.set_datapack_size_limit = Some(bytesize::ByteSize::mib(PACK_MEGABYTES));
        options.set_treepack_size_limit = Some(bytesize::ByteSize::mib(PACK_MEGABYTES));
        Self::enter(place, patience, what, move |rustic| {
            rustic.init(&Credentials::password(password), &KeyOptions::default(), &options)
        })
        .await
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// When there is none, the password is another's, or its version is unknown; nothing is touched.
    pub async fn open(settings: &RepositorySettings, patience: Patience) -> Result<Self, Error> {
        let password = settings.password.read(&format!("the password of the repository `{}`", settings.name))?;
        let place = settings.place(patience).await?;
        let what = format!("cannot open the repository `{}`", place.location());
        if !place.list("config").await?.iter().any(|file| file.name == "config") {
            let deleted = RepositoryFiles::deleted_at(&*place).await.ok().flatten();
            let error = if let Some(at) = deleted {
                let why = format!("its files are deleted, `config` since {at}, and versions of them are kept");
                let hint = format!(
                    "`lifeboat undelete-repository FILE --repository {} --since TIME` brings them back",
                    settings.name
                );
                Error::new(what, why).hint(hint)
            } else if place.list("").await?.is_empty() {
                Error::new(what, "there is none").hint("create it first, or is the path another?")
            } else {
                let hint = "name the place of a repository, or an empty one to create it in";
                Error::new(what, "there are files, but they are no repository: `config` is missing").hint(hint)
            };
            return Err(error.kind(ErrorKind::NotFound));
        }
        let open = move |rustic: Rustic<()>| rustic.open(&Credentials::password(password));
        Self::enter(place, patience, what, open).await
    }

    async fn enter<F>(place: Arc<dyn Place>, patience: Patience, what: String, enter: F) -> Result<Self, Error>
    where
        F: FnOnce(Rustic<()>) -> RusticResult<Rustic<OpenStatus>> + Send + 'static,
    {
        let gate = Arc::new(Gate::default());
        let key = blocking(&place, &gate, what, move |rustic| Ok(enter(rustic)?.key())).await?;
        Ok(Self { place, key: Arc::new(key), patience })
    }

    /// Where it is, for people.
    pub fn location(&self) -> String {
        self.place.location()
    }

    pub(super) fn place(&self) -> &Arc<dyn Place> {
        &self.place
    }

    /// Does `work` on the repository, on a thread that may block. What closed the gate is the error, if anything has.
    pub(super) async fn work<T, F>(&self, gate: &Arc<Gate>, what: String, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Rustic<OpenStatus>) -> RusticResult<T> + Send + 'static,
    {
        let key = MasterKey::clone(&self.key);
        blocking(&self.place, gate, what, move |rustic| work(rustic.open(&Credentials::Masterkey(key))?)).await
    }

    /// As [`Self::work`], for one who writes: ends the lease.
    pub(super) async fn write<T, F>(&self, gate: &Arc<Gate>, what: String, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Rustic<OpenStatus>) -> RusticResult<T> + Send + 'static,
    {
        let done = self.work(gate, what, work).await;
        let ended = match &gate.lease {
            Some(lease) => lease.end().await,
            None => Ok(()),
        };
        done.and_then(|done| ended.map(|()| done))
    }

    /// The gate of one who writes; waits for the lease.
    pub(super) async fn writer(&self, does: &str) -> Result<Arc<Gate>, Error> {
        Ok(Arc::new(Gate::of(Lease::take(&self.place, does, self.patience).await?)))
    }

    /// All points. A snapshot that cannot be read hides no other.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn points(&self) -> Result<PointList, Error> {
        let what = format!("cannot list the points of `{}`", self.location());
        let gate = Arc::new(Gate::default());
        self.work(&gate, what, |rustic| {
            let ids: Vec<SnapshotId> = rustic.list()?.collect();
            let mut list = PointList { points: vec![], unreadable: vec![] };
            for id in ids {
                match rustic.get_file::<SnapshotFile>(&id) {
                    Ok(snapshot) => list.points.push(stored(id, &snapshot)),
                    Err(error) => {
                        let file = super::backend::file(FileType::Snapshot, &id);
                        let failed = native(&format!("cannot read `{file}`"), &error);
                        list.unreadable.push((file, failed));
                    }
                }
            }
            list.points.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
            Ok(list)
        })
        .await
    }
}

/// A point as its snapshot tells it.
fn stored(id: SnapshotId, snapshot: &SnapshotFile) -> StoredPoint {
    let summary = snapshot.summary.as_ref();
    StoredPoint {
        id: id.to_hex().to_string(),
        time: snapshot.time.timestamp(),
        label: snapshot.label.clone(),
        tags: snapshot.tags.iter().cloned().collect(),
        files: summary.map_or(0, |it| it.total_files_processed),
        bytes: summary.map_or(0, |it| it.total_bytes_processed),
        added: summary.map_or(0, |it| it.data_added_packed),
        took: summary.and_then(|it| Duration::try_from_secs_f64(it.total_duration).ok()).unwrap_or_default(),
    }
}

/// An error of rustic's as one of ours.
pub(super) fn native(what: &str, error: &RusticError) -> Error {
    let why = error.display_log();
    let why = why.strip_prefix("Error: ").unwrap_or(&why).lines().next().unwrap_or_default().trim().to_owned();
    if error.is_incorrect_password() {
        let hint = "is it the password of another repository?";
        return Error::new(what, "the password is wrong").kind(ErrorKind::PermissionDenied).hint(hint);
    }
    if why.starts_with("Config version") {
        return Error::new(what, why).hint("it was made by a newer program; use that one");
    }
    // What follows says the same again in the library's words.
    match why.split_once(" (kind: related to ") {
        Some((why, rest)) if rest.starts_with("cryptographic operations") => {
            Error::new(what, format!("what is stored is damaged: {why}")).hint("take an older point")
        }
        Some((why, _)) => Error::new(what, why),
        None => Error::new(what, why),
    }
}

/// Does what blocks on a thread of its own. Dropping the future closes the gate, so that nothing is completed unseen.
async fn blocking<T, F>(place: &Arc<dyn Place>, gate: &Arc<Gate>, what: String, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(Rustic<()>) -> RusticResult<T> + Send + 'static,
{
    let backend = Backend::new(Arc::clone(place), Arc::clone(gate));
    let mut options = RepositoryOptions::default();
    options.no_cache = true; // it would be in the home of whoever runs this
    let stop = StopWhenDropped(Some(Arc::clone(gate)));
    let task = tokio::task::spawn_blocking(move || {
        let backends = RepositoryBackends::new(Arc::new(backend), None);
        Rustic::new(&options, &backends).and_then(work)
    });
    let done = task.await;
    stop.end();
    match done {
        Err(panic) => Err(Error::new(what, panic)),
        Ok(Ok(done)) => gate.failure().map_or(Ok(done), Err),
        Ok(Err(error)) => Err(gate.failure().unwrap_or_else(|| native(&what, &error))),
    }
}

struct StopWhenDropped(Option<Arc<Gate>>);

impl StopWhenDropped {
    fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.fail(Error::new("cannot complete this", "it was interrupted"));
        }
    }
}
