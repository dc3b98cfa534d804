//! A standing platform while a run uses it: the lock is asked before each act, one run at a time has it, and what the run
//! changed of it is put back.
//!
//! Apart from the platform because a throw-away one has none of this.

use super::identity::{self, Ways};
use super::lease::{self, HeldLeases};
use super::lock::{self, FINGERPRINTS, Known, PlatformIdentity};
use super::settings::Attach;
use crate::client::Error;
use crate::environment::{Act, Identity, Journal};
use crate::model::Receipt;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many pods each component should have.
pub type Replicas = BTreeMap<String, u16>;

/// What a run knows and holds of a standing platform.
pub struct StandingPlatform {
    /// As the drill's file says it.
    pub attach: Attach,
    /// The namespace UID of the cluster it is in.
    cluster: String,
    /// Where acts are recorded; nothing where a platform is only looked at.
    journal: Option<Arc<dyn Journal>>,
    known: Mutex<Known>,
    leases: Option<Result<HeldLeases, Error>>,
    /// Was any act allowed? Until then nothing is to be put back.
    touched: AtomicBool,
    news: Mutex<Vec<String>>,
}

impl StandingPlatform {
    /// One that nobody uses yet.
    pub fn new(attach: &Attach, cluster: &str) -> Self {
        Self {
            attach: attach.clone(),
            cluster: cluster.to_owned(),
            journal: None,
            known: Mutex::default(),
            leases: None,
            touched: AtomicBool::default(),
            news: Mutex::default(),
        }
    }

    /// The same, used by a run: it takes the leases, and records through the journal. A platform that is in use is told
    /// by the guard.
    pub async fn used(self, platform: &kube::Client, run: &str, journal: Option<Arc<dyn Journal>>) -> Self {
        let leases = lease::take(platform, &self.namespaces(), run).await;
        Self { journal, leases: Some(leases), ..self }
    }

    /// The same, after a run that is dead: something may have to be put back.
    pub async fn used_again(self, platform: &kube::Client, run: &str, journal: Option<Arc<dyn Journal>>) -> Self {
        self.touched.store(true, Ordering::SeqCst);
        self.used(platform, run, journal).await
    }

    /// Its namespaces.
    pub fn namespaces(&self) -> [String; 2] {
        [self.attach.namespace.clone(), self.attach.store.clone()]
    }

    /// Has this run the platform to itself?
    pub fn held(&self) -> bool {
        matches!(self.leases, Some(Ok(_)))
    }

    /// What its owner has to know when the drill is over.
    pub fn news(&self) -> Vec<String> {
        self.news.lock().clone()
    }

    /// Refuses what must not be done. What took the place of something that this run ended is taken for it from then on,
    /// and carries the token as that did.
    pub async fn guard(&self, ways: &Ways<'_>, act: Act) -> Result<(), Error> {
        let what = || format!("namespace `{}` must not be touched", self.attach.namespace);
        match &self.leases {
            Some(Err(error)) => return Err(error.clone()),
            Some(Ok(held)) if act != Act::Mend => held.check().await?,
            _ => {}
        }
        let mut seen = self.look(ways).await.map_err(|error| Error::caused_by(what(), error))?;
        if self.bind(ways, &seen).await? {
            seen = self.look(ways).await.map_err(|error| Error::caused_by(what(), error))?;
        }
        let known = self.known.lock().clone();
        let differences = lock::differences(&self.attach, &known, &seen, act);
        if !differences.is_empty() {
            return Err(Error::new(what(), differences.join("; ")));
        }
        self.touched.store(true, Ordering::SeqCst);
        if act == Act::Strike {
            self.known.lock().struck = true;
        }
        Ok(())
    }

    /// Reads which platform it is.
    pub async fn look(&self, ways: &Ways<'_>) -> Result<PlatformIdentity, Error> {
        identity::look(ways, &self.attach.store).await
    }

    /// Takes new identities for those that this run ended; was there any?
    async fn bind(&self, ways: &Ways<'_>, seen: &PlatformIdentity) -> Result<bool, Error> {
        let mut next = self.known.lock().clone();
        let new = next.bind(&self.attach, seen);
        // Nothing is written to what is no part of this platform, or is on the deny list.
        if new.is_empty() || !lock::differences(&self.attach, &next, seen, Act::Mend).is_empty() {
            return Ok(false);
        }
        let withdrawn = lock::withdrawn(&self.attach, seen, &new);
        for (name, found) in &new {
            self.acting(json!({ "renewed": name, "identity": found, "cluster": self.cluster })).await?;
            self.news.lock().push(format!("the fingerprint `{name}` is {found} now: put it into the drill's file"));
            if !withdrawn && let Err(error) = identity::opt_in(ways, name, &self.attach.token).await {
                self.news.lock().push(format!("it carries no drill token: {error}"));
            }
        }
        *self.known.lock() = next;
        Ok(true)
    }

    /// Records, before the act, that an act ends an identity.
    pub async fn ends(&self, identity: Identity) -> Result<(), Error> {
        self.acting(json!({ "ends": identity, "cluster": self.cluster })).await?;
        self.known.lock().ends(identity);
        Ok(())
    }

    /// Records how many pods each component has, before anything is done.
    pub async fn found(&self, replicas: &Replicas) -> Result<(), Error> {
        if !self.held() {
            return Ok(()); // another run may be changing them
        }
        let namespace = &self.attach.namespace;
        self.acting(json!({ "attached": namespace, "replicas": replicas, "cluster": self.cluster })).await
    }

    /// Records what will be made in the platform; on disk when this returns.
    pub async fn creating(&self, receipt: Value) -> Result<(), Error> {
        match &self.journal {
            Some(journal) => journal.creating(Receipt(receipt)).await,
            None => Ok(()),
        }
    }

    async fn acting(&self, receipt: Value) -> Result<(), Error> {
        match &self.journal {
            Some(journal) => journal.acting(Receipt(receipt)).await,
            None => Ok(()),
        }
    }

    /// Remembers from the receipts of a dead run what it ended and what took its place.
    pub fn recall(&self, receipts: &[Receipt]) {
        let mut known = self.known.lock();
        known.struck = true;
        for receipt in receipts.iter().filter(|receipt| receipt.0["cluster"] == self.cluster.as_str()) {
            if let Ok(identity) = Identity::deserialize(&receipt.0["ends"]) {
                known.ends(identity);
            }
            let name = FINGERPRINTS.iter().find(|name| receipt.0["renewed"] == **name);
            if let Some((name, found)) = name.zip(receipt.0["identity"].as_str()) {
                known.renew(&[(name, found.to_owned())]);
            }
        }
    }

    /// Was any act allowed? Until then nothing is to be put back.
    pub fn touched(&self) -> bool {
        self.touched.load(Ordering::SeqCst)
    }

    /// Why nothing may be put back: another run has the platform.
    pub fn in_use(&self) -> Option<&Error> {
        self.leases.as_ref()?.as_ref().err()
    }

    /// Did this run, or the dead one before it, strike?
    pub fn struck(&self) -> bool {
        self.known.lock().struck
    }

    /// Lets the next run have the platform.
    pub async fn release(&self) {
        if let Some(Ok(held)) = &self.leases {
            held.release().await;
        }
    }
}

/// How many pods the run of these receipts found, if it came so far.
pub fn replicas(receipts: &[Receipt]) -> Option<Replicas> {
    receipts.iter().find_map(|receipt| Replicas::deserialize(&receipt.0["replicas"]).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::settings::Fingerprints;
    use super::*;

    fn attach() -> Attach {
        let text = || "x".to_owned();
        let fingerprints = Fingerprints {
            cluster: text(),
            namespace: text(),
            store: text(),
            postgres: text(),
            database: text(),
            bucket: text(),
        };
        Attach { namespace: text(), store: text(), token: text(), fingerprints, deny: vec![] }
    }

    #[test]
    fn receipts_tell_what_a_dead_run_found_and_ended_and_what_took_its_place() {
        let receipts = [
            json!({ "attached": "dr", "replicas": { "mlflow": 2 }, "cluster": "c" }),
            json!({ "ends": "database", "cluster": "c" }),
            json!({ "renewed": "database", "identity": "p/2", "cluster": "c" }),
            json!({ "ends": "server", "cluster": "another" }),
            json!({ "folder": "/somewhere" }),
        ];
        let receipts = receipts.map(Receipt);
        assert_eq!(replicas(&receipts).unwrap()["mlflow"], 2);
        let standing = StandingPlatform::new(&attach(), "c");
        standing.recall(&receipts[..2]);
        assert!(standing.known.lock().ended.contains("database") && standing.known.lock().struck);
        standing.recall(&receipts);
        let known = standing.known.lock().clone();
        assert_eq!(known.renewed, [("database", "p/2".to_owned())]);
        assert!(!known.ended.contains("postgres"), "that was in another cluster");
        assert_eq!(replicas(&[]), None);
    }
}
