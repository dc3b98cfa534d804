//! Removing what a run left in its cluster and on this machine, with nothing but receipts.
//!
//! Apart because it must work when the process that made all this is dead. Gone already is success; a namespace
//! without the run's own label is never removed, whatever a receipt says.

use super::folder::{folder, remove_folder};
use super::names::run_label;
use crate::client::kubernetes::nodes::{self, CORDONED};
use crate::client::kubernetes::{RUN, ask, cluster_uid, found, job, retry};
use crate::client::{Error, until, until_none};
use crate::model::Receipt;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How often what is going is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// How long a namespace may take to go, and then the disks.
const GONE: Duration = Duration::from_mins(2);
/// How long finalizers may block a namespace: the cluster's own, of claims, take some seconds.
const HELD: Duration = Duration::from_secs(30);
/// Removes what the receipts name; answers what could not be removed.
pub async fn remove(client: &Client, run: &str, receipts: &[Receipt]) -> Vec<String> {
    let mut left: Vec<String> = remove_folder(&folder(run), run).into_iter().collect();
    let here = match cluster_uid(client).await {
        Ok(uid) => uid,
        Err(error) => {
            left.extend(named(receipts).into_iter().map(|(name, _)| format!("namespace `{name}`: {error}")));
            return left;
        }
    };
    left.extend(jobs(client, &here, run, receipts).await);
    let (mine, others): (Vec<_>, Vec<_>) = named(receipts).into_iter().partition(|(_, cluster)| *cluster == here);
    left.extend(others.iter().map(|(name, _)| elsewhere(name).to_string()));
    let going = mine.iter().map(|(name, _)| remove_namespace(client, name, run));
    left.extend(
        futures::future::join_all(going).await.into_iter().filter_map(|gone| gone.err().map(|e| e.to_string())),
    );
    left.extend(uncordon(client, run).await);
    if left.is_empty() {
        let names: BTreeSet<&str> = mine.iter().map(|(name, _)| name.as_str()).collect();
        left.extend(disks(client, &names).await);
    }
    left
}

/// Removes the jobs that the run started in a namespace that stays; answers those that could not be removed.
async fn jobs(client: &Client, here: &str, run: &str, receipts: &[Receipt]) -> Vec<String> {
    let (mut left, label) = (vec![], run_label(run));
    for job in receipts.iter().map(|receipt| &receipt.0["job"]) {
        let text = |key: &str| job[key].as_str().unwrap_or_default();
        let removed = match text("cluster") {
            "" => continue,
            cluster if cluster != here => Err(elsewhere(text("namespace"))),
            _ => job::remove(client, text("namespace"), text("name"), &label).await,
        };
        left.extend(removed.err().map(|error| error.to_string()));
    }
    left
}

/// Uncordons the nodes that the run cordoned; answers those that stay cordoned.
async fn uncordon(client: &Client, run: &str) -> Vec<String> {
    let params = ListParams::default().labels(&format!("{CORDONED}={}", run_label(run)));
    let nodes: Api<Node> = Api::all(client.clone());
    let cordoned = match retry("cannot list the nodes", || nodes.list(&params)).await {
        Ok(cordoned) => cordoned.items,
        Err(error) => return vec![format!("the nodes that the run may have cordoned: {error}")],
    };
    let mut left = vec![];
    for name in cordoned.iter().map(ResourceExt::name_any) {
        if let Err(error) = nodes::uncordon(client, &name).await {
            left.push(format!("node `{name}`: {error}; kubectl uncordon {name}"));
        }
    }
    left
}

/// The error of a namespace in a cluster that is not the one we talk to.
pub fn elsewhere(namespace: &str) -> Error {
    let error =
        Error::new(format!("namespace `{namespace}`"), "it is in another cluster than the one that answers now");
    error.hint("name its context or kubeconfig")
}

/// The namespaces of the receipts, with their clusters.
pub fn named(receipts: &[Receipt]) -> BTreeSet<(String, String)> {
    let text = |receipt: &Receipt, key: &str| receipt.0[key].as_str().map(str::to_owned);
    receipts.iter().filter_map(|receipt| Some((text(receipt, "namespace")?, text(receipt, "cluster")?))).collect()
}

async fn remove_namespace(client: &Client, name: &str, run: &str) -> Result<(), Error> {
    let what = format!("namespace `{name}`");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let read = || retry(&what, || async { found(namespaces.get(name).await) });
    let Some(there) = read().await? else { return Ok(()) };
    if there.labels().get(RUN).map(String::as_str) != Some(run_label(run).as_str()) {
        return Err(Error::new(what, format!("it lacks the label {RUN} of this run, so it stays")));
    }
    // A namespace of this name that somebody makes meanwhile is another one.
    let this = DeleteParams::default().preconditions(Preconditions { uid: there.uid(), resource_version: None });
    retry(&what, || async { gone_or_another(namespaces.delete(name, &this).await) }).await?;
    delete_pods_and_claims(client, name, &what).await;
    let not_gone = |there: &Namespace, within: Duration| {
        let why = format!("not gone within {} s: {}", within.as_secs(), stuck(there));
        Err(Error::new(&what, why).hint(way_out(name, there)))
    };
    let blocked = AtomicU32::new(0); // at how many looks without a break finalizers have blocked it
    let gone = until_none(GONE, LOOK, || async {
        let Some(there) = read().await? else { return Ok(None) };
        let looks = if is_blocked(&there) { blocked.load(Ordering::Relaxed) + 1 } else { 0 };
        blocked.store(looks, Ordering::Relaxed);
        if LOOK * looks > HELD { not_gone(&there, HELD) } else { Ok(Some(there)) }
    });
    gone.await?.or_else(|late| match late.reason {
        Some(there) => not_gone(&there, GONE).map(drop),
        None => Err(Error::new(&what, format!("not gone within {} s", GONE.as_secs()))),
    })
}

/// Is it gone already, or is another of the same name in its place? Then nothing is left to do.
fn gone_or_another<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        other => found(other).map(drop),
    }
}

/// Deletes at once what the cluster deletes one after the other, with a pod's grace period and the finalizers of its
/// disks between. So the cluster's first look at the namespace, 5 s after its deletion (`namespace_controller.go`),
/// finds it empty. Nothing in it is worth a grace period; without the permission it only takes longer.
async fn delete_pods_and_claims(client: &Client, namespace: &str, what: &str) {
    let (at_once, all) = (DeleteParams::default().grace_period(0), ListParams::default());
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let _ = ask(what, pods.delete_collection(&at_once, &all)).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let _ = ask(what, claims.delete_collection(&DeleteParams::default(), &all)).await;
}

/// Why a namespace is not gone, in its own words.
fn stuck(namespace: &Namespace) -> String {
    let conditions = namespace.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let said: Vec<String> = conditions.filter(|c| c.status == "True").filter_map(|c| c.message.clone()).collect();
    if said.is_empty() { "it does not say why".to_owned() } else { said.join("; ") }
}

/// Does it say that finalizers keep something in it?
fn is_blocked(namespace: &Namespace) -> bool {
    stuck(namespace).contains("finalizers remaining")
}

/// What to do about a namespace that is not gone. A finalizer says that another program cleans up first; where that
/// program is gone for ever, the finalizer is removed by hand.
fn way_out(name: &str, namespace: &Namespace) -> String {
    if is_blocked(namespace) {
        return format!(
            "let the finalizer's owner finish, or, if it is gone for ever, kubectl patch --namespace {name} KIND/NAME \
             --type merge --patch '{{\"metadata\":{{\"finalizers\":null}}}}'; then run cleanup again"
        );
    }
    format!("see what holds it: kubectl get namespace {name} -o yaml; then run cleanup again")
}

/// Waits for the disks of the namespaces to go; answers those that stay.
async fn disks(client: &Client, namespaces: &BTreeSet<&str>) -> Vec<String> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let look = || async {
        // Without the permission to list them this is not known; the survey has said so.
        let Ok(all) = ask("cannot list disks", volumes.list(&ListParams::default())).await else { return Ok(vec![]) };
        let claim = |volume: &PersistentVolume| volume.spec.as_ref()?.claim_ref.as_ref()?.namespace.clone();
        let ours = all.items.iter().filter(|volume| claim(volume).is_some_and(|n| namespaces.contains(n.as_str())));
        let policy = |volume: &PersistentVolume| volume.spec.as_ref()?.persistent_volume_reclaim_policy.clone();
        let (retained, going): (Vec<_>, Vec<_>) = ours.partition(|volume| policy(volume).as_deref() == Some("Retain"));
        let name = |volume: &PersistentVolume, why: &str| {
            format!("persistent volume `{0}`: {why}; kubectl delete persistentvolume {0}", volume.name_any())
        };
        let mut left: Vec<_> = retained.iter().map(|volume| name(volume, "its storage class retains it")).collect();
        left.extend(going.iter().map(|volume| name(volume, "it is not gone")));
        if going.is_empty() { Ok(left) } else { Err(left) }
    };
    until(GONE, LOOK, look).await.unwrap_or_else(|late| late.reason.unwrap_or_default())
}

/// What is left if the cluster cannot be reached.
pub fn unreachable(receipts: &[Receipt], run: &str, error: &Error) -> Vec<String> {
    let folder = remove_folder(&folder(run), run).into_iter();
    folder.chain(named(receipts).into_iter().map(|(name, _)| format!("namespace `{name}`: {error}"))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_that_is_not_gone_says_why() {
        let condition =
            |kind: &str, status: &str, message: &str| json!({ "type": kind, "status": status, "message": message });
        let held = "Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances";
        let conditions = [
            condition("NamespaceFinalizersRemaining", "True", held),
            condition("NamespaceDeletionContentFailure", "False", "All content successfully deleted"),
        ];
        let namespace =
            |status| -> Namespace { serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap() };
        let held_up = namespace(json!({ "conditions": conditions }));
        assert_eq!(stuck(&held_up), held);
        assert!(way_out("a", &held_up).contains("kubectl patch --namespace a"), "{}", way_out("a", &held_up));
        assert!(way_out("a", &namespace(json!({}))).contains("kubectl get namespace a"));
        assert_eq!(stuck(&namespace(json!({}))), "it does not say why");
    }

    #[test]
    fn what_cannot_be_reached_is_named() {
        let receipt = |text| Receipt(json!({ "namespace": text, "cluster": "c" }));
        let receipts = [receipt("a"), receipt("a"), Receipt(json!({ "folder": "/nowhere" }))];
        let left = unreachable(&receipts, "a-run-that-never-was", &Error::new("no cluster", "gone"));
        assert_eq!(left, ["namespace `a`: no cluster: gone"]);
    }
}
