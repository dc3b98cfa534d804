//! Removing what a run left in its cluster and on this machine, with nothing but receipts.
//!
//! Apart because it must work when the process that made all this is dead. Gone already is success; a namespace
//! without the run's own label is not ours, whatever a receipt says.

use super::client::{ask, found, insist};
use super::manifests::{SECRET, STORE_SECRET, run_label};
use crate::client::Error;
use crate::clock::{Deadline, Stopwatch};
use crate::environment::RUN;
use crate::environment::cluster::{self, CORDONED};
use crate::environment::stack::{Key, Secrets};
use crate::model::Receipt;
use crate::store;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;

/// How long a namespace may take to go, and after it the disks.
const GONE: Duration = Duration::from_mins(2);
/// How long finalizers may hold a namespace up: those of the cluster's own, of claims, take some seconds.
const HELD: Duration = Duration::from_secs(30);
/// The file that says to which run a folder belongs.
const MARKER: &str = ".lifeboat-run";

/// What tells a cluster from all others.
pub async fn uid(client: &Client) -> Result<String, Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = insist("cannot read which cluster this is", || namespaces.get("kube-system")).await?;
    Ok(system.uid().unwrap_or_default())
}

/// The folder on this machine with the file of the database's password.
pub fn folder(run: &str) -> PathBuf {
    store::state().join(run)
}

/// Makes that folder.
pub fn make_folder(run: &str, passfile: &str) -> Result<(), Error> {
    let folder = folder(run);
    let make = || {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(MARKER), run)?;
        store::write_private(&folder.join("passfile"), passfile)
    };
    make().map_err(|e| Error::caused_by(format!("cannot make `{}`", folder.display()), e).hint("set LIFEBOAT_STATE"))
}

/// The secrets of a platform, as far as its namespaces, its own and the store's, still hold them.
pub async fn secrets(client: &Client, namespaces: [String; 2]) -> Result<Option<Secrets>, Error> {
    let [platform, store] = namespaces;
    let read = async |namespace: String, name: &str| {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        insist(format!("cannot read the secret `{name}`"), || async { found(secrets.get(name).await) }).await
    };
    let (Some(platform), Some(store)) = (read(platform, SECRET).await?, read(store, STORE_SECRET).await?) else {
        return Ok(None);
    };
    let value = |secret: &Secret, key: &str| {
        let bytes = secret.data.as_ref()?.get(key)?;
        Some(String::from_utf8_lossy(&bytes.0).into_owned())
    };
    let key = |secret, access, hidden| Some(Key { access: value(secret, access)?, secret: value(secret, hidden)? });
    let all = || {
        Some(Secrets {
            database: value(&platform, "POSTGRES_PASSWORD")?,
            root: key(&store, "ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY")?,
            user: key(&platform, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")?,
        })
    };
    Ok(all())
}

/// Removes what the receipts name; answers what could not be removed.
pub async fn remove(client: &Client, run: &str, receipts: &[Receipt]) -> Vec<String> {
    let mut left: Vec<String> = clear(&folder(run), run).into_iter().collect();
    let here = match uid(client).await {
        Ok(uid) => uid,
        Err(error) => {
            left.extend(named(receipts).into_iter().map(|(name, _)| format!("namespace `{name}`: {error}")));
            return left;
        }
    };
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

/// Opens the nodes that the run closed; answers those that stay closed.
async fn uncordon(client: &Client, run: &str) -> Vec<String> {
    let params = ListParams::default().labels(&format!("{CORDONED}={}", run_label(run)));
    let nodes: Api<Node> = Api::all(client.clone());
    let closed = match insist("cannot list the nodes", || nodes.list(&params)).await {
        Ok(closed) => closed.items,
        Err(error) => return vec![format!("the nodes that the run may have closed: {error}")],
    };
    let mut left = vec![];
    for name in closed.iter().map(ResourceExt::name_any) {
        if let Err(error) = cluster::uncordon(client, &name).await {
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
    let read = async || insist(&what, || async { found(namespaces.get(name).await) }).await;
    let Some(there) = read().await? else { return Ok(()) };
    if there.labels().get(RUN).map(String::as_str) != Some(run_label(run).as_str()) {
        return Err(Error::new(what, format!("it lacks the label {RUN} of this run, so it stays")));
    }
    insist(&what, || async { found(namespaces.delete(name, &DeleteParams::default()).await) }).await?;
    hurry(client, name, &what).await;
    let began = Stopwatch::start();
    let mut free = began; // when it was last seen to be held by no finalizer
    while let Some(there) = read().await? {
        if !held(&there) {
            free = Stopwatch::start();
        }
        if began.elapsed() > GONE || free.elapsed() > HELD {
            let why = format!("not gone within {} s: {}", began.elapsed().as_secs(), stuck(&there));
            return Err(Error::new(what, why).hint(way_out(name, &there)));
        }
        sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Deletes at once what the cluster deletes in turn, and waits long for: a pod's grace, then the finalizers of its disks.
/// The first look at the namespace, 5 s after its deletion (`namespace_controller.go`), finds it empty then. Nothing in
/// it is worth a grace; and whoever may not do this only waits longer.
async fn hurry(client: &Client, namespace: &str, what: &str) {
    let (at_once, all) = (DeleteParams::default().grace_period(0), ListParams::default());
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let _ = ask(what, pods.delete_collection(&at_once, &all)).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let _ = ask(what, claims.delete_collection(&DeleteParams::default(), &all)).await;
}

/// What a namespace that does not go says of itself.
fn stuck(namespace: &Namespace) -> String {
    let conditions = namespace.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let said: Vec<String> = conditions.filter(|c| c.status == "True").filter_map(|c| c.message.clone()).collect();
    if said.is_empty() { "it does not say why".to_owned() } else { said.join("; ") }
}

/// Does it say that finalizers hold something in it?
fn held(namespace: &Namespace) -> bool {
    stuck(namespace).contains("finalizers remaining")
}

/// What to do about a namespace that does not go. Finalizers are promises of other programs to tidy up first: where one
/// is gone for good, its promise is taken away by hand.
fn way_out(name: &str, namespace: &Namespace) -> String {
    if held(namespace) {
        return format!(
            "let the finalizer's owner finish, or, if it is gone for good, kubectl patch --namespace {name} KIND/NAME \
             --type merge --patch '{{\"metadata\":{{\"finalizers\":null}}}}'; then run cleanup again"
        );
    }
    format!("see what holds it: kubectl get namespace {name} -o yaml; then run cleanup again")
}

/// Waits for the disks of the namespaces to go; answers those that stay.
async fn disks(client: &Client, namespaces: &BTreeSet<&str>) -> Vec<String> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let deadline = Deadline::within(GONE);
    loop {
        // Who may not list them cannot know; the survey has said so.
        let Ok(all) = ask("cannot list disks", volumes.list(&ListParams::default())).await else { return vec![] };
        let claim = |volume: &PersistentVolume| volume.spec.as_ref()?.claim_ref.as_ref()?.namespace.clone();
        let ours = all.items.iter().filter(|volume| claim(volume).is_some_and(|n| namespaces.contains(n.as_str())));
        let policy = |volume: &PersistentVolume| volume.spec.as_ref()?.persistent_volume_reclaim_policy.clone();
        let (retained, going): (Vec<_>, Vec<_>) = ours.partition(|volume| policy(volume).as_deref() == Some("Retain"));
        if going.is_empty() || deadline.passed() {
            let name = |volume: &PersistentVolume, why: &str| {
                format!("persistent volume `{0}`: {why}; kubectl delete persistentvolume {0}", volume.name_any())
            };
            let retained = retained.into_iter().map(|volume| name(volume, "its storage class retains it"));
            return retained.chain(going.into_iter().map(|volume| name(volume, "it does not go"))).collect();
        }
        sleep(Duration::from_millis(300)).await;
    }
}

/// Removes a folder of this run; one that does not say so stays.
fn clear(folder: &Path, run: &str) -> Option<String> {
    let mark = fs::read_to_string(folder.join(MARKER));
    let removed = match mark {
        Ok(name) if name == run => fs::remove_dir_all(folder),
        _ => fs::remove_dir(folder),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Some(format!("folder `{}`: {error}", folder.display())),
        _ => None,
    }
}

/// What is left where the cluster cannot even be asked.
pub fn unreachable(receipts: &[Receipt], run: &str, error: &Error) -> Vec<String> {
    let folder = clear(&folder(run), run).into_iter();
    folder.chain(named(receipts).into_iter().map(|(name, _)| format!("namespace `{name}`: {error}"))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_that_does_not_go_says_why() {
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
