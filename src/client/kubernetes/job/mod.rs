//! A job of the user's own, run to its end in the platform's namespace: from a manifest, or as a `CronJob` starts it.
//!
//! Apart because an engine and a step run jobs alike. Here: which job is meant, and how it becomes one of this run.
//! Its name is changed; labels are added, and limits where it sets none, so that it ends and is removed even if
//! Lifeboat dies meanwhile.

mod logs;
mod run;
mod state;

pub use run::{remove, run};

use super::{NamespaceClient, Permission, cannot, manifest};
use crate::client::Error;
use crate::model::Span;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::path::{Path, PathBuf};

/// How many seconds a job that has ended stays, if Lifeboat died before it could remove it.
const STAYS: i32 = 3600;
/// How many seconds a job may take beyond the time it is waited for, if Lifeboat died before it could remove it.
const GRACE: u64 = 60;
/// How much of the user's own name a job keeps: a pod's name has eleven characters more, and 63 are allowed.
const NAME: usize = 45;

/// The job of a manifest.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "PathBuf", inline)]
pub struct JobManifest(Job);

/// A job that is to be run.
#[derive(Debug, Clone)]
pub struct JobRequest {
    source: JobSource,
    within: Span,
}

/// Where a job is defined.
#[derive(Debug, Clone)]
enum JobSource {
    Manifest(Box<Job>),
    CronJob(String),
}

/// How long a job is waited for by default.
pub fn five_minutes() -> Span {
    Span::seconds(300)
}

impl<'de> Deserialize<'de> for JobManifest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::read(&PathBuf::deserialize(d)?).map_err(D::Error::custom)
    }
}

impl JobManifest {
    fn read(path: &Path) -> Result<Self, String> {
        let objects = manifest::objects(path)?;
        let [object] = objects.as_slice() else {
            return Err(format!("`{}` holds {} objects instead of one job", path.display(), objects.len()));
        };
        let job: Job = manifest::typed(path, object)?;
        let refuse = |what: &str| Err(format!("{}: {what}", path.display()));
        if base(&job.metadata).is_empty() {
            return refuse("the job has no `name` in its `metadata`");
        }
        if job.metadata.namespace.is_some() {
            return refuse("the job runs in the platform's namespace: leave `namespace` out");
        }
        if job.spec.is_none() {
            return refuse("the job has no `spec`");
        }
        Ok(Self(job))
    }
}

impl JobRequest {
    /// The job of one of the two, which is waited for so long.
    ///
    /// # Errors
    /// When there is none or both.
    pub fn of(manifest: Option<JobManifest>, cron_job: Option<String>, within: Span) -> Result<Self, String> {
        let source = match (manifest, cron_job) {
            (Some(JobManifest(job)), None) => JobSource::Manifest(Box::new(job)),
            (None, Some(name)) => JobSource::CronJob(name),
            _ => return Err("exactly one of `manifest` and `cron_job` says which job".into()),
        };
        Ok(Self { source, within })
    }

    /// The name that the user gave it.
    pub fn name(&self) -> String {
        match &self.source {
            JobSource::Manifest(job) => base(&job.metadata).to_owned(),
            JobSource::CronJob(name) => name.clone(),
        }
    }

    /// A name for one run of it, which no other job has.
    pub fn new_name(&self) -> String {
        unique(&self.name())
    }

    /// What running it needs.
    pub fn permissions(&self) -> Vec<Permission> {
        let mut all: Vec<_> = ["create", "get", "delete"].map(|verb| Permission::within(verb, "batch", "jobs")).into();
        all.extend(["pods", "events"].map(|kind| Permission::within("list", "", kind)));
        all.push(Permission::within("get", "", "pods/log"));
        if let JobSource::CronJob(_) = self.source {
            all.push(Permission::within("get", "batch", "cronjobs"));
        }
        all
    }

    /// The job as it is to be created, under this name.
    async fn made(&self, namespace: &NamespaceClient, name: &str, variables: &[(&str, &str)]) -> Result<Job, Error> {
        let mut job = match &self.source {
            JobSource::Manifest(job) => Job::clone(job),
            JobSource::CronJob(name) => {
                let found = namespace.api::<CronJob>().get(name).await;
                of_cron_job(found.map_err(cannot(format!("cannot read the cron job `{name}`")))?)
            }
        };
        job.metadata.name = Some(name.to_owned());
        job.metadata.generate_name = None;
        job.labels_mut().extend(namespace.labels.clone());
        let spec = job.spec.get_or_insert_default();
        spec.ttl_seconds_after_finished.get_or_insert(STAYS);
        let longest = self.within.0.as_secs().saturating_add(GRACE);
        spec.active_deadline_seconds.get_or_insert(i64::try_from(longest).unwrap_or(i64::MAX));
        spec.template.metadata.get_or_insert_default().labels.get_or_insert_default().extend(namespace.labels.clone());
        set_variables(&mut job, variables);
        Ok(job)
    }
}

/// A job as `kubectl create job --from` makes it, but without an owner: a `CronJob` removes its jobs by its own rules,
/// perhaps before we saw them end.
fn of_cron_job(cron_job: CronJob) -> Job {
    let template = cron_job.spec.unwrap_or_default().job_template;
    let theirs = template.metadata.unwrap_or_default();
    let mut annotations = theirs.annotations.unwrap_or_default();
    annotations.insert("cronjob.kubernetes.io/instantiate".into(), "manual".into());
    let metadata = ObjectMeta { labels: theirs.labels, annotations: Some(annotations), ..ObjectMeta::default() };
    Job { metadata, spec: template.spec, status: None }
}

/// Sets variables in the environment of every container.
fn set_variables(job: &mut Job, variables: &[(&str, &str)]) {
    let Some(pod) = job.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()) else { return };
    for container in pod.containers.iter_mut().chain(pod.init_containers.iter_mut().flatten()) {
        let known = container.env.get_or_insert_default();
        for (name, value) in variables {
            known.retain(|variable| variable.name != *name);
            // First, because those after it may refer to it.
            known.insert(0, EnvVar { name: (*name).into(), value: Some((*value).into()), value_from: None });
        }
    }
}

/// The name in a manifest, without what the API would make up itself.
fn base(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().or(metadata.generate_name.as_deref()).unwrap_or_default().trim_end_matches('-')
}

/// A name that no other job has.
fn unique(name: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let kept: String = name.chars().take(NAME).collect();
    let mut chance = rand::rng();
    let end: String = (0..6).map(|_| char::from(LETTERS[chance.random_range(0..LETTERS.len())])).collect();
    format!("{}-{end}", kept.trim_end_matches(['-', '.']))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_of_a_manifest_has_the_manifests_name_without_what_the_api_adds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.yaml");
        let spec = "spec: { template: { spec: { containers: [] } } }";
        std::fs::write(
            &path,
            format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{ generateName: mine- }}\n{spec}\n"),
        )
        .unwrap();
        let manifest = JobManifest::read(&path).unwrap();
        assert_eq!(JobRequest::of(Some(manifest.clone()), None, five_minutes()).unwrap().name(), "mine");
        assert!(JobRequest::of(Some(manifest), Some("theirs".into()), five_minutes()).is_err());
        assert!(JobRequest::of(None, None, five_minutes()).is_err());
    }

    #[test]
    fn a_manifest_that_is_no_job_of_ours_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.yaml");
        let said = |text: &str| {
            std::fs::write(&path, text).unwrap();
            JobManifest::read(&path).unwrap_err()
        };
        let job = "apiVersion: batch/v1\nkind: Job\n";
        assert!(said(&format!("{job}metadata: {{}}\n")).contains("no `name`"));
        assert!(said(&format!("{job}metadata: {{ name: a, namespace: b }}\n")).contains("leave `namespace` out"));
        assert!(said(&format!("{job}metadata: {{ name: a }}\n")).contains("no `spec`"));
        assert!(said(&format!("{job}---\n{job}")).contains("2 objects"));
        assert!(said("apiVersion: v1\nkind: Pod\nmetadata: { name: a }\n").contains("batch/v1"));
    }

    #[test]
    fn a_cron_jobs_job_is_its_template_started_by_hand_without_an_owner() {
        let cron_job = serde_json::from_value(json!({
            "metadata": { "name": "dump", "labels": { "of": "the cron job" } },
            "spec": { "schedule": "0 2 * * *", "suspend": true, "jobTemplate": {
                "metadata": { "labels": { "of": "its jobs" }, "annotations": { "a": "b" } },
                "spec": { "backoffLimit": 2, "template": { "spec": { "containers": [] } } } } }
        }))
        .unwrap();
        let job = of_cron_job(cron_job);
        assert_eq!(job.annotations()["cronjob.kubernetes.io/instantiate"], "manual");
        assert_eq!((job.annotations()["a"].as_str(), job.labels()["of"].as_str()), ("b", "its jobs"));
        assert_eq!(job.spec.unwrap().backoff_limit, Some(2));
        assert!(job.metadata.owner_references.is_none());
    }

    #[test]
    fn every_container_gets_the_variables_and_they_replace_its_own() {
        let container = json!({ "name": "a", "env": [{ "name": "FILE", "value": "$(POINT).gz" }, { "name": "POINT", "value": "x" }] });
        let pod = json!({ "containers": [container], "initContainers": [{ "name": "b" }] });
        let mut job =
            serde_json::from_value(json!({ "metadata": {}, "spec": { "template": { "spec": pod } } })).unwrap();
        set_variables(&mut job, &[("POINT", "7")]);
        let pod = job.spec.unwrap().template.spec.unwrap();
        let told = |variables: &Option<Vec<EnvVar>>| -> Vec<(String, String)> {
            let variables = variables.iter().flatten();
            variables.map(|variable| (variable.name.clone(), variable.value.clone().unwrap())).collect()
        };
        let point = ("POINT".to_owned(), "7".to_owned());
        assert_eq!(told(&pod.containers[0].env), [point.clone(), ("FILE".into(), "$(POINT).gz".into())]);
        assert_eq!(told(&pod.init_containers.unwrap()[0].env), [point]);
    }

    #[test]
    fn a_name_is_unique_and_leaves_room_for_its_pods() {
        let (one, other) = (unique(&"long-".repeat(20)), unique(&"long-".repeat(20)));
        assert!(one != other && one.len() <= 52 && !one.contains("--"), "{one}");
    }
}
