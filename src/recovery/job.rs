//! The step that runs a job of the user's own in the cluster; its log is kept in `logs/job-NAME.log` of the run's folder.

use super::text::Text;
use super::{Step, StepContext};
use crate::client::kubernetes::job::{self, JobManifest, JobRequest, five_minutes};
use crate::environment::{Permission, Power};
use crate::kind::Kind;
use crate::model::{Finding, Span};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `job: { cron_job: nightly-restore }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "job",
    about: "Runs a job of your own in the cluster, from a manifest or as one of your CronJobs would start it.",
    example: "job: { cron_job: nightly-restore, within: 2m }",
    schema: |g| g.subschema_for::<JobFile>(),
    parse: |n, p| read::<JobStep>(n, p).map(|k| Box::new(k) as _),
};

/// Runs a job to its end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Job")]
struct JobFile {
    /// The file with the job's manifest, from the working directory; this or `cron_job`.
    #[serde(default)]
    manifest: Option<JobManifest>,
    /// The `CronJob` in the platform's namespace of which one job is to be started, suspended or not.
    #[serde(default)]
    cron_job: Option<String>,
    /// How long to wait for its end; 5 minutes by default.
    #[serde(default = "five_minutes")]
    within: Span,
    /// Variables in the environment of every container; no secrets, for they can be read in the job.
    #[serde(default)]
    env: BTreeMap<String, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "JobFile")]
struct JobStep {
    request: JobRequest,
    env: BTreeMap<String, Text>,
}

impl TryFrom<JobFile> for JobStep {
    type Error = String;
    fn try_from(JobFile { manifest, cron_job, within, env }: JobFile) -> Result<Self, String> {
        Ok(Self { request: JobRequest::of(manifest, cron_job, within)?, env })
    }
}

#[async_trait]
impl Step for JobStep {
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn permissions(&self) -> Vec<Permission> {
        self.request.permissions()
    }
    fn texts(&self) -> Vec<(&'static str, &Text)> {
        self.env.values().map(|text| ("env", text)).collect()
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let env: Vec<_> = self.env.iter().map(|(name, text)| (name.as_str(), text.plain(context.outputs))).collect();
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match context.platform.cluster() {
            Ok(cluster) => {
                let name = self.request.new_name();
                if let Err(error) = cluster.creating_job(&name).await {
                    return Finding::unknown(error.to_string());
                }
                job::run(cluster.namespace(), &cluster.logs(), &self.request, &name, &env).await
            }
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;

    fn job(text: &str) -> Result<JobStep, String> {
        let mut problems = vec![];
        read::<JobStep>(&parse(text).unwrap(), &mut problems).ok_or_else(|| {
            let told = problems.iter().map(|problem| format!("{} {problem}", problem.position.unwrap().line));
            told.collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn one_way_of_saying_which_job_is_needed_and_a_bad_manifest_is_told_at_its_line() {
        let theirs = job("{ cron_job: theirs, within: 1m, env: { POINT: '${steps.restore.outputs.point}' } }").unwrap();
        assert_eq!((theirs.request.name().as_str(), theirs.texts().len()), ("theirs", 1));
        assert!(theirs.permissions().contains(&Permission::within("get", "batch", "cronjobs")));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.yaml");
        let mine = "apiVersion: batch/v1\nkind: Job\nmetadata: { name: mine }\nspec: { template: {} }\n";
        std::fs::write(&path, mine).unwrap();
        let manifest = format!("manifest: {}", path.display());
        let ours = job(&manifest).unwrap();
        assert!(!ours.permissions().contains(&Permission::within("get", "batch", "cronjobs")));
        for text in ["{}".to_owned(), format!("{manifest}\ncron_job: theirs")] {
            assert!(job(&text).err().unwrap().contains("exactly one of `manifest` and `cron_job`"), "{text}");
        }
        std::fs::write(&path, mine.replace("{}", "[]")).unwrap();
        let wrong = job(&format!("within: 1m\n{manifest}")).err().unwrap();
        assert!(wrong.starts_with("2 ") && wrong.contains("job.yaml:4:"), "{wrong}");
        assert!(job("{ cron_job: theirs, deadline: 1m }").err().unwrap().contains("unknown key `deadline`"));
        assert!(
            job("manifest: nowhere.yaml")
                .err()
                .unwrap()
                .contains("`nowhere.yaml` cannot be read: there is no such file")
        );
    }
}
