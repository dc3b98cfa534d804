//! One writer at a time: a lease that is kept in the repository itself and that a dead owner does not hold for ever.
//!
//! The format has no lock that is taken in one step, and `prune` beside a writer breaks a repository. Readers ask nothing.
//! Each lease is a file with a number of its own, `lifeboat/lease/NUMBER`, made only if there is none; the highest holds,
//! unless `NUMBER.ended` is there. Numbers are never used twice, so nobody takes another's lease for his own. The owner
//! writes its file anew at each beat. Who waits takes the next number when the bytes have not changed for a while by his
//! own monotonic clock; times of two machines are never compared. An owner on the same machine whose process is gone is
//! waited for only as long as a request of it may still be under way. Whoever was taken for dead finds the higher number
//! before it writes a snapshot, and again after it.

use super::{Patience, Place, Writing};
use crate::client::process::{ProcessIdentity, id_space};
use crate::client::{Error, ErrorKind};
use crate::clock::{Stopwatch, wall};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Where leases are. restic does not look there.
pub(super) const FOLDER: &str = "lifeboat/lease/";
const ENDED: &str = ".ended";
/// How long a request of a process that is gone may still be under way.
const LATE: Duration = Duration::from_secs(2);

/// What the owner of a lease says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LeaseOwner {
    id: String,
    host: String,
    process: u32,
    /// The same, where its id means what it says.
    #[serde(default)]
    known_as: Option<(String, ProcessIdentity)>,
    does: String,
    since: String,
    beat: u64,
}

impl LeaseOwner {
    /// Is it known to be gone? Of another machine nobody knows.
    fn gone(bytes: &[u8]) -> bool {
        let known = serde_json::from_slice::<Self>(bytes).ok().and_then(|owner| owner.known_as);
        known.is_some_and(|(space, process)| id_space() == Some(space) && process.gone())
    }

    fn bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// The right to write, held until it is ended, dropped or lost.
pub(super) struct Lease {
    place: Arc<dyn Place>,
    number: u64,
    lost: Arc<AtomicBool>,
    ended: AtomicBool,
    beats: JoinHandle<()>,
    handle: Handle,
}

impl Drop for Lease {
    /// Whoever drops it lets the next one in without the wait for a dead one, as far as there is still a runtime.
    fn drop(&mut self) {
        self.beats.abort();
        if !self.ended.load(Ordering::Relaxed) {
            let (place, number) = (Arc::clone(&self.place), self.number);
            self.handle.spawn(async move { end(&*place, number).await });
        }
    }
}

impl Lease {
    /// Waits for the lease and takes it. `does` says what for.
    ///
    /// # Errors
    /// Of the kind `Locked` when another that lives holds it for longer than the patience allows.
    pub async fn take(place: &Arc<dyn Place>, does: &str, patience: Patience) -> Result<Self, Error> {
        let waited = Stopwatch::start();
        let limit = patience.turn.max(patience.dead + 2 * patience.beat);
        let mut seen: Option<(u64, Bytes, Stopwatch)> = None;
        loop {
            let number = match newest(&**place).await? {
                None => 1,
                Some((number, true)) => number + 1,
                Some((number, false)) => {
                    let bytes = match place.read(&file(number), None).await {
                        Err(e) if e.kind == ErrorKind::NotFound => continue, // a newer one is there
                        bytes => bytes?,
                    };
                    match &seen {
                        Some((known, before, since)) if *known == number && *before == bytes => {
                            let dead = if LeaseOwner::gone(&bytes) { LATE.min(patience.dead) } else { patience.dead };
                            if since.elapsed() < dead {
                                sleep(LATE.min(patience.beat / 2)).await;
                                continue;
                            }
                            number + 1
                        }
                        _ if waited.elapsed() > limit => return Err(held(&**place, &bytes)),
                        _ => {
                            seen = Some((number, bytes, Stopwatch::start()));
                            continue;
                        }
                    }
                }
            };
            if let Some(lease) = Self::make(place, number, does, patience).await? {
                return Ok(lease);
            }
        }
    }

    /// Makes the lease of a number; none if another was faster.
    async fn make(place: &Arc<dyn Place>, number: u64, does: &str, patience: Patience) -> Result<Option<Self>, Error> {
        let owner = LeaseOwner {
            id: format!("{:032x}", rand::random::<u128>()),
            host: sysinfo::System::host_name().unwrap_or_default(),
            process: std::process::id(),
            known_as: id_space().zip(ProcessIdentity::own()),
            does: does.to_owned(),
            since: wall().to_string(),
            beat: 0,
        };
        if !place.write(&file(number), owner.bytes(), Writing::New).await? {
            return Ok(None);
        }
        let lost = Arc::new(AtomicBool::new(false));
        let beats = tokio::spawn(beat(Arc::clone(place), number, owner, Arc::clone(&lost), patience));
        let ended = AtomicBool::new(false);
        let lease = Self { place: Arc::clone(place), number, lost, ended, beats, handle: Handle::current() };
        for older in place.list(FOLDER).await? {
            if number_of(&older.name).is_some_and(|it| it < number) {
                place.remove(&older.name).await?;
            }
        }
        place.tidy().await?;
        Ok(Some(lease))
    }

    /// Is it known that another took it? Asks nobody.
    pub fn check(&self) -> Result<(), Error> {
        if self.lost.load(Ordering::Relaxed) { Err(stolen(&*self.place)) } else { Ok(()) }
    }

    /// Asks the place whether it is still ours.
    pub async fn confirm(&self) -> Result<(), Error> {
        self.check()?;
        if newest(&*self.place).await? == Some((self.number, false)) {
            return Ok(());
        }
        self.lost.store(true, Ordering::Relaxed);
        self.check()
    }

    /// Lets the next one in.
    pub async fn end(&self) -> Result<(), Error> {
        self.beats.abort();
        self.ended.store(true, Ordering::Relaxed);
        end(&*self.place, self.number).await
    }
}

async fn end(place: &dyn Place, number: u64) -> Result<(), Error> {
    place.write(&format!("{}{ENDED}", file(number)), Bytes::new(), Writing::Loose).await.map(|_| ())
}

/// Shows that the owner lives, until another has taken the lease or nothing could be written for too long.
async fn beat(place: Arc<dyn Place>, number: u64, mut owner: LeaseOwner, lost: Arc<AtomicBool>, patience: Patience) {
    let mut shown = Stopwatch::start();
    loop {
        sleep(patience.beat).await;
        owner.beat += 1;
        let begun = Stopwatch::start();
        let write = async {
            place.write(&file(number), owner.bytes(), Writing::Loose).await?;
            newest(&*place).await
        };
        let asked = tokio::time::timeout(patience.dead.saturating_sub(shown.elapsed()), write).await;
        match asked {
            Ok(Ok(Some((newest, _)))) if newest > number => break,
            Ok(Ok(_)) => shown = begun,
            _ if shown.elapsed() + Duration::from_millis(1) >= patience.dead => break,
            _ => {}
        }
    }
    lost.store(true, Ordering::Relaxed);
}

/// The highest number, and whether its lease has ended.
async fn newest(place: &dyn Place) -> Result<Option<(u64, bool)>, Error> {
    let files = place.list(FOLDER).await?;
    let newest = files.iter().filter_map(|file| number_of(&file.name)).max();
    Ok(newest.map(|number| {
        let ended = format!("{}{ENDED}", file(number));
        (number, files.iter().any(|file| file.name == ended))
    }))
}

fn file(number: u64) -> String {
    format!("{FOLDER}{number:010}")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(FOLDER)?.trim_end_matches(ENDED).parse().ok()
}

fn held(place: &dyn Place, bytes: &[u8]) -> Error {
    let why = match serde_json::from_slice::<LeaseOwner>(bytes) {
        Ok(owner) => {
            let LeaseOwner { host, process, does, since, .. } = owner;
            format!("another writes there: process {process} on `{host}` does {does} since {since}")
        }
        Err(_) => "another writes there".to_owned(),
    };
    let error = Error::new(format!("cannot write to the repository `{}`", place.location()), why);
    error.kind(ErrorKind::Locked).hint("wait for its end; a dead one is noticed without your help")
}

fn stolen(place: &dyn Place) -> Error {
    let what = format!("cannot write to the repository `{}`", place.location());
    let error = Error::new(what, "another took this process for dead and writes there now");
    error.kind(ErrorKind::Locked).hint("was the machine suspended, or the repository out of reach? Begin again")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::repository::{REPOSITORIES, Repository};
    use crate::{kind::pick, node::parse};

    const QUICK: Patience = Patience {
        request: Duration::from_secs(1),
        beat: Duration::from_millis(100),
        dead: Duration::from_millis(600),
        turn: Duration::from_millis(900),
    };

    async fn place() -> (tempfile::TempDir, Arc<dyn Place>) {
        let folder = tempfile::tempdir().unwrap();
        let node = parse(&format!("directory: {}", folder.path().display())).unwrap();
        let kind = pick("repository", REPOSITORIES, &node, &mut vec![]).unwrap();
        let repository: &dyn Repository = &*kind.it;
        let place = repository.place(None, QUICK).await.unwrap();
        (folder, place)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_one_at_a_time_holds_it() {
        let (_folder, place) = place().await;
        let inside = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let (place, inside) = (Arc::clone(&place), Arc::clone(&inside));
                tokio::spawn(async move {
                    let patience = Patience { turn: Duration::from_mins(1), ..QUICK };
                    let lease = Lease::take(&place, "a test", patience).await.unwrap();
                    assert!(!inside.swap(true, Ordering::SeqCst), "two are inside");
                    sleep(Duration::from_millis(20)).await;
                    inside.store(false, Ordering::SeqCst);
                    lease.confirm().await.unwrap();
                    lease.end().await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(newest(&*place).await.unwrap(), Some((6, true)), "no number was used twice");
        assert_eq!(place.list(FOLDER).await.unwrap().len(), 2, "older ones are removed");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_lives_is_waited_for_and_told() {
        let (_folder, place) = place().await;
        let lease = Lease::take(&place, "a backup", QUICK).await.unwrap();
        let error = Lease::take(&place, "a prune", QUICK).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Locked);
        assert!(error.to_string().contains("does a backup since"), "{error}");
        lease.confirm().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dead_owner_does_not_hold_it_and_notices_when_it_was_not_dead() {
        let (_folder, place) = place().await;
        let dead = Lease::take(&place, "a backup", QUICK).await.unwrap();
        dead.beats.abort();
        let waited = Stopwatch::start();
        let next = Lease::take(&place, "a prune", QUICK).await.unwrap();
        assert!(waited.elapsed() >= QUICK.dead, "{:?}", waited.elapsed());
        assert!(dead.check().is_ok(), "it does not know yet");
        assert!(dead.confirm().await.unwrap_err().to_string().contains("took this process for dead"));
        next.confirm().await.unwrap();
        dead.end().await.unwrap();
        next.confirm().await.unwrap();
    }

    #[test]
    fn only_an_owner_whose_process_is_known_to_be_gone_is_gone() {
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        let gone = ProcessIdentity { pid: ended.id(), start: ProcessIdentity::own().unwrap().start };
        ended.wait().unwrap();
        let owner = |known_as: Option<(String, ProcessIdentity)>| {
            let (id, host, does, since) = Default::default();
            LeaseOwner { id, host, process: 1, known_as, does, since, beat: 0 }.bytes()
        };
        let here = id_space().unwrap();
        assert!(LeaseOwner::gone(&owner(Some((here.clone(), gone)))));
        assert!(!LeaseOwner::gone(&owner(Some((here, ProcessIdentity::own().unwrap())))), "it lives");
        assert!(!LeaseOwner::gone(&owner(Some(("another machine".into(), gone)))));
        assert!(!LeaseOwner::gone(&owner(None)) && !LeaseOwner::gone(b"nonsense"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_owner_that_beats_notices_by_itself() {
        let (_folder, place) = place().await;
        let slow = Lease::take(&place, "a backup", QUICK).await.unwrap();
        assert!(place.write(&file(2), Bytes::new(), Writing::New).await.unwrap());
        sleep(4 * QUICK.beat).await;
        assert!(slow.check().is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_owner_that_cannot_show_that_it_lives_gives_up_before_others_take_it() {
        let (folder, place) = place().await;
        let cut_off = Lease::take(&place, "a backup", QUICK).await.unwrap();
        std::fs::remove_dir_all(folder.path().join("lifeboat")).unwrap();
        std::fs::write(folder.path().join("lifeboat"), "in the way").unwrap();
        sleep(QUICK.dead + 2 * QUICK.beat).await;
        assert!(cut_off.check().is_err());
    }
}
