//! Runs a job to its end: creates it, waits, keeps its log, removes it.
//!
//! A job that did not end in time is removed with its pods before the drill goes on: a restore that still writes would
//! undo whatever is tried next.

use super::logs::JobLogs;
use super::{JobRequest, state};
use crate::client::kubernetes::{NamespaceClient, RUN, found, pods, retry, why};
use crate::client::{Error, until};
use crate::model::{Finding, Span};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(10);
/// How long the pods of a job that was given up may take to end: their usual grace, and what the cluster takes.
const GONE: Duration = Duration::from_secs(45);
const SILENT: &str = "the cluster's API does not answer";
/// How long the end of a log is waited for when its container has ended.
const LAST: Duration = Duration::from_secs(5);

/// Runs the job under this name, with these variables in every container's environment; its log goes into the folder `logs`. Met when it
/// is complete; missed when it failed or was not done in time, with the reason and the last line of its log; unknown
/// when there is no such job to run. The job is removed, also when this is dropped before its end.
pub async fn run(
    namespace: &NamespaceClient,
    logs: &Path,
    request: &JobRequest,
    name: &str,
    variables: &[(&str, &str)],
) -> Finding {
    let job = match timeout(CALL, request.made(namespace, name, variables)).await {
        Ok(Ok(job)) => job,
        Ok(Err(error)) => return Finding::unknown(error.to_string()),
        Err(_) => return Finding::unknown(SILENT),
    };
    let mut started = RunningJob::new(namespace, logs, &request.name(), job.name_any());
    let ended = match timeout(CALL, started.jobs.create(&PostParams::default(), &job)).await {
        Ok(Ok(_)) => started.end(request.within).await,
        Ok(Err(error)) => Err(format!("cannot create it: {}", why(&error))),
        Err(_) => Err(format!("cannot create it: {SILENT}")),
    };
    let removed = started.remove(ended.is_err()).await.err().map(|error| error.to_string());
    let name = format!("job `{}`", request.name());
    match (ended, removed) {
        (Ok(()), None) => Finding::met(),
        (Ok(()), Some(left)) => Finding { reason: Some(left), ..Finding::met() },
        (Err(why), None) => Finding::missed(format!("{name}: {why}")),
        (Err(why), Some(left)) => Finding::missed(format!("{name}: {why}; {left}")),
    }
}

/// A job that was created; it is removed when this is dropped.
struct RunningJob {
    jobs: Api<Job>,
    pods: Api<Pod>,
    events: Api<Event>,
    name: String,
    logs: JobLogs,
    removed: bool,
}

impl RunningJob {
    fn new(namespace: &NamespaceClient, logs: &Path, base: &str, name: String) -> Self {
        let pods: Api<Pod> = namespace.api();
        Self {
            jobs: namespace.api(),
            logs: JobLogs::to(&logs.join(format!("job-{base}.log")), pods.clone()),
            pods,
            events: namespace.api(),
            name,
            removed: false,
        }
    }

    /// Waits for its end; answers why it did not end well.
    async fn end(&mut self, within: Span) -> Result<(), String> {
        match until(within.0, LOOK, || self.look()).await {
            Ok(Ok(())) => {
                self.logs.last(LAST).await;
                Ok(())
            }
            Ok(Err(why)) => {
                let last = self.logs.last(LAST).await;
                Err(with_last(why, last))
            }
            Err(late) => {
                let state = late.reason.unwrap_or_else(|| SILENT.into());
                let warning = timeout(CALL, self.warning()).await.ok().flatten();
                let new = warning.filter(|(_, said)| !state.contains(said.as_str()));
                let warning = new.map(|(reason, said)| format!(" ({reason}: {said})")).unwrap_or_default();
                let last = self.logs.last(Duration::ZERO).await; // it goes on: its log has no end
                Err(with_last(format!("it was not done within {within}: {state}{warning}"), last))
            }
        }
    }

    /// How it ended; an error says how it is that has not ended.
    async fn look(&self) -> Result<Result<(), String>, String> {
        let job = self.jobs.get_opt(&self.name).await.map_err(|error| why(&error))?;
        let Some(job) = job else { return Ok(Err("somebody deleted it".into())) };
        let pods = self.its_pods().await.map_err(|error| why(&error))?;
        self.logs.follow(&pods);
        let hopeless = || pods.iter().find_map(state::hopeless).map(Err);
        state::ended(&job).or_else(hopeless).ok_or_else(|| state::of_job(&job, &pods))
    }

    async fn its_pods(&self) -> kube::Result<Vec<Pod>> {
        let its = ListParams::default().labels(&format!("job-name={}", self.name));
        Ok(self.pods.list(&its).await?.items)
    }

    /// The cluster's latest warning: no status mentions a quota or a missing volume.
    async fn warning(&self) -> Option<(String, String)> {
        let job = self.jobs.get(&self.name).await.ok()?;
        let its = self.its_pods().await.ok()?;
        // A warning about a pod that runs by now, such as a late volume, is over.
        let mut uids: Vec<_> = its.iter().filter(|pod| !pods::running(pod)).filter_map(ResourceExt::uid).collect();
        uids.extend(job.uid());
        let events = self.events.list(&ListParams::default()).await.ok()?;
        state::warning(&events.items, &uids)
    }

    /// Removes it; if it was given up, returns when none of its pods is left.
    async fn remove(mut self, given_up: bool) -> Result<(), Error> {
        let deleted = delete(&self.jobs, &self.name).await;
        self.removed = true;
        deleted?;
        if given_up { self.gone().await } else { Ok(()) }
    }

    /// Waits until no pod of it can do anything.
    async fn gone(&self) -> Result<(), Error> {
        let look = || async {
            match timeout(CALL, self.its_pods()).await {
                Ok(Ok(pods)) if !pods.iter().any(acts) => Ok(()),
                Ok(Ok(pods)) => Err(pods.iter().map(state::of_pod).collect::<Vec<_>>().join("; ")),
                Ok(Err(error)) => Err(why(&error)),
                Err(_) => Err(SILENT.to_owned()),
            }
        };
        let gone = until(GONE, LOOK, look).await;
        gone.map_err(|late| Error::new(format!("job `{}` is not gone", self.name), late))
    }
}

/// A reason with the last line of the log, where there is one.
fn with_last(why: String, last: Option<String>) -> String {
    match last {
        Some(last) => format!("{why}; its log ends: {last}"),
        None => why,
    }
}

/// May it still do something? One that was told to end may, until it has.
fn acts(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Removes a job that a dead run left, with its pods, if it carries the run's label; no error if it is gone already.
///
/// # Errors
/// When it cannot be deleted, or is another's.
pub async fn remove(client: &Client, namespace: &str, name: &str, run: &str) -> Result<(), Error> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let what = format!("job `{name}` in namespace `{namespace}`");
    let Some(job) = retry(&what, || async { found(jobs.get(name).await) }).await? else { return Ok(()) };
    if job.labels().get(RUN).map(String::as_str) != Some(run) {
        return Err(Error::new(what, format!("it lacks the label {RUN} of this run, so it stays")));
    }
    delete(&jobs, name).await
}

/// Deletes a job with its pods; no error if it is gone already.
async fn delete(jobs: &Api<Job>, name: &str) -> Result<(), Error> {
    let background = DeleteParams::background();
    let deleted =
        retry(format!("cannot delete the job `{name}`"), || async { found(jobs.delete(name, &background).await) });
    deleted.await.map(drop)
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        let (Ok(runtime), false) = (Handle::try_current(), self.removed) else { return };
        let (jobs, name) = (self.jobs.clone(), self.name.clone());
        runtime.spawn(async move {
            let _ = delete(&jobs, &name).await; // nobody is left to tell; its own limits end it
        });
    }
}
