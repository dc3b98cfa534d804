//! Runs a job to its end: creates it, waits, keeps its log, removes it.
//!
//! A job that did not end in time is removed with its pods before anybody goes on: a restore that still writes would
//! undo whatever is tried instead.

use super::logs::Logs;
use super::{JobRequest, state};
use crate::client::Error;
use crate::clock::Deadline;
use crate::environment::{Cluster, cluster};
use crate::model::{Finding, Span};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(10);
/// How long the pods of a job that was given up may take to go: their usual grace, and what the cluster takes.
const GONE: Duration = Duration::from_secs(45);
const TRIES: u32 = 3;
/// How long the end of a log is waited for when its container has ended.
const LAST: Duration = Duration::from_secs(5);

/// Runs the job with these variables in every container's environment. Met when it is complete; missed when it failed
/// or was not done in time, with the reason and the last line of its log; unknown when there is no such job to run.
/// Dropped before that, the job is removed.
pub async fn run(cluster: &dyn Cluster, asked: &JobRequest, variables: &[(&str, &str)]) -> Finding {
    let job = match timeout(CALL, asked.made(cluster, variables)).await {
        Ok(Ok(job)) => job,
        Ok(Err(error)) => return Finding::unknown(error.to_string()),
        Err(_) => return Finding::unknown("the cluster's API does not answer"),
    };
    let mut started = Started::new(cluster, &asked.name(), job.name_any());
    let ended = match timeout(CALL, started.jobs.create(&PostParams::default(), &job)).await {
        Ok(Ok(_)) => started.end(asked.within).await,
        Ok(Err(error)) => Err(format!("cannot create it: {}", cluster::why(&error))),
        Err(_) => Err("cannot create it: the cluster's API does not answer".into()),
    };
    let removed = started.remove(ended.is_err()).await.err().map(|error| error.to_string());
    let name = format!("job `{}`", asked.name());
    match (ended, removed) {
        (Ok(()), None) => Finding::met(),
        (Ok(()), Some(left)) => Finding { reason: Some(left), ..Finding::met() },
        (Err(why), None) => Finding::missed(format!("{name}: {why}")),
        (Err(why), Some(left)) => Finding::missed(format!("{name}: {why}; {left}")),
    }
}

/// A job under way; it is removed when this goes.
struct Started {
    jobs: Api<Job>,
    pods: Api<Pod>,
    events: Api<Event>,
    name: String,
    logs: Logs,
    removed: bool,
}

/// What one look showed.
enum JobProgress {
    Ended(Result<(), String>),
    Going(String),
}

impl Started {
    fn new(cluster: &dyn Cluster, base: &str, name: String) -> Self {
        let (client, namespace) = (cluster.client(), cluster.namespace());
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        Self {
            jobs: Api::namespaced(client.clone(), namespace),
            logs: Logs::to(&cluster.logs().join(format!("job-{base}.log")), pods.clone()),
            pods,
            events: Api::namespaced(client, namespace),
            name,
            removed: false,
        }
    }

    /// Waits for its end; why it was no good one, if so.
    async fn end(&mut self, within: Span) -> Result<(), String> {
        let end = Deadline::within(within.0);
        let mut state = "the cluster's API does not answer".to_owned();
        loop {
            match timeout_at(end.instant(), self.look()).await {
                Ok(Ok(JobProgress::Ended(Ok(())))) => {
                    self.logs.last(LAST).await;
                    return Ok(());
                }
                Ok(Ok(JobProgress::Ended(Err(why)))) => {
                    let last = self.logs.last(LAST).await;
                    return Err(with_last(why, last));
                }
                Ok(Ok(JobProgress::Going(how))) => state = how,
                Ok(Err(error)) => state = cluster::why(&error),
                Err(_) => {}
            }
            if end.passed() {
                let warning = timeout(CALL, self.warning()).await.ok().flatten();
                let new = warning.filter(|(_, said)| !state.contains(said.as_str()));
                let warning = new.map(|(reason, said)| format!(" ({reason}: {said})")).unwrap_or_default();
                let last = self.logs.last(Duration::ZERO).await; // it goes on: its log has no end
                return Err(with_last(format!("it was not done within {within}: {state}{warning}"), last));
            }
            sleep_until(end.min(Deadline::within(LOOK)).instant()).await;
        }
    }

    async fn look(&mut self) -> kube::Result<JobProgress> {
        let Some(job) = self.jobs.get_opt(&self.name).await? else {
            return Ok(JobProgress::Ended(Err("somebody deleted it".into())));
        };
        let pods = self.its_pods().await?;
        self.logs.follow(&pods);
        let hopeless = || pods.iter().find_map(state::hopeless).map(Err);
        let ended = state::ended(&job).or_else(hopeless);
        Ok(ended.map_or_else(|| JobProgress::Going(state::of_job(&job, &pods)), JobProgress::Ended))
    }

    async fn its_pods(&self) -> kube::Result<Vec<Pod>> {
        let its = ListParams::default().labels(&format!("job-name={}", self.name));
        Ok(self.pods.list(&its).await?.items)
    }

    /// What the cluster warns of: a quota or a volume that is not there stands in no status.
    async fn warning(&self) -> Option<(String, String)> {
        let job = self.jobs.get(&self.name).await.ok()?;
        let pods = self.its_pods().await.ok()?;
        // What held up a pod that runs now, such as a volume that was late, is over.
        let mut uids: Vec<_> = pods.iter().filter(|pod| !cluster::running(pod)).filter_map(ResourceExt::uid).collect();
        uids.extend(job.uid());
        let events = self.events.list(&ListParams::default()).await.ok()?;
        state::warning(&events.items, &uids)
    }

    /// Removes it; where it was given up, returns when no pod of it is left.
    async fn remove(mut self, given_up: bool) -> Result<(), Error> {
        let deleted = delete(&self.jobs, &self.name).await;
        self.removed = true;
        deleted?;
        if given_up { self.gone().await } else { Ok(()) }
    }

    /// Waits until no pod of it can do anything.
    async fn gone(&self) -> Result<(), Error> {
        let end = Deadline::within(GONE);
        loop {
            let left = match timeout(CALL, self.its_pods()).await {
                Ok(Ok(pods)) if !pods.iter().any(acts) => return Ok(()),
                Ok(Ok(pods)) => pods.iter().map(state::of_pod).collect::<Vec<_>>().join("; "),
                Ok(Err(error)) => cluster::why(&error),
                Err(_) => "the cluster's API does not answer".into(),
            };
            if end.passed() {
                return Err(Error::new(format!("job `{}` does not go", self.name), left));
            }
            sleep(LOOK).await;
        }
    }
}

/// A reason with the last line of the log, where there is one.
fn with_last(why: String, last: Option<String>) -> String {
    match last {
        Some(last) => format!("{why}; its log ends: {last}"),
        None => why,
    }
}

/// May it still do something? One that is told to go may, until it has gone.
fn acts(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Deletes a job, and its pods with it; gone already is as good.
async fn delete(jobs: &Api<Job>, name: &str) -> Result<(), Error> {
    let what = format!("cannot delete the job `{name}`");
    let mut last = Error::new(&what, "the cluster's API does not answer");
    for _ in 0..TRIES {
        match timeout(CALL, jobs.delete(name, &DeleteParams::background())).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => return Ok(()),
            Ok(Err(error)) => last = cluster::cannot(&what)(error),
            Err(_) => {}
        }
        sleep(LOOK).await;
    }
    Err(last)
}

impl Drop for Started {
    fn drop(&mut self) {
        let (Ok(runtime), false) = (Handle::try_current(), self.removed) else { return };
        let (jobs, name) = (self.jobs.clone(), self.name.clone());
        runtime.spawn(async move {
            let _ = delete(&jobs, &name).await; // nobody is left to tell; its own limits end it
        });
    }
}
