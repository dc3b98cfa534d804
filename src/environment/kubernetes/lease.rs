//! One run at a time for each standing platform: leases in the cluster's namespace `default`, which no drill strikes.
//!
//! A run renews its leases while it lives, so a dead run's end by themselves. Clocks of two machines may differ: a lease
//! that looks old is watched for a while before it is taken over, and whoever is quicker takes it.

use super::component::POLL;
use crate::client::Error;
use crate::client::kubernetes::{CALL, ask, found, retry, says, why};
use crate::clock;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The namespace of the leases.
const NAMESPACE: &str = "default";
/// How long a lease is held without being renewed.
const HOLDS: Duration = Duration::from_mins(1);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How long a lease that looks old is watched; longer than [`RENEW`].
const WATCH: Duration = Duration::from_secs(15);

/// The leases of a run over the namespaces of a platform. They are renewed until this is dropped or released.
pub struct HeldLeases {
    client: Client,
    names: Vec<String>,
    holder: String,
    renewal: JoinHandle<()>,
}

/// The lease of a namespace.
fn name_of(namespace: &str) -> String {
    format!("lifeboat-{namespace}")
}

fn leases(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), NAMESPACE)
}

fn taken(name: &str, holder: &str) -> Error {
    let why = format!("the run `{holder}` is going on there (lease `{NAMESPACE}/{name}`)");
    let hint = format!("wait for its end; the lease of a run that died ends after {} s", HOLDS.as_secs());
    Error::new("the platform is in use", why).hint(hint)
}

/// Which other run holds a lease of these namespaces; reads only.
pub async fn held_by_another(client: &Client, namespaces: &[String], holder: &str) -> Result<Option<Error>, Error> {
    for name in namespaces.iter().map(|namespace| name_of(namespace)) {
        let there = retry("cannot read a lease", || async { found(leases(client).get(&name).await) }).await?;
        let other = there.as_ref().and_then(of).filter(|other| *other != holder);
        if let (Some(other), Some(lease)) = (other, &there)
            && is_fresh(lease)
        {
            return Ok(Some(taken(&name, other)));
        }
    }
    Ok(None)
}

/// Takes the leases of these namespaces for a run, or none.
pub async fn take(client: &Client, namespaces: &[String], holder: &str) -> Result<HeldLeases, Error> {
    let mut names: Vec<_> = namespaces.iter().map(|namespace| name_of(namespace)).collect();
    names.sort();
    names.dedup();
    for (index, name) in names.iter().enumerate() {
        if let Err(error) = take_one(client, name, holder).await {
            for taken in &names[..index] {
                let _ = give_up(client, taken, holder).await; // it ends by itself
            }
            return Err(error);
        }
    }
    let renewal = tokio::spawn(renew(client.clone(), names.clone(), holder.to_owned()));
    Ok(HeldLeases { client: client.clone(), names, holder: holder.to_owned(), renewal })
}

async fn take_one(client: &Client, name: &str, holder: &str) -> Result<(), Error> {
    let (api, what) = (leases(client), format!("cannot take the lease `{NAMESPACE}/{name}`"));
    let read = || async { ask(&what, async { found(api.get(name).await) }).await };
    let (mut there, mut watched) = (read().await?, Duration::ZERO);
    while let Some(lease) = &there {
        let other = of(lease).unwrap_or_default();
        if other.is_empty() || other == holder {
            break;
        }
        if is_fresh(lease) {
            return Err(taken(name, other));
        }
        if watched >= WATCH {
            break;
        }
        tokio::time::sleep(POLL * 5).await;
        watched += POLL * 5;
        let now = read().await?;
        if now.as_ref().and_then(ResourceExt::resource_version) != lease.resource_version() {
            return Err(taken(name, now.as_ref().and_then(of).unwrap_or(other)));
        }
        there = now;
    }
    let version = there.as_ref().and_then(ResourceExt::resource_version);
    let (lease, params) = (made(name, holder, version), PostParams::default());
    let written = async {
        if there.is_some() { api.replace(name, &params, &lease).await } else { api.create(&params, &lease).await }
    };
    match tokio::time::timeout(CALL, written).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if says(&error, 409) => Err(taken(name, "of somebody who was quicker")),
        Ok(Err(error)) => Err(Error::new(what, why(&error))),
        Err(_) => Err(Error::new(what, "no answer of the cluster in time")),
    }
}

fn made(name: &str, holder: &str, version: Option<String>) -> Lease {
    let metadata = ObjectMeta { name: Some(name.to_owned()), resource_version: version, ..ObjectMeta::default() };
    let now = MicroTime(clock::wall());
    let spec = LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: i32::try_from(HOLDS.as_secs()).ok(),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        ..LeaseSpec::default()
    };
    Lease { metadata, spec: Some(spec) }
}

/// Who holds it.
fn of(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

/// Was it renewed a short while ago, as far as this machine's clock says?
fn is_fresh(lease: &Lease) -> bool {
    let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    let age = renewed.map(|renewed| clock::wall().duration_since(renewed));
    age.is_some_and(|age| !age.is_negative() && age.unsigned_abs() < HOLDS)
}

/// Renews the leases that are still the run's own.
async fn renew(client: Client, names: Vec<String>, holder: String) {
    let api = leases(&client);
    loop {
        tokio::time::sleep(RENEW).await;
        for name in &names {
            let renewed = async {
                let there = api.get(name).await?;
                if of(&there) == Some(&holder) {
                    api.replace(name, &PostParams::default(), &made(name, &holder, there.resource_version())).await?;
                }
                Ok(())
            };
            let _ = ask("cannot renew a lease", renewed).await; // whether it is held is asked before each act
        }
    }
}

async fn give_up(client: &Client, name: &str, holder: &str) -> Result<(), Error> {
    let (api, what) = (leases(client), format!("cannot give up the lease `{NAMESPACE}/{name}`"));
    let there = retry(&what, || async { found(api.get(name).await) }).await?;
    let Some(there) = there.filter(|lease| of(lease) == Some(holder)) else { return Ok(()) };
    let this = Preconditions { uid: there.uid(), resource_version: there.resource_version() };
    let params = DeleteParams::default().preconditions(this);
    ask(what, async { found(api.delete(name, &params).await) }).await.map(drop)
}

impl HeldLeases {
    /// Refuses if another run has taken one of them.
    pub async fn check(&self) -> Result<(), Error> {
        for name in &self.names {
            let api = leases(&self.client);
            let there = retry("cannot read a lease", || async { found(api.get(name).await) }).await?;
            match there.as_ref().and_then(of) {
                Some(holder) if holder == self.holder => {}
                Some(other) => return Err(taken(name, other)),
                None => return Err(Error::new(format!("the lease `{NAMESPACE}/{name}`"), "it is gone")),
            }
        }
        Ok(())
    }

    /// Gives them up, so that the next run need not wait.
    pub async fn release(&self) {
        self.renewal.abort();
        for name in &self.names {
            let _ = give_up(&self.client, name, &self.holder).await; // it ends by itself
        }
    }
}

impl Drop for HeldLeases {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn renewed(ago: i64) -> Lease {
        let mut lease = made("a", "b", None);
        lease.spec.as_mut().unwrap().renew_time = Some(MicroTime(clock::wall() - SignedDuration::from_secs(ago)));
        lease
    }

    #[test]
    fn a_lease_is_fresh_for_a_minute_and_one_of_the_future_is_not() {
        assert!(is_fresh(&renewed(0)) && is_fresh(&renewed(50)));
        assert!(!is_fresh(&renewed(70)), "its run died");
        assert!(!is_fresh(&renewed(-3600)), "another machine's clock: it has to be watched");
        assert!(!is_fresh(&Lease::default()));
        assert_eq!(of(&made("a", "b", None)), Some("b"));
    }
}
