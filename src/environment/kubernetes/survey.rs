//! What a cluster has for a platform, and what it lacks; reads only.

use super::lock::{self, Known};
use super::names::{CONFIG, MANAGED, SECRET};
use super::permissions::{SOME, needed};
use super::platform::KubernetesPlatform;
use super::settings::{Attach, Kubernetes};
use super::{extra, lease};
use crate::client::kubernetes::nodes::ready;
use crate::client::kubernetes::permission::denied;
use crate::client::kubernetes::pods::lives;
use crate::client::kubernetes::{COMPONENT, ask, made};
use crate::client::{Error, versions};
use crate::environment::images::{ImageSet, Images};
use crate::environment::{Act, Inventory, Objects, Permission, RunContext, Survey, Thing, stack};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// How many images a node lists at most (the kubelet's default): a node that lists so many may have more.
const TOLD: usize = 50;
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// What the platform will have that can be hit.
pub fn inventory(settings: &Kubernetes) -> Inventory {
    let managed = (MANAGED.0.to_owned(), MANAGED.1.to_owned());
    let thing =
        |kind: &str, name: &str| Thing { kind: kind.into(), name: name.into(), labels: [managed.clone()].into() };
    let pod = |name: &str, component: &str| {
        let mut pod = thing("pod", name);
        pod.labels.insert(COMPONENT.into(), component.into());
        pod
    };
    let disk = |component: &str| Thing::disk(&format!("data-{component}-0"), component);
    let mut inventory = stack::inventory();
    let replicas = settings.mlflow.replicas;
    inventory.things.push(pod("postgres-0", "postgres"));
    inventory.things.extend((1..=replicas).map(|n| pod(&format!("mlflow ({n} of {replicas})"), "mlflow")));
    inventory.things.extend([thing("config map", CONFIG), thing("secret", SECRET), disk("postgres")]);
    // On a standing platform nothing could bring the store's disk back: no engine here keeps its objects.
    inventory.things.extend(settings.attach.is_none().then(|| disk("s3")));
    inventory
}

/// Asks the cluster.
pub async fn survey(settings: &Kubernetes, wanted: &[Permission]) -> Survey {
    let mut survey = Survey::default();
    if let Err(error) = look(settings, wanted, &mut survey).await {
        survey.problems.push(error.to_string());
    }
    survey
}

async fn look(settings: &Kubernetes, wanted: &[Permission], survey: &mut Survey) -> Result<(), Error> {
    let client = settings.client().await?;
    let version = ask("cannot use the cluster", client.apiserver_version()).await?;
    fact(survey, "cluster", format!("Kubernetes {}", version.git_version.trim_start_matches('v')));
    let (added, theirs) = extra::summary(settings);
    if !added.is_empty() {
        fact(survey, "extra", added);
    }
    let namespace = settings.attach.as_ref().map_or(SOME, |attach| &attach.namespace);
    let asked = needed(settings.attach.is_some()).chain(wanted.iter().copied()).chain(theirs).collect();
    survey.inventory = settings.attach.is_some().then(|| inventory(settings));
    let denied = denied(&client, namespace, asked).await?;
    let missing = |permission| format!("you may not {permission}; the roles of deploy/rbac have it");
    survey.problems.extend(denied.iter().map(missing));
    let may = |verb, resource| !denied.iter().any(|d: &Permission| d.verb == verb && d.resource == resource);
    if may("list", "nodes") {
        nodes(&client, settings, survey).await?;
    }
    if let Some(attach) = &settings.attach {
        if may("list", "pods") {
            pods(&client, attach, survey).await?;
        }
        return Box::pin(identity(attach, settings, survey)).await;
    }
    if may("list", "storageclasses") {
        storage(&client, settings, survey).await?;
    }
    if may("create", "namespaces") {
        dry_run(&client).await?;
    }
    Ok(())
}

/// Takes the pods of a standing platform as they are, with the labels that its owner gave them.
async fn pods(client: &Client, attach: &Attach, survey: &mut Survey) -> Result<(), Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &attach.namespace);
    let there = ask("cannot list the pods", pods.list(&ListParams::default())).await?;
    let thing = |pod: &Pod| Thing { kind: "pod".into(), name: pod.name_any(), labels: pod.labels().clone() };
    if let Some(inventory) = &mut survey.inventory {
        inventory.things.retain(|thing| thing.kind != "pod");
        inventory.things.extend(there.iter().filter(|pod| lives(pod)).map(thing));
    }
    Ok(())
}

/// Is it the platform that was opted in? This looks without a run, and creates nothing.
async fn identity(attach: &Attach, settings: &Kubernetes, survey: &mut Survey) -> Result<(), Error> {
    let nobody = RunContext { run: SOME.to_owned(), folder: std::env::temp_dir() };
    let platform = KubernetesPlatform::find(&nobody, settings).await?;
    let seen = platform.identity().await?;
    for (name, value) in seen.told() {
        fact(survey, &format!("fingerprint {name}"), value.to_owned());
    }
    survey.refusals = lock::differences(attach, &Known::default(), &seen, Act::Plant);
    let objects: &dyn Objects = &platform;
    survey.no_undelete = versions::lost_for_good(objects.s3(), objects.bucket()).await;
    let namespaces = settings.namespaces(SOME);
    let used = lease::held_by_another(&platform.namespace.client, &namespaces, SOME).await?;
    survey.refusals.extend(used.map(|used| used.to_string()));
    Ok(())
}

fn fact(survey: &mut Survey, name: &str, value: String) {
    survey.facts.insert(name.into(), value);
}

async fn nodes(client: &Client, settings: &Kubernetes, survey: &mut Survey) -> Result<(), Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = ask("cannot list the nodes", nodes.list(&ListParams::default())).await?.items;
    let told = |node: &Node| format!("{}{}", node.name_any(), if ready(node) { "" } else { " (not ready)" });
    fact(survey, "nodes", nodes.iter().map(told).collect::<Vec<_>>().join(", "));
    if !nodes.iter().any(|node| ready(node) && schedulable(node)) {
        survey.problems.push("no node of the cluster is ready; start one".into());
    }
    let mut inventory = survey.inventory.take().unwrap_or_else(|| inventory(settings));
    let thing = |node: &Node| Thing { kind: "node".into(), name: node.name_any(), labels: node.labels().clone() };
    inventory.things.extend(nodes.iter().map(thing));
    survey.inventory = Some(inventory);
    if settings.images == Images::Set(ImageSet::Built) && settings.attach.is_none() {
        for node in nodes.iter().filter(|node| ready(node) && schedulable(node)) {
            let lacking: Vec<String> = stack::COMPONENTS
                .iter()
                .map(|name| settings.images.of(name))
                .filter(|image| lacks(node, image))
                .collect();
            if !lacking.is_empty() {
                let (node, lacking) = (node.name_any(), lacking.join(", "));
                survey.problems.push(format!(
                    "node `{node}` has no image {lacking}; `make cluster-up` brings them to the test cluster, \
                     elsewhere import them or name a registry's in `images`"
                ));
            }
        }
    }
    Ok(())
}

fn schedulable(node: &Node) -> bool {
    !node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// Does a node lack an image? No, if that is not known because it may have more images than it lists.
fn lacks(node: &Node, image: &str) -> bool {
    let images = node.status.as_ref().and_then(|status| status.images.clone()).unwrap_or_default();
    let full = full(image);
    let held = images.iter().flat_map(|held| held.names.iter().flatten()).any(|name| *name == full);
    !held && images.len() < TOLD
}

/// An image's name as nodes list it, with its registry.
fn full(image: &str) -> String {
    match image.split_once('/') {
        None => format!("docker.io/library/{image}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
    }
}

async fn storage(client: &Client, settings: &Kubernetes, survey: &mut Survey) -> Result<(), Error> {
    let classes: Api<StorageClass> = Api::all(client.clone());
    let classes = ask("cannot list the storage classes", classes.list(&ListParams::default())).await?.items;
    let default = |class: &&StorageClass| class.annotations().get(DEFAULT).is_some_and(|value| value == "true");
    let known = || classes.iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", ");
    let chosen = match &settings.storage_class {
        Some(name) => classes.iter().find(|class| class.name_any() == *name),
        None => classes.iter().find(default),
    };
    match (chosen, &settings.storage_class) {
        (Some(class), _) => fact(survey, "storage class", class.name_any()),
        (None, Some(name)) => survey.problems.push(format!("there is no storage class `{name}`; known: {}", known())),
        (None, None) => {
            survey
                .problems
                .push(format!("the cluster has no default storage class; name one in `storage_class`: {}", known()));
        }
    }
    Ok(())
}

/// Would the cluster allow a new namespace? Only a dry run shows what quotas and admission policies say.
async fn dry_run(client: &Client) -> Result<(), Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let body = json!({ "metadata": { "name": SOME, "labels": { MANAGED.0: MANAGED.1 } } });
    let namespace = serde_json::from_value(body).map_err(|e| Error::caused_by("a namespace", e))?;
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let made = async { made(namespaces.create(&params, &namespace).await) };
    ask("the cluster would refuse a namespace", made).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_looked_for_under_its_full_name_and_not_on_a_node_that_may_have_more_than_it_lists() {
        assert_eq!(full("postgres:15"), "docker.io/library/postgres:15");
        assert_eq!(full("lifeboat/postgres:15"), "docker.io/lifeboat/postgres:15");
        assert_eq!(full("ghcr.io/mlflow/mlflow:1"), "ghcr.io/mlflow/mlflow:1");
        let node = |names: Vec<String>| -> Node {
            let images: Vec<_> = names.iter().map(|name| json!({ "names": [name] })).collect();
            serde_json::from_value(json!({ "metadata": {}, "status": { "images": images } })).unwrap()
        };
        assert!(!lacks(&node(vec!["docker.io/lifeboat/postgres:15".into()]), "lifeboat/postgres:15"));
        assert!(lacks(&node(vec!["docker.io/lifeboat/postgres:14".into()]), "lifeboat/postgres:15"));
        assert!(!lacks(&node((0..50).map(|n| format!("docker.io/other:{n}")).collect()), "lifeboat/postgres:15"));
    }
}
