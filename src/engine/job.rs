//! The engine of those whose backups are jobs in a cluster: some that back up, and some that restore.
//!
//! Only the jobs know where their backups are. All of them get the point's name in `$LIFEBOAT_POINT`, so that a restore
//! finds what its backup left. Several jobs that follow each other make one point, complete when the last has ended.
//! A job's snapshot was taken at some moment while the job ran; the point's is dated at the end of the last job. How far
//! apart the jobs' snapshots may be is a figure of each restore.

use super::{Engine, EngineContext, RestorePlan, Session};
use crate::client::Error;
use crate::client::kubernetes::RUN;
use crate::client::kubernetes::job::{self, JobManifest, JobRequest, five_minutes};
use crate::clock::{self, Clock, Moment};
use crate::environment::{Asset, Permission, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, RecoveryPoint, Span, Verdict};
use crate::node::read;
use async_trait::async_trait;
use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// `job: { backup: { cron_job: dump }, restore: { manifest: restore.yaml } }`
pub const KIND: Kind<dyn Engine> = Kind {
    name: "job",
    about: "Backs up and restores by jobs of your own in the cluster, from manifests or as your CronJobs start them.",
    example: "job: { backup: [{ cron_job: classic-dump }, { cron_job: classic-artifacts, delay: 20s }], \
              restore: { cron_job: classic-restore }, covers: [database, artifacts] }",
    schema: |g| g.subschema_for::<JobEngine>(),
    parse: |n, p| read::<JobEngine>(n, p).map(|k| Box::new(k) as _),
};

/// Backs up and restores by jobs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Jobs")]
struct JobEngine {
    /// Takes a backup under the name `$LIFEBOAT_POINT`; must not be complete before the backup is.
    backup: JobSequence,
    /// Restores the backup of the name `$LIFEBOAT_POINT`.
    restore: JobSequence,
    /// Proves the backup of the name `$LIFEBOAT_POINT`, once it is complete; if it fails, there is no backup.
    #[serde(default)]
    verify: Option<JobSequence>,
    /// What a restore brings back: `database`, `artifacts`, `resources`, `models`. On a standing platform, nothing is lost that is
    /// not named here.
    #[serde(default)]
    covers: Vec<Asset>,
}

/// One job, or several that follow each other.
#[derive(Debug, Clone)]
struct JobSequence(Vec<SequencedJob>);

/// A job of several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JobOfSeveral")]
struct SequencedJobFile {
    /// The file with the job's manifest, from the working directory; this or `cron_job`.
    #[serde(default)]
    manifest: Option<JobManifest>,
    /// The `CronJob` in the platform's namespace of which one job is to be started, suspended or not.
    #[serde(default)]
    cron_job: Option<String>,
    /// How long to wait for its end; 5 minutes by default.
    #[serde(default = "five_minutes")]
    within: Span,
    /// How long after the end of the one before it this one begins; at once by default.
    #[serde(default = "none")]
    delay: Span,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "SequencedJobFile")]
struct SequencedJob {
    job: JobRequest,
    delay: Span,
}

fn none() -> Span {
    Span::seconds(0)
}

impl TryFrom<SequencedJobFile> for SequencedJob {
    type Error = String;
    fn try_from(SequencedJobFile { manifest, cron_job, within, delay }: SequencedJobFile) -> Result<Self, String> {
        Ok(Self { job: JobRequest::of(manifest, cron_job, within)?, delay })
    }
}

impl<'de> Deserialize<'de> for JobSequence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JobSequenceVisitor)
    }
}

/// Reads either form; serde's untagged enums would hide what is wrong inside.
struct JobSequenceVisitor;

impl<'de> Visitor<'de> for JobSequenceVisitor {
    type Value = JobSequence;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a job or a list of jobs")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JobSequence, A::Error> {
        SequencedJob::deserialize(MapAccessDeserializer::new(map)).map(|job| JobSequence(vec![job]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<JobSequence, A::Error> {
        let jobs = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        if jobs.is_empty() { Err(serde::de::Error::custom("no job is in the list")) } else { Ok(JobSequence(jobs)) }
    }
}

impl JsonSchema for JobSequence {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Jobs".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<SequencedJobFile>();
        json_schema!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
    }
}

/// When a job of a point ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct JobRun {
    name: String,
    began: Moment,
    ended: Moment,
}

impl JobSequence {
    /// Runs them one after the other; when each ran, or why one did not end well.
    async fn run(&self, platform: &dyn Platform, point: &str, clock: &Clock) -> Result<Vec<JobRun>, Finding> {
        let cluster = platform.cluster().map_err(|error| Finding::unknown(error.to_string()))?;
        let mut all = vec![];
        for SequencedJob { job, delay } in &self.0 {
            tokio::time::sleep(delay.0).await;
            let began = clock.now();
            let name = job.new_name();
            cluster.creating_job(&name).await.map_err(|error| Finding::unknown(error.to_string()))?;
            let variables = [("LIFEBOAT_POINT", point)];
            let finding = job::run(cluster.namespace(), &cluster.logs(), job, &name, &variables).await;
            if finding.verdict != Verdict::Met {
                return Err(finding);
            }
            all.push(JobRun { name: job.name(), began, ended: clock.now() });
        }
        Ok(all)
    }
}

#[async_trait]
impl Engine for JobEngine {
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }

    fn covers(&self) -> Vec<Asset> {
        self.covers.clone()
    }

    fn verifies(&self) -> bool {
        self.verify.is_some()
    }

    fn permissions(&self) -> Vec<Permission> {
        let verify = self.verify.iter().flat_map(|verify| &verify.0);
        self.backup.0.iter().chain(&self.restore.0).chain(verify).flat_map(|job| job.job.permissions()).collect()
    }

    async fn open(&self, context: EngineContext) -> Result<Box<dyn Session>, Error> {
        let points = Mutex::new(context.known.clone());
        Ok(Box::new(JobSession { engine: self.clone(), context, points }))
    }
}

/// The jobs at work on a platform.
struct JobSession {
    engine: JobEngine,
    context: EngineContext,
    points: Mutex<Vec<RecoveryPoint>>,
}

#[async_trait]
impl Session for JobSession {
    async fn backup(&self, label: &str) -> Result<RecoveryPoint, Error> {
        let EngineContext { platform, folder, clock, .. } = &self.context;
        // Where the jobs keep their backups there may be those of other runs.
        let run = platform.cluster()?.namespace().labels.get(RUN).cloned().unwrap_or_default();
        let id = format!("{run}-{label}");
        let all = self.engine.backup.run(platform.as_ref(), &id, clock).await;
        let all = all.map_err(|finding| Error::new("the backup", finding.reason.unwrap_or_default()))?;
        let (snapshot, taken_at) = (clock.now(), clock::wall());
        if let Some(verify) = &self.engine.verify {
            let proved = verify.run(platform.as_ref(), &id, clock).await;
            proved.map_err(|finding| Error::new("the proof of the backup", finding.reason.unwrap_or_default()))?;
        }
        let path = record_path(folder, &id);
        let cannot = |e: &dyn fmt::Display| Error::new(format!("cannot write `{}`", path.display()), e);
        let text = serde_json::to_vec(&all).map_err(|e| cannot(&e))?;
        tokio::fs::write(&path, text).await.map_err(|e| cannot(&e))?;
        let point = RecoveryPoint { id, snapshot, taken_at, bytes: None };
        self.points.lock().push(point.clone());
        Ok(point)
    }

    async fn points(&self) -> Result<Vec<RecoveryPoint>, Error> {
        Ok(self.points.lock().clone())
    }

    async fn restore(&self, plan: &RestorePlan) -> Finding {
        let EngineContext { platform, folder, clock, .. } = &self.context;
        let restored = self.engine.restore.run(platform.as_ref(), &plan.point.id, clock).await;
        let finding = restored.map_or_else(|missed| missed, |_| Finding::met());
        let all = tokio::fs::read(record_path(folder, &plan.point.id)).await.unwrap_or_default();
        let all: Vec<JobRun> = serde_json::from_slice(&all).unwrap_or_default(); // then nothing is said of it
        skew(&all).into_iter().fold(finding, |finding, (name, apart)| finding.figure(name, apart))
    }
}

/// The file that records when the jobs of a point ran.
fn record_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

/// How far the snapshot of each later job may lie from that of the first, from the least to the most.
fn skew(all: &[JobRun]) -> Vec<(String, String)> {
    let Some((first, later)) = all.split_first() else { return vec![] };
    let apart = |other: &JobRun| {
        let (least, most) = (other.began.since(first.ended), other.ended.since(first.began));
        (format!("skew of {} and {}", first.name, other.name), format!("{least:.1} s to {most:.1} s"))
    };
    later.iter().map(apart).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;

    fn jobs(text: &str) -> Result<JobEngine, String> {
        let mut problems = vec![];
        read::<JobEngine>(&parse(text).unwrap(), &mut problems).ok_or_else(|| {
            problems
                .iter()
                .map(|problem| format!("{} {problem}", problem.position.unwrap().line))
                .collect::<Vec<_>>()
                .join("\n")
        })
    }

    #[test]
    fn a_backup_is_a_job_or_a_list_of_jobs_and_what_is_wrong_is_told_at_its_line() {
        let one = jobs("{ backup: { cron_job: a }, restore: { cron_job: b } }").unwrap();
        assert_eq!((one.backup.0.len(), one.restore.0.len()), (1, 1));
        let two = jobs("{ backup: [{ cron_job: a }, { cron_job: c, delay: 20s }], restore: { cron_job: b } }").unwrap();
        assert_eq!(two.backup.0[1].delay, Span::seconds(20));
        let wrong = jobs("backup:\n  - cron_job: a\n  - {}\nrestore:\n  cron_job: b\n  wihtin: 1m").unwrap_err();
        assert!(wrong.contains("3 exactly one of `manifest` and `cron_job`"), "{wrong}");
        assert!(wrong.contains("6 unknown key `wihtin`"), "{wrong}");
        assert!(jobs("{ backup: [], restore: { cron_job: b } }").unwrap_err().contains("no job is in the list"));
    }

    #[test]
    fn the_cluster_is_asked_for_all_that_its_jobs_need() {
        let jobs = jobs("{ backup: { cron_job: a }, restore: { cron_job: b } }").unwrap();
        assert_eq!(jobs.needs(), &[Power::Cluster]);
        assert!(jobs.permissions().contains(&Permission::within("create", "batch", "jobs")));
        assert!(jobs.permissions().contains(&Permission::within("get", "batch", "cronjobs")));
    }

    #[test]
    fn the_skew_reaches_from_the_gap_between_two_jobs_to_all_of_their_time() {
        let ran = |name: &str, began: f64, ended: f64| JobRun {
            name: name.into(),
            began: Moment::at(began),
            ended: Moment::at(ended),
        };
        let told = skew(&[ran("dump", 10.0, 12.0), ran("tar", 32.0, 35.5)]);
        assert_eq!(told, [("skew of dump and tar".to_owned(), "20.0 s to 25.5 s".to_owned())]);
        assert!(skew(&[ran("dump", 1.0, 2.0)]).is_empty(), "one job has nothing to be apart from");
    }
}
