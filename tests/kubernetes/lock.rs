//! The identity lock on a standing platform in a real cluster: what was not opted in, or is not what was meant, is refused
//! with 7 and not touched; what was is broken, mended and left standing.

use crate::notes::Notes;
use crate::services;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use lifeboat::environment::{Environment, Platform, RunContext, kubernetes};
use lifeboat::model::{Fact, Phase};
use lifeboat::{node, store};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

const DRILL: &str = "drill: opted-in\nscenario: ./crash.yaml\nenvironment: { kubernetes: {} }\nscale: 0.02\n\
    protect: { engine: { builtin: { postgres: logical } }, every: 3s }\n\
    workload: { mlflow: { runs: 2/s, artifacts: 1/s } }\n\
    probes: [mlflow: { depth: read, every: 200ms, timeout: 10s }]\nchecks: [sql-integrity]\n\
    limits: { baseline: 4s }\nstable: 1s\n";
const CRASH: &str =
    "scenario: crash\nfaults: [kill: { component: mlflow }]\nrecovery: [start: { component: mlflow }]\n";
const LOST: &str = "scenario: lost\nfaults: [disk-lost: { component: postgres }]\nrecovery:\n\
    - stop: { component: mlflow }\n- start: { component: postgres }\n- restore: {}\n- start: { component: mlflow }\n";
const TOKEN: &str = "lifeboat.dev/drill-token";

/// A platform that stands, as somebody else's would, and a folder with a drill.
struct Standing {
    client: Client,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
    environment: Box<dyn Environment>,
    run_context: RunContext,
    notes: Arc<Notes>,
    platform: Arc<dyn Platform>,
}

impl Standing {
    async fn new() -> Option<Self> {
        let (kubeconfig, client) = (services::kubeconfig()?, services::cluster().await?);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("opted-in.yaml"), DRILL).unwrap();
        fs::write(folder.path().join("bare.yaml"), DRILL.replace("protect:", "# protect:")).unwrap();
        fs::write(folder.path().join("crash.yaml"), CRASH).unwrap();
        let lost = DRILL.replace("./crash.yaml", "./disk.yaml").replace("baseline: 4s", "baseline: 10s");
        fs::write(folder.path().join("lost.yaml"), lost).unwrap();
        fs::write(folder.path().join("disk.yaml"), LOST).unwrap();
        let settings = format!("{{ images: built, kubeconfig: {} }}", kubeconfig.display());
        let environment = (kubernetes::KIND.parse)(&node::parse(&settings).unwrap(), &mut vec![]).unwrap();
        let run_context =
            RunContext { run: format!("standing-{:04x}", rand::random::<u16>()), folder: folder.path().into() };
        let notes = Arc::<Notes>::default();
        let platform =
            environment.provision(&run_context, Arc::clone(&notes) as _).await.map_err(|e| e.to_string()).unwrap();
        Some(Self { client, kubeconfig, folder, environment, run_context, notes, platform })
    }

    fn namespace(&self) -> String {
        format!("lifeboat-{}", self.run_context.run)
    }

    /// The environment of a drill that attaches here: the namespace, the token, and four fingerprints.
    fn attach(&self, namespace: &str, token: &str, [cluster, own, postgres, bucket]: [&str; 4], deny: &str) -> String {
        format!(
            "kubernetes: {{ kubeconfig: {}, attach: {{ namespace: {namespace}, store: {}-store, token: {token}, \
             deny: [{deny}], fingerprints: {{ cluster: {cluster}, namespace: {own}, postgres: '{postgres}', \
             bucket: '{bucket}' }} }} }}",
            self.kubeconfig.display(),
            self.namespace(),
        )
    }

    fn start(&self, command: &str, drill: &str, environment: &str) -> Child {
        let mut lifeboat = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        lifeboat.args([command, drill, "--environment", environment]).env("LIFEBOAT_REPORTS", "reports");
        lifeboat.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        lifeboat.spawn().unwrap()
    }

    fn lifeboat(&self, command: &str, drill: &str, environment: &str) -> (Option<i32>, String) {
        told(&self.start(command, drill, environment).wait_with_output().unwrap())
    }

    #[track_caller]
    fn refused(&self, drill: &str, environment: &str, why: &str) {
        for command in ["plan", "run"] {
            let (code, said) = self.lifeboat(command, drill, environment);
            assert_eq!(code, Some(7), "{command}: {said}");
            assert!(said.contains(why), "{command}: `{why}` is not in:\n{said}");
        }
    }

    /// The pods and how often their containers were started: what changes with any harm.
    async fn state(&self) -> Vec<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace());
        let pods = pods.list(&ListParams::default()).await.unwrap().items;
        let starts = |pod: &Pod| {
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
            statuses.unwrap_or_default().iter().map(|status| status.restart_count).sum::<i32>()
        };
        pods.iter().map(|pod| format!("{} {} {}", pod.name_any(), pod.uid().unwrap_or_default(), starts(pod))).collect()
    }

    async fn opt_in(&self, token: Option<&str>) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({ "metadata": { "labels": { TOKEN: token } } }));
        namespaces.patch(&self.namespace(), &PatchParams::default(), &patch).await.unwrap();
    }

    /// The facts of the newest run.
    fn facts(&self) -> Vec<Fact> {
        let runs = store::runs(&self.folder.path().join("reports"));
        let lines = runs.last().map(|run| store::read_timeline(run).unwrap_or_default()).unwrap_or_default();
        lines.into_iter().map(|line| line.fact).collect()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let receipts = self.notes.0.lock().unwrap().clone();
        let left = async { self.environment.remove(&self.run_context, &receipts).await };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(left));
    }
}

fn told(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// What `lifeboat plan` found of a fingerprint.
fn found<'a>(said: &'a str, name: &str) -> &'a str {
    let rest = said.split(&format!("fingerprint {name}: ")).nth(1).unwrap_or_else(|| panic!("{name}: {said}"));
    rest.lines().next().unwrap().trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_platform_that_was_opted_in_and_meant_is_touched() {
    let Some(standing) = Standing::new().await else { return };
    let (own, token) = (standing.namespace(), standing.run_context.run.clone());
    let (code, said) =
        standing.lifeboat("plan", "opted-in.yaml", &standing.attach(&own, &token, ["x", "x", "x", "x"], ""));
    assert_eq!(code, Some(7), "{said}");
    let names = ["cluster", "namespace", "postgres", "bucket"];
    let right = names.map(|name| found(&said, name));
    let run_context = standing.attach(&own, &token, right, "");
    let (code, said) = standing.lifeboat("plan", "opted-in.yaml", &run_context);
    assert_eq!(code, Some(0), "{said}");

    let before = standing.state().await;
    for (index, name) in names.iter().enumerate() {
        let mut wrong = right;
        wrong[index] = "another";
        let environment = standing.attach(&own, &token, wrong, "");
        standing.refused("opted-in.yaml", &environment, &format!("the fingerprint `{name}` is"));
        let environment = standing.attach(&own, &token, right, &format!("'{}'", right[index]));
        standing.refused("opted-in.yaml", &environment, "is on the deny list");
    }
    standing.refused("opted-in.yaml", &standing.attach(&own, "other", right, ""), "not as `other`");
    let store = format!("{own}-store");
    standing.refused("opted-in.yaml", &standing.attach(&store, &token, right, ""), "the fingerprint `namespace` is");
    standing.refused("bare.yaml", &run_context, "what is broken could not be mended");
    standing.opt_in(None).await;
    standing.refused("opted-in.yaml", &run_context, "carries no drill token");
    standing.opt_in(Some(&token)).await;
    assert_eq!(standing.state().await, before, "nothing was touched");

    let run = standing.start("run", "opted-in.yaml", &run_context);
    while !standing.facts().contains(&Fact::Phase(Phase::Baseline)) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    standing.opt_in(None).await;
    let (code, said) = told(&tokio::task::block_in_place(|| run.wait_with_output()).unwrap());
    assert_eq!(code, Some(7), "{said}");
    assert!(!standing.facts().iter().any(|fact| matches!(fact, Fact::Intended { .. })), "no intent, no harm");
    assert_eq!(standing.state().await, before, "nothing was touched");

    standing.opt_in(Some(&token)).await;
    let (code, said) = standing.lifeboat("run", "opted-in.yaml", &run_context);
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(standing.state().await, before, "this time it was");
    standing.platform.sql().unwrap().connect("mlflow").await.unwrap(); // and it stands

    let (code, said) = standing.lifeboat("run", "lost.yaml", &run_context);
    assert_eq!(code, Some(0), "{said}");
    standing.refused("opted-in.yaml", &run_context, "the fingerprint `postgres` is"); // its disk is another, by our own hand
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_made_anew_under_the_same_name_is_another_one() {
    let (Some(kubeconfig), Some(client)) = (services::kubeconfig(), services::cluster().await) else { return };
    let namespaces: Api<Namespace> = Api::all(client);
    let name = format!("lock-{:04x}", rand::random::<u16>());
    let body = json!({ "metadata": { "name": name, "labels": { TOKEN: "mine" } } });
    let body: Namespace = serde_json::from_value(body).unwrap();
    let first = namespaces.create(&PostParams::default(), &body).await.unwrap().uid().unwrap();
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    while namespaces.get_opt(&name).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let second = namespaces.create(&PostParams::default(), &body).await.unwrap().uid().unwrap();

    let settings = format!(
        "{{ kubeconfig: {}, attach: {{ namespace: {name}, store: {name}, token: mine, \
         fingerprints: {{ cluster: x, namespace: {first}, postgres: x, bucket: x }} }} }}",
        kubeconfig.display()
    );
    let environment = (kubernetes::KIND.parse)(&node::parse(&settings).unwrap(), &mut vec![]).unwrap();
    let refusals = environment.survey(&[]).await.refusals;
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    let said = format!("the fingerprint `namespace` is {second}, not {first}");
    assert!(refusals.contains(&said), "{refusals:?}");
}
