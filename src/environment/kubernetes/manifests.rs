//! The platform's manifests: the files of `deploy/platform`, with what differs from run to run put in.
//!
//! The files are plain, so that `kubectl` takes them as they are: fields are set, there are no templates.

use super::names::{S3_PORT, SECRET, STORE_SECRET, TOKEN, labels, namespace, run_label, store_namespace};
use super::settings::Kubernetes;
use crate::client::Error;
use crate::client::kubernetes::COMPONENT;
use crate::environment::stack::Secrets;
use kube::core::DynamicObject;
use serde_json::{Value, json};

const PLATFORM_FILES: [&str; 3] = [
    include_str!("../../../deploy/platform/config.yaml"),
    include_str!("../../../deploy/platform/postgres.yaml"),
    include_str!("../../../deploy/platform/mlflow.yaml"),
];
const STORE_FILE: &str = include_str!("../../../deploy/platform/store/store.yaml");

/// The platform's manifests, once these are put into the files.
pub struct PlatformManifests<'a> {
    /// The run's name.
    pub run: &'a str,
    /// The drill's settings.
    pub settings: &'a Kubernetes,
    /// The platform's secrets.
    pub secrets: &'a Secrets,
}

impl PlatformManifests<'_> {
    /// The platform's namespace and all in it, in the order in which it can be created.
    pub fn platform(&self) -> Result<Vec<DynamicObject>, Error> {
        let Secrets { database, user, .. } = self.secrets;
        let data = json!({ "POSTGRES_PASSWORD": database, "AWS_ACCESS_KEY_ID": user.access,
            "AWS_SECRET_ACCESS_KEY": user.secret });
        self.fill(&namespace(self.run), secret(SECRET, &data), &PLATFORM_FILES)
    }

    /// The object store's namespace and all in it, in the order in which it can be created.
    pub fn store(&self) -> Result<Vec<DynamicObject>, Error> {
        let Secrets { root, .. } = self.secrets;
        let data = json!({ "ROOT_ACCESS_KEY_ID": root.access, "ROOT_SECRET_ACCESS_KEY": root.secret,
            "users.json": self.secrets.users() });
        self.fill(&store_namespace(self.run), secret(STORE_SECRET, &data), &[STORE_FILE])
    }

    fn fill(&self, namespace: &str, secret: Value, files: &[&str]) -> Result<Vec<DynamicObject>, Error> {
        let mut objects =
            vec![json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }), secret];
        for file in files {
            objects.extend(parse(file)?);
        }
        let place = |kind: &Value| ORDER.iter().position(|known| kind == known);
        objects.sort_by_key(|object| place(&object["kind"]));
        objects.into_iter().map(|object| self.finish(namespace, object)).collect()
    }

    fn finish(&self, namespace: &str, mut object: Value) -> Result<DynamicObject, Error> {
        let run = run_label(self.run);
        let labels = json!(labels(self.run));
        object["metadata"]["labels"] = labels.clone();
        match object["kind"].as_str().unwrap_or_default() {
            "Namespace" => object["metadata"]["labels"][TOKEN] = json!(run),
            "ConfigMap" => object["data"]["MLFLOW_S3_ENDPOINT_URL"] = json!(self.endpoint()),
            "Deployment" | "StatefulSet" => self.workload(&mut object, &labels),
            _ => {}
        }
        if object["kind"] != "Namespace" {
            object["metadata"]["namespace"] = json!(namespace);
        }
        serde_json::from_value(object).map_err(|e| Error::caused_by("a manifest of the platform", e))
    }

    fn workload(&self, object: &mut Value, labels: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        object["metadata"]["labels"][COMPONENT] = json!(name);
        let spec = &mut object["spec"];
        add(&mut spec["template"]["metadata"]["labels"], labels);
        for part in ["initContainers", "containers"] {
            for container in spec["template"]["spec"].get_mut(part).and_then(Value::as_array_mut).into_iter().flatten()
            {
                container["image"] = json!(self.settings.images.of(&name));
            }
        }
        for claim in spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
            claim["metadata"]["labels"] = labels.clone();
            if let Some(class) = &self.settings.storage_class {
                claim["spec"]["storageClassName"] = json!(class);
            }
        }
        if name == "mlflow" {
            spec["replicas"] = json!(self.settings.mlflow.replicas);
            if let Some(toleration) = self.settings.mlflow.toleration {
                let lost = |key: &str| {
                    json!({ "key": key, "operator": "Exists", "effect": "NoExecute",
                    "tolerationSeconds": toleration.0.as_secs() })
                };
                let taints = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
                spec["template"]["spec"]["tolerations"] = taints.map(lost).into();
            }
        }
    }

    /// Where MLflow finds the object store.
    fn endpoint(&self) -> String {
        format!("http://s3.{}:{S3_PORT}", store_namespace(self.run))
    }
}

/// Kinds in the order in which they can be created: what is referred to comes first.
const ORDER: [&str; 6] = ["Namespace", "Secret", "ConfigMap", "Service", "StatefulSet", "Deployment"];

fn secret(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data })
}

fn add(map: &mut Value, more: &Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        map[key] = value.clone();
    }
}

fn parse(file: &str) -> Result<Vec<Value>, Error> {
    serde_saphyr::from_multiple(file).map_err(|e| Error::caused_by("a manifest of the platform", e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::names::{CONFIG, MLFLOW_PORT, POSTGRES_PORT};
    use super::*;
    use crate::client::kubernetes::RUN;
    use crate::environment::stack;
    use crate::node::{parse as yaml, read};

    fn arguments() -> Vec<String> {
        let mut arguments = stack::mlflow_arguments("0.0.0.0", MLFLOW_PORT, &format!("postgres:{POSTGRES_PORT}"));
        arguments.extend(["--allowed-hosts", "*"].map(str::to_owned)); // probes and clients name it by an address
        arguments
    }

    fn filled(settings: &str) -> Vec<Value> {
        let settings: Kubernetes = read(&yaml(settings).unwrap(), &mut vec![]).unwrap();
        let manifests =
            PlatformManifests { run: "a-20250101T000000-beef", settings: &settings, secrets: &Secrets::random() };
        let both = [manifests.platform().unwrap(), manifests.store().unwrap()].concat();
        both.iter().map(|object| serde_json::to_value(object).unwrap()).collect()
    }

    fn of<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
        objects.iter().find(|t| t["kind"] == kind && t["metadata"]["name"] == name).unwrap()
    }

    #[test]
    fn mlflow_is_told_the_same_as_everywhere() {
        let objects = filled("{}");
        let mlflow = of(&objects, "Deployment", "mlflow");
        let container = &mlflow["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], json!(arguments()));
        let key = stack::AccessKey { access: "key".into(), secret: "secret".into() };
        let config = of(&objects, "ConfigMap", CONFIG)["data"].as_object().unwrap();
        let secret = of(&objects, "Secret", SECRET)["stringData"].as_object().unwrap();
        for (name, value) in stack::mlflow_variables("http://s3.lifeboat-a-20250101t000000-beef-store:7070", &key) {
            match config.get(name) {
                Some(told) => assert_eq!(told, &json!(value), "{name}"),
                None => assert!(secret.contains_key(name), "nobody tells MLflow {name}"),
            }
        }
        let postgres = of(&objects, "StatefulSet", "postgres");
        let told = json!(["-c", stack::CONNECTIONS, "-c", stack::SLOTS]);
        assert_eq!(postgres["spec"]["template"]["spec"]["containers"][0]["args"], told);
    }

    #[test]
    fn what_a_drill_says_is_put_in() {
        let objects = filled("{ images: built, storage_class: fast, mlflow: { replicas: 3, toleration: 5s } }");
        let kinds: Vec<_> = objects.iter().map(|t| t["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds[..4], ["Namespace", "Secret", "ConfigMap", "Service"]);
        let mlflow = &of(&objects, "Deployment", "mlflow")["spec"];
        assert_eq!(mlflow["replicas"], 3);
        assert_eq!(mlflow["template"]["spec"]["tolerations"][1]["tolerationSeconds"], 5);
        assert_eq!(mlflow["template"]["metadata"]["labels"][RUN], "a-20250101t000000-beef");
        let claim = &of(&objects, "StatefulSet", "postgres")["spec"]["volumeClaimTemplates"][0];
        assert_eq!(claim["spec"]["storageClassName"], "fast");
        let plain = filled("{}");
        assert!(of(&plain, "Deployment", "mlflow")["spec"]["template"]["spec"].get("tolerations").is_none());
    }

    const KUSTOMIZATIONS: [(&str, &str); 2] = [
        (include_str!("../../../deploy/platform/kustomization.yaml"), SECRET),
        (include_str!("../../../deploy/platform/store/kustomization.yaml"), STORE_SECRET),
    ];

    /// An image without its tag if it has a digest, and without the registry that is meant when none is named.
    fn pinned(image: &str) -> String {
        let image = image.strip_prefix("docker.io/library/").unwrap_or(image);
        let Some((name, digest)) = image.split_once('@') else { return image.to_owned() };
        format!("{}@{digest}", name.split(':').next().unwrap())
    }

    #[test]
    fn kubectl_takes_the_images_of_a_drill() {
        let objects = filled("{}");
        let used: Vec<String> = objects
            .iter()
            .filter_map(|object| object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().map(pinned))
            .collect();
        let mut named = 0;
        for (file, _) in KUSTOMIZATIONS {
            for image in parse(file).unwrap()[0]["images"].as_array().unwrap() {
                let (name, tag, digest) = (&image["newName"], image["newTag"].as_str(), image["digest"].as_str());
                let pin = digest.map_or_else(|| format!(":{}", tag.unwrap()), |digest| format!("@{digest}"));
                let image = pinned(&format!("{}{pin}", name.as_str().unwrap()));
                assert!(used.contains(&image), "{image} is none of {used:?}");
                named += 1;
            }
        }
        assert_eq!(named, 3);
    }

    #[test]
    fn the_secrets_that_kubectl_would_make_have_the_same_keys() {
        let objects = filled("{}");
        for (file, name) in KUSTOMIZATIONS {
            let generator = &parse(file).unwrap()[0]["secretGenerator"][0];
            let told = |list: &Value| list.as_array().cloned().unwrap_or_default();
            let mut keys: Vec<String> = [told(&generator["literals"]), told(&generator["files"])]
                .concat()
                .iter()
                .map(|text| text.as_str().unwrap().split('=').next().unwrap().to_owned())
                .collect();
            keys.sort();
            let made: Vec<String> =
                of(&objects, "Secret", name)["stringData"].as_object().unwrap().keys().cloned().collect();
            assert_eq!((generator["name"].as_str().unwrap(), keys), (name, made));
        }
    }
}
