//! The user's own objects in a throw-away platform's namespace, such as the jobs of a runbook.
//!
//! They are created after the platform's own, again whenever the namespace is recreated, and deleted with it. Only kinds
//! that belong to a namespace are allowed, so that nothing is left when it is gone.

use super::manifests::PlatformManifests;
use super::names::labels;
use super::settings::Kubernetes;
use crate::client::Error;
use crate::client::kubernetes::{Permission, manifest};
use crate::environment::stack::{self, Secrets};
use crate::node::{Node, Problem};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// A kind of object that may be added.
struct ExtraKind {
    version: &'static str,
    kind: &'static str,
    /// Its group and its plural, as permissions name it.
    resource: (&'static str, &'static str),
    /// Its name in words.
    words: &'static str,
    /// Where its pod template is, if it has one.
    pod: Option<&'static str>,
}

const fn known(
    version: &'static str,
    kind: &'static str,
    resource: (&'static str, &'static str),
    words: &'static str,
    pod: Option<&'static str>,
) -> ExtraKind {
    ExtraKind { version, kind, resource, words, pod }
}

const POD: Option<&str> = Some("/spec/template");

/// In the order in which they are created: what others refer to comes first.
const KINDS: [ExtraKind; 8] = [
    known("v1", "ServiceAccount", ("", "serviceaccounts"), "service account", None),
    known("v1", "Secret", ("", "secrets"), "secret", None),
    known("v1", "ConfigMap", ("", "configmaps"), "config map", None),
    known("v1", "PersistentVolumeClaim", ("", "persistentvolumeclaims"), "claim", None),
    known("v1", "Service", ("", "services"), "service", None),
    known("apps/v1", "StatefulSet", ("apps", "statefulsets"), "stateful set", POD),
    known("apps/v1", "Deployment", ("apps", "deployments"), "deployment", POD),
    known("batch/v1", "CronJob", ("batch", "cronjobs"), "cron job", Some("/spec/jobTemplate/spec/template")),
];

/// An object of a file, and which of the kinds it is.
struct ExtraObject {
    kind: usize,
    value: Value,
}

impl ExtraObject {
    fn read(path: &Path, node: &Node) -> Result<Self, String> {
        let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let wrong = |node: &Node, what: String| manifest::positioned(path, &Problem::new(node, what));
        let Some(index) = KINDS.iter().position(|known| (known.version, known.kind) == (version, kind)) else {
            let known: Vec<_> = KINDS.iter().map(|known| known.kind).collect();
            let what = format!("a `{kind}` of `{version}` cannot be added; known: {}", known.join(", "));
            return Err(wrong(node.get("kind").unwrap_or(node), what));
        };
        let metadata = node.get("metadata");
        if metadata.and_then(|metadata| metadata.get("name")).and_then(Node::text).is_none() {
            return Err(wrong(metadata.unwrap_or(node), "it has no name".into()));
        }
        if let Some(namespace) = metadata.and_then(|metadata| metadata.get("namespace")) {
            return Err(wrong(namespace, "it goes into the platform's namespace: leave this out".into()));
        }
        let value = serde_json::to_value(node).map_err(|error| wrong(node, error.to_string()))?;
        manifest::typed::<DynamicObject>(path, node)?;
        Ok(Self { kind: index, value })
    }

    /// Its kind and its name.
    fn named(&self) -> (String, String) {
        let name = self.value["metadata"]["name"].as_str().unwrap_or_default();
        (KINDS[self.kind].kind.to_owned(), name.to_owned())
    }

    /// As it is created for a run.
    fn for_run(mut self, run: &str, namespace: &str, settings: &Kubernetes) -> Result<DynamicObject, Error> {
        let ExtraKind { kind, pod, .. } = KINDS[self.kind];
        self.value["metadata"]["namespace"] = json!(namespace);
        add(&mut self.value["metadata"]["labels"], run);
        if let Some(template) = pod.and_then(|path| self.value.pointer_mut(path)) {
            add(&mut template["metadata"]["labels"], run);
            images(&mut template["spec"], settings);
        }
        if let Some(class) = settings.storage_class.as_ref().filter(|_| kind == "PersistentVolumeClaim")
            && self.value["spec"].get("storageClassName").is_none()
        {
            self.value["spec"]["storageClassName"] = json!(class);
        }
        serde_json::from_value(self.value).map_err(|e| Error::caused_by("a manifest of `extra`", e))
    }
}

/// The labels of the run, beside those that are there.
fn add(there: &mut Value, run: &str) {
    for (key, value) in labels(run) {
        there[key] = json!(value);
    }
}

/// An image that has a component's name and nothing else is that component's, as in the platform's own files.
fn images(pod: &mut Value, settings: &Kubernetes) {
    for part in ["initContainers", "containers"] {
        for container in pod.get_mut(part).and_then(Value::as_array_mut).into_iter().flatten() {
            let image = container["image"].as_str().filter(|image| stack::COMPONENTS.contains(image));
            if let Some(image) = image.map(|component| settings.images.of(component)) {
                container["image"] = json!(image);
            }
        }
    }
}

/// Kind and name of all that the platform itself has in the namespace.
fn taken(settings: &Kubernetes) -> BTreeSet<(String, String)> {
    let manifests = PlatformManifests { run: "", settings, secrets: &Secrets::random() };
    let named = |object: DynamicObject| (object.types.clone().unwrap_or_default().kind, object.name_any());
    manifests.platform().into_iter().flatten().map(named).collect()
}

fn read(settings: &Kubernetes) -> Result<Vec<ExtraObject>, Vec<String>> {
    let (mut all, mut wrong, mut taken) = (vec![], vec![], taken(settings));
    for path in &settings.extra {
        match manifest::objects(path) {
            Ok(objects) => objects.iter().for_each(|node| match ExtraObject::read(path, node) {
                Ok(object) if taken.insert(object.named()) => all.push(object),
                Ok(object) => {
                    let (kind, name) = object.named();
                    let what = format!("there is a `{kind}` of the name `{name}` already");
                    wrong.push(manifest::positioned(path, &Problem::new(node, what)));
                }
                Err(text) => wrong.push(text),
            }),
            Err(text) => wrong.push(text),
        }
    }
    all.sort_by_key(|object| object.kind);
    if wrong.is_empty() { Ok(all) } else { Err(wrong) }
}

/// What is wrong with what a drill adds.
pub fn problems(settings: &Kubernetes, node: &Node) -> Vec<Problem> {
    let at = node.get("extra").unwrap_or(node);
    if settings.attach.is_some() && !settings.extra.is_empty() {
        let problem = Problem::new(at, "nothing is added to a standing platform");
        return vec![problem.hint("leave `extra` out: its owner puts there what it needs")];
    }
    let wrong = read(settings).err().unwrap_or_default();
    wrong.into_iter().map(|text| Problem::new(at, text)).collect()
}

/// What is added, in the order in which it can be made.
pub fn objects(manifests: &PlatformManifests, namespace: &str) -> Result<Vec<DynamicObject>, Error> {
    let all = read(manifests.settings).map_err(|wrong| Error::new("`extra`", wrong.join("; ")))?;
    all.into_iter().map(|object| object.for_run(manifests.run, namespace, manifests.settings)).collect()
}

/// What is added, for people; and what the cluster must allow for it.
pub fn summary(settings: &Kubernetes) -> (String, Vec<Permission>) {
    let all = read(settings).unwrap_or_default(); // what is wrong was told before
    let name = |object: &ExtraObject| format!("{} {}", KINDS[object.kind].words, object.named().1);
    let may = |object: &ExtraObject| {
        let (group, resource) = KINDS[object.kind].resource;
        ["create", "patch"].map(|verb| Permission::within(verb, group, resource))
    };
    (all.iter().map(name).collect::<Vec<_>>().join(", "), all.iter().flat_map(may).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::kubernetes::RUN;
    use crate::node::{parse, read};

    fn settings(text: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Kubernetes, Node) {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = vec![];
        for (name, text) in files {
            paths.push(folder.path().join(name));
            std::fs::write(paths.last().unwrap(), text).unwrap();
        }
        let node = parse(&format!("{text}\nextra: {paths:?}")).unwrap();
        let settings = read(&node, &mut vec![]).unwrap();
        (folder, settings, node)
    }

    const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: backups }\nspec: {}\n";
    const CRON: &str = "apiVersion: batch/v1\nkind: CronJob\nmetadata: { name: dump, labels: { mine: 'yes' } }\nspec: { jobTemplate: \
                        { spec: { template: { spec: { containers: [{ image: postgres }, { image: other:1 }] } } } } }\n";

    #[test]
    fn what_is_added_is_of_the_run_and_runs_the_platforms_images() {
        let (_folder, settings, node) =
            settings("images: built\nstorage_class: fast", &[("a.yaml", &format!("{CRON}---\n{CLAIM}"))]);
        assert_eq!(problems(&settings, &node), []);
        let secrets = Secrets::random();
        let objects =
            objects(&PlatformManifests { run: "r-1", settings: &settings, secrets: &secrets }, "here").unwrap();
        let objects: Vec<_> = objects.iter().map(|object| serde_json::to_value(object).unwrap()).collect();
        assert_eq!(objects[0]["spec"]["storageClassName"], "fast", "the claim comes first");
        let cron = &objects[1];
        assert_eq!((&cron["metadata"]["labels"][RUN], &cron["metadata"]["namespace"]), (&json!("r-1"), &json!("here")));
        assert_eq!(cron["metadata"]["labels"]["mine"], "yes", "as it was written");
        let template = &cron["spec"]["jobTemplate"]["spec"]["template"];
        assert_eq!(template["metadata"]["labels"][RUN], "r-1");
        assert_eq!(template["spec"]["containers"][0]["image"], settings.images.of("postgres"));
        assert_eq!(template["spec"]["containers"][1]["image"], "other:1");
        let (text, may) = summary(&settings);
        assert_eq!(text, "claim backups, cron job dump");
        assert!(may.contains(&Permission::within("create", "batch", "cronjobs")));
    }

    #[test]
    fn nothing_is_added_to_a_standing_platform() {
        let standing = "attach: { namespace: a, store: b, token: t, fingerprints: { cluster: c, namespace: u1, store: u2, \
                    postgres: p, database: d, bucket: b } }";
        let (_folder, settings, node) = settings(standing, &[("a.yaml", CLAIM)]);
        assert!(problems(&settings, &node)[0].text.contains("nothing is added to a standing platform"));
    }

    #[test]
    fn what_cannot_be_added_is_told_with_its_file_and_line() {
        let other = "apiVersion: v1\nkind: Node\nmetadata: { name: a }\n";
        let elsewhere = CLAIM.replace("backups", "backups, namespace: production");
        let untyped = CLAIM.replace("backups", "a, labels: { on: 7 }");
        let twice = format!("{CLAIM}---\n{CLAIM}");
        let ours = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: mlflow }\n";
        let files =
            [("a.yaml", other), ("b.yaml", &elsewhere), ("c.yaml", ours), ("d.yaml", &twice), ("e.yaml", &untyped)];
        let (_folder, settings, node) = settings("", &files);
        let told: Vec<_> = problems(&settings, &node).iter().map(ToString::to_string).collect();
        assert!(told[0].contains("a.yaml:2:7: a `Node` of `v1` cannot be added"), "{told:?}");
        assert!(told[1].contains("b.yaml:3:") && told[1].contains("leave this out"), "{told:?}");
        assert!(told[2].contains("c.yaml:1:1: there is a `ConfigMap` of the name `mlflow` already"), "{told:?}");
        assert!(told[3].contains("d.yaml:6:1: there is a `PersistentVolumeClaim`") && told.len() == 5, "{told:?}");
        assert!(told[4].contains("e.yaml:3:"), "{told:?}");
        let mut gone = settings;
        gone.extra = vec!["nowhere.yaml".into()];
        assert!(problems(&gone, &node)[0].text.contains("`nowhere.yaml` cannot be read: there is no such file"));
    }
}
