//! Jobs of the user's own on a real cluster: run to their end with their logs kept, and told why when they fail.
//!
//! The cluster is the one that `LIFEBOAT_TEST_KUBECONFIG` names; without it this says so and passes, unless
//! `LIFEBOAT_TEST_CLUSTER=require`. There is no platform: a namespace is all that a job needs.

use crate::{services, steps};
use async_trait::async_trait;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::core::DynamicObject;
use lifeboat::client::Error;
use lifeboat::client::kubernetes::{NamespaceClient, RUN, pods::running};
use lifeboat::clock::{Clock, Moment};
use lifeboat::engine::{ENGINES, EngineContext, Goal};
use lifeboat::environment::{Cluster, Endpoints, Platform};
use lifeboat::kind::pick;
use lifeboat::model::{Finding, Verdict};
use lifeboat::node::parse;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A namespace and nothing else; it goes with this value.
struct Bare {
    namespace: NamespaceClient,
    folder: tempfile::TempDir,
    endpoints: Endpoints,
}

#[async_trait]
impl Platform for Bare {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
    fn cluster(&self) -> Result<&dyn Cluster, Error> {
        Ok(self)
    }
    async fn remove(&self) -> Vec<String> {
        vec![]
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let namespaces: Api<Namespace> = self.namespace.everywhere();
        let remove = async { namespaces.delete(&self.namespace.name, &DeleteParams::default()).await };
        let removed = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(remove));
        drop(removed.map_err(|error| eprintln!("`{}` is left: {error}", self.namespace.name)));
    }
}

impl Cluster for Bare {
    fn namespace(&self) -> &NamespaceClient {
        &self.namespace
    }
    fn manifests(&self) -> &[DynamicObject] {
        &[]
    }
    fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }
    fn carried(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

impl Bare {
    async fn make() -> Option<Self> {
        let client = services::cluster().await?;
        let namespace = format!("lifeboat-test-job-{:04x}", rand::random::<u16>());
        let made = serde_json::from_value(json!({ "metadata": { "name": namespace } })).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &made).await.unwrap();
        let labels = [(RUN.to_owned(), namespace.clone())].into();
        let namespace = NamespaceClient { client, name: namespace, labels };
        Some(Self { namespace, folder: tempfile::tempdir().unwrap(), endpoints: Endpoints::default() })
    }

    /// A suspended cron job whose jobs run a command.
    async fn cron_job(&self, name: &str, command: &str) {
        let made = json!({ "metadata": { "name": name }, "spec": { "schedule": "0 2 * * *", "suspend": true,
            "jobTemplate": { "spec": spec("lifeboat/postgres:15", command) } } });
        let api: Api<CronJob> = self.namespace.api();
        api.create(&PostParams::default(), &serde_json::from_value(made).unwrap()).await.unwrap();
    }

    /// A manifest of a job that runs a command.
    fn manifest(&self, name: &str, image: &str, command: &str) -> PathBuf {
        let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
            "spec": spec(image, command) });
        let path = self.folder.path().join(format!("{name}.yaml"));
        std::fs::write(&path, job.to_string()).unwrap();
        path
    }

    async fn carry_out(&self, written: &str) -> Finding {
        steps::carry_out(self, self.folder.path(), written).await
    }

    async fn missed(&self, written: &str) -> String {
        let finding = self.carry_out(written).await;
        assert_eq!(finding.verdict, Verdict::Missed, "{written}: {finding:?}");
        assert_eq!(self.jobs().await, Vec::<String>::new(), "{written}: it is removed");
        finding.reason.unwrap()
    }

    async fn jobs(&self) -> Vec<String> {
        let api: Api<Job> = self.namespace.api();
        let jobs = api.list(&ListParams::default()).await.unwrap();
        jobs.iter().filter(|job| job.metadata.deletion_timestamp.is_none()).map(ResourceExt::name_any).collect()
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.logs().join(format!("job-{name}.log"))).unwrap()
    }
}

fn spec(image: &str, command: &str) -> Value {
    let container = json!({ "name": "main", "image": image, "command": ["bash", "-c", command] });
    let pod = json!({ "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container] });
    json!({ "backoffLimit": 0, "template": { "spec": pod } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_jobs_job_runs_and_its_log_is_kept() {
    let Some(bare) = Bare::make().await else { return };
    bare.cron_job("dump", "echo dumping; echo the run is $WHICH").await;
    let finding = bare.carry_out("job: { cron_job: dump, env: { WHICH: mine } }").await;
    assert_eq!(finding, Finding::met());
    let log = bare.log("dump");
    assert!(log.contains("/main] dumping\n") && log.contains("/main] the run is mine\n"), "{log}");
    assert_eq!(bare.jobs().await, Vec::<String>::new(), "it is removed");
    let none = bare.carry_out("job: { cron_job: dmup }").await;
    assert_eq!(none.verdict, Verdict::Unknown);
    assert!(none.reason.unwrap().contains("cannot read the cron job `dmup`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_end_well_is_told_and_leaves_nothing() {
    let Some(bare) = Bare::make().await else { return };
    let step = |path: PathBuf, within: &str| format!("job: {{ manifest: {}, within: {within} }}", path.display());
    let built = "lifeboat/postgres:15";

    // On one stream: which of two is read first, nobody knows.
    let fails = bare.manifest("fails", built, "exec >&2; echo some; echo no space left; exit 3");
    let said = bare.missed(&step(fails, "1m")).await;
    assert!(said.contains("job `fails`: it failed: BackoffLimitExceeded"), "{said}");
    assert!(said.ends_with("its log ends: no space left"), "{said}");
    assert!(bare.log("fails").contains("/main] some\n"), "{}", bare.log("fails"));

    // With `OnFailure` its pod goes at the moment of its failure, and takes the log along.
    let gone = bare.manifest("gone", built, "echo gone with its pod; exit 1");
    let text = std::fs::read_to_string(&gone).unwrap();
    std::fs::write(&gone, text.replace("\"Never\"", "\"OnFailure\"")).unwrap();
    let said = bare.missed(&step(gone, "1m")).await;
    assert!(said.ends_with("its log ends: gone with its pod"), "{said}");

    let imageless = bare.manifest("imageless", "127.0.0.1:1/no/such:image", "true");
    let said = bare.missed(&step(imageless, "1m")).await;
    assert!(said.contains("ImagePullBackOff") && said.contains("no/such:image"), "{said}");

    let endless = bare.manifest("endless", built, "echo still here; exec sleep 600");
    let said = bare.missed(&step(endless, "8s")).await;
    assert!(said.contains("it was not done within 8s: pod `endless-"), "{said}");
    assert!(said.contains("is Running; its log ends: still here"), "{said}");
    let pods: Api<Pod> = bare.namespace.api();
    let pods = pods.list(&ListParams::default()).await.unwrap();
    assert_eq!(pods.iter().find(|pod| running(pod)), None, "nothing acts any more");

    let unknown = bare.manifest("homeless", built, "true");
    let text = std::fs::read_to_string(&unknown).unwrap();
    let homeless = text.replace("\"restartPolicy\"", "\"nodeSelector\":{\"no\":\"node\"},\"restartPolicy\"");
    std::fs::write(&unknown, homeless).unwrap();
    let said = bare.missed(&step(unknown, "3s")).await;
    assert!(said.contains("is on no node: 0/"), "{said}");

    let quota = json!({ "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } } });
    let quotas: Api<ResourceQuota> = bare.namespace.api();
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await; // until the quota is in force
    let said = bare.missed(&step(bare.manifest("poor", built, "true"), "5s")).await;
    assert!(said.contains("it has no pod") && said.contains("exceeded quota: none"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_dropped_in_the_middle_is_removed() {
    let Some(bare) = Bare::make().await else { return };
    bare.cron_job("endless", "exec sleep 600").await;
    let dropped = tokio::time::timeout(Duration::from_secs(4), bare.carry_out("job: { cron_job: endless }")).await;
    assert!(dropped.is_err());
    for _ in 0..50 {
        if bare.jobs().await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bare.jobs().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_of_jobs_tells_each_job_its_point_and_dates_it_at_the_end() {
    let Some(bare) = Bare::make().await else { return };
    bare.cron_job("dump", "echo dumped $LIFEBOAT_POINT").await;
    bare.cron_job("tar", "echo packed $LIFEBOAT_POINT").await;
    bare.cron_job("back", "echo restored $LIFEBOAT_POINT").await;
    bare.cron_job("broken", "echo disk full; exit 1").await;
    let (bare, clock) = (Arc::new(bare), Clock::start());
    let repository = bare.folder.path().join("points");
    std::fs::create_dir(&repository).unwrap();
    let open = async |text: &str| {
        let engine = pick("engine", ENGINES, &parse(text).unwrap(), &mut vec![]).unwrap();
        let platform = Arc::clone(&bare) as Arc<dyn Platform>;
        let context = EngineContext {
            platform,
            folder: repository.clone(),
            clock,
            known: vec![],
            reader: None,
            repository: None,
        };
        engine.open(context).await.unwrap()
    };
    let two = "job: { backup: [{ cron_job: dump }, { cron_job: tar, delay: 2s }], restore: { cron_job: back } }";
    let good = open(two).await;
    let point = good.backup("0001").await.unwrap();
    assert_eq!(point.id, format!("{}-0001", bare.namespace.name), "no other run has it");
    assert!(point.snapshot <= clock.now() && point.snapshot > Moment::at(2.0), "{point:?}");
    let plan = good.plan(&Goal::Latest(None)).await.unwrap();
    let restored = good.restore(&plan).await;
    assert_eq!(restored.verdict, Verdict::Met, "{restored:?}");
    assert_eq!(restored.figures[0].0, "skew of dump and tar");
    for (log, said) in [("dump", "dumped"), ("tar", "packed"), ("back", "restored")] {
        assert!(bare.log(log).ends_with(&format!("/main] {said} {}\n", point.id)), "{}", bare.log(log));
    }
    let bad = open("job: { backup: { cron_job: broken }, restore: { cron_job: broken } }").await;
    let error = bad.backup("0002").await.unwrap_err();
    assert!(error.why.ends_with("its log ends: disk full"), "{error}");
    assert!(bad.points().await.unwrap().is_empty());
    assert_eq!(bad.restore(&plan).await.verdict, Verdict::Missed);
}
