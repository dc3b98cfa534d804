//! Receives the log of a protection's server into its spool, and puts it into the repositories, until it is told to end.
//!
//! Apart from the backups because it goes on all the time. A repository that cannot be reached holds up neither the receiving
//! nor the other repositories: the log stays in the spool until each has it.

use super::{WorkPlace, open, platform, session};
use crate::client::Error;
use crate::engine::{Receiving, ReceivingNews, Session, ShippedLog, receives_nothing};
use crate::repository::RepositorySettings;
use crate::spec::Protection;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often what was received is put into the repositories.
const EVERY: Duration = Duration::from_mins(1);
/// How long the last time may take, when it was told to end.
const LAST: Duration = Duration::from_secs(30);

/// Receives until `stop`, or with `once` until all is received that the server had written when it began. What goes wrong
/// meanwhile is told, and tried again.
///
/// # Errors
/// When it cannot begin: the server is away or not set up for it, or another receives into the same spool.
pub async fn receive(
    protection: &Protection,
    once: bool,
    stop: impl Future<Output = ()> + Send,
    tell: &(dyn Fn(&ReceivingNews) + Send + Sync),
) -> Result<(), Error> {
    let spool = protection.spool.as_deref().ok_or_else(receives_nothing)?;
    let absolute = std::path::absolute(spool).map_err(|e| Error::caused_by("cannot receive the log", e))?;
    let mark = blake3::hash(absolute.as_os_str().as_encoded_bytes()).to_hex();
    let server = platform(&WorkPlace::live(protection))?.marked(format!("receive-{}", &mark[..16]));
    let receiving = Receiving { protection: &protection.name, spool: &absolute, once, stop: Box::pin(stop), tell };
    let stores = Stores { protection, sessions: Mutex::default(), failed: Mutex::default(), tell };
    tokio::select! {
        ended = protection.engine.receive(Arc::new(server), receiving) => ended?,
        () = stores.keep_up() => {}
    }
    if once {
        stores.ship().await;
    } else if tokio::time::timeout(LAST, stores.ship()).await.is_err() {
        tell(&ReceivingNews::NotStored(
            "the repositories took too long; the rest of the log stays in the spool".into(),
        ));
    }
    Ok(())
}

/// The repositories that the log goes into.
struct Stores<'a> {
    protection: &'a Protection,
    /// By the repository's name; those that could be opened.
    sessions: Mutex<BTreeMap<String, Arc<dyn Session>>>,
    /// The names of those that lack something.
    failed: Mutex<BTreeSet<String>>,
    tell: &'a (dyn Fn(&ReceivingNews) + Send + Sync),
}

impl Stores<'_> {
    async fn keep_up(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.ship().await;
        }
    }

    /// Puts what is new into each repository, and takes out of the spool what all of them hold.
    async fn ship(&self) {
        let mut removable: Option<BTreeSet<PathBuf>> = None;
        for repository in &self.protection.repositories {
            let shipped = self.ship_to(repository).await;
            let held = shipped.as_ref().map(|shipped| shipped.removable.clone()).unwrap_or_default();
            removable = Some(removable.map_or_else(|| held.clone(), |all| all.intersection(&held).cloned().collect()));
            self.tell(&repository.name, shipped.err());
        }
        for path in removable.unwrap_or_default() {
            if let Err(error) = std::fs::remove_file(&path) {
                self.tell("spool", Some(Error::caused_by(format!("cannot remove `{}`", path.display()), error)));
            }
        }
    }

    async fn ship_to(&self, repository: &RepositorySettings) -> Result<ShippedLog, Error> {
        let known = self.sessions.lock().get(&repository.name).cloned();
        let session = if let Some(session) = known {
            session
        } else {
            let at = WorkPlace::live(self.protection);
            let opened = session(self.protection, open(repository, false).await?, &at).await?;
            let opened: Arc<dyn Session> = opened.into();
            self.sessions.lock().insert(repository.name.clone(), Arc::clone(&opened));
            opened
        };
        session.ship().await.inspect_err(|_| {
            self.sessions.lock().remove(&repository.name); // what was known of it may be wrong
        })
    }

    fn tell(&self, name: &str, error: Option<Error>) {
        let mut failed = self.failed.lock();
        match error {
            Some(error) => {
                failed.insert(name.to_owned());
                (self.tell)(&ReceivingNews::NotStored(format!("{name}: the log is not stored: {error}")));
            }
            None if failed.remove(name) && failed.is_empty() => {
                (self.tell)(&ReceivingNews::Stored(format!("{name}: the log is stored again")));
            }
            None => {}
        }
    }
}
