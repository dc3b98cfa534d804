//! A platform that stands, made from `deploy/platform`, with data of its owner's and opted in in every part, and the
//! program that is let loose on it.

use crate::notes::Notes;
use crate::services;
use aws_sdk_s3::types::{Tag, Tagging};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use lifeboat::client::versions;
use lifeboat::environment::{Environment, Platform, RunContext, kubernetes};
use lifeboat::model::Fact;
use lifeboat::workload::seed;
use lifeboat::{node, store};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const TOKEN: &str = "lifeboat.dev/drill-token";
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_mins(5);

const DRILL: &str = "drill: DRILL\nscenario: ./DRILL-scenario.yaml\nenvironment: { kubernetes: {} }\n\
    protect: { engine: { builtin: { postgres: logical } }, every: 3s }\n\
    workload: { mlflow: { runs: 2/s, artifacts: 1/s } }\n\
    probes: [mlflow: { depth: read, every: 200ms, timeout: 10s }, mlflow: { depth: write, every: 1s, timeout: 10s }]\n\
    checks: [mlflow-smoke, sql-integrity, contents]\nlimits: { baseline: 4s, recovery: 4m }\nstable: 1s\n";

pub struct Standing {
    pub client: Client,
    pub kubeconfig: PathBuf,
    pub folder: tempfile::TempDir,
    pub platform: Arc<dyn Platform>,
    environment: Box<dyn Environment>,
    run_context: RunContext,
    notes: Arc<Notes>,
    /// The newest run when the last command was started.
    earlier: Mutex<Option<PathBuf>>,
}

impl Standing {
    /// With `replicas` of MLflow's server.
    pub async fn new(name: &str, replicas: u16) -> Option<Self> {
        let (kubeconfig, client) = (services::kubeconfig()?, services::cluster().await?);
        let folder = tempfile::tempdir().unwrap();
        let settings =
            format!("{{ images: built, mlflow: {{ replicas: {replicas} }}, kubeconfig: {} }}", kubeconfig.display());
        let environment = (kubernetes::KIND.parse)(&node::parse(&settings).unwrap(), &mut vec![]).unwrap();
        let run = format!("{name}-{:04x}", rand::random::<u16>());
        let run_context = RunContext { run, folder: folder.path().into() };
        let notes = Arc::<Notes>::default();
        let platform =
            environment.provision(&run_context, Arc::clone(&notes) as _).await.map_err(|e| e.to_string()).unwrap();
        seed::plant(platform.as_ref(), 0.02).await.map_err(|e| e.to_string()).unwrap();
        let this =
            Self { client, kubeconfig, folder, platform, environment, run_context, notes, earlier: Mutex::default() };
        this.opt_in(Part::Database, true).await;
        this.opt_in(Part::Bucket, true).await;
        Some(this)
    }

    pub fn namespace(&self) -> String {
        format!("lifeboat-{}", self.run_context.run)
    }

    pub fn store(&self) -> String {
        self.namespace() + "-store"
    }

    /// The owner's token; the namespaces carry it from their manifests.
    pub fn token(&self) -> &str {
        &self.run_context.run
    }

    /// Gives a part its token, or takes it away.
    pub async fn opt_in(&self, part: Part, in_: bool) {
        let token = in_.then_some(self.token());
        match part {
            Part::Namespace => self.label(&self.namespace(), token).await,
            Part::Store => self.label(&self.store(), token).await,
            Part::Database => {
                let text = token.map_or("NULL".to_owned(), |token| format!("'ours; {TOKEN}={token}'"));
                let sql = self.platform.sql().unwrap().connect("postgres").await.unwrap();
                sql.batch_execute(&format!("COMMENT ON DATABASE mlflow IS {text}")).await.unwrap();
            }
            Part::Bucket => {
                let s3 = self.platform.objects().unwrap().s3();
                let Some(token) = token else {
                    s3.delete_bucket_tagging().bucket("mlflow").send().await.unwrap();
                    return;
                };
                let tag = Tag::builder().key(TOKEN).value(token).build().unwrap();
                let tags = Tagging::builder().tag_set(tag).build().unwrap();
                s3.put_bucket_tagging().bucket("mlflow").tagging(tags).send().await.unwrap();
            }
        }
    }

    async fn label(&self, namespace: &str, token: Option<&str>) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({ "metadata": { "labels": { TOKEN: token } } }));
        namespaces.patch(namespace, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Writes a drill and its scenario.
    pub fn write(&self, name: &str, drill: &dyn Fn(String) -> String, scenario: &str) {
        let scenario = format!("scenario: {name}\n{scenario}");
        fs::write(self.folder.path().join(format!("{name}-scenario.yaml")), scenario).unwrap();
        fs::write(self.folder.path().join(format!("{name}.yaml")), drill(DRILL.replace("DRILL", name))).unwrap();
    }

    /// The environment of a drill that attaches here.
    pub fn attach(&self, store: &str, fingerprints: &[String; 6], deny: &str) -> String {
        let [cluster, namespace, of_store, postgres, database, bucket] = fingerprints;
        format!(
            "kubernetes: {{ kubeconfig: {}, attach: {{ namespace: {}, store: {store}, token: {}, deny: [{deny}], \
             fingerprints: {{ cluster: '{cluster}', namespace: '{namespace}', store: '{of_store}', \
             postgres: '{postgres}', database: '{database}', bucket: '{bucket}' }} }} }}",
            self.kubeconfig.display(),
            self.namespace(),
            self.token(),
        )
    }

    /// The fingerprints as `lifeboat plan` finds them.
    pub fn fingerprints(&self, drill: &str) -> [String; 6] {
        let nothing = [""; 6].map(str::to_owned);
        let (_, said) = self.lifeboat(&["plan", drill], &self.attach(&self.store(), &nothing, ""));
        ["cluster", "namespace", "store", "postgres", "database", "bucket"].map(|name| {
            let rest = said.split(&format!("fingerprint {name}: ")).nth(1);
            rest.unwrap_or_else(|| panic!("{name}: {said}")).split_whitespace().next().unwrap().to_owned()
        })
    }

    pub fn start(&self, args: &[&str], environment: &str) -> Child {
        let mut lifeboat = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        lifeboat.args(args).env("LIFEBOAT_REPORTS", "reports").env("LIFEBOAT_ENVIRONMENT", environment);
        lifeboat.env("COLUMNS", "400");
        lifeboat.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        *self.earlier.lock().unwrap() = self.run();
        lifeboat.spawn().unwrap()
    }

    pub fn lifeboat(&self, args: &[&str], environment: &str) -> (Option<i32>, String) {
        told(&self.start(args, environment).wait_with_output().unwrap())
    }

    #[track_caller]
    pub fn refused(&self, drill: &str, environment: &str, why: &str) {
        for command in ["plan", "run"] {
            let (code, said) = self.lifeboat(&[command, drill], environment);
            assert_eq!(code, Some(7), "{command}: {said}");
            let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(why), "{command}: `{why}` is not in:\n{said}");
        }
    }

    /// The facts of the newest run.
    pub fn facts(&self) -> Vec<Fact> {
        let lines = self.run().map(|run| store::read_timeline(&run).unwrap_or_default()).unwrap_or_default();
        lines.into_iter().map(|line| line.fact).collect()
    }

    /// The folder of the newest run.
    pub fn run(&self) -> Option<PathBuf> {
        let runs = store::runs(&self.folder.path().join("reports"));
        runs.into_iter().max_by_key(|run| fs::metadata(run).and_then(|about| about.created()).ok())
    }

    /// Waits until the run that was just started has come so far.
    pub async fn until(&self, run: &mut Child, what: &str, so_far: impl Fn(&Fact) -> bool) {
        let earlier = self.earlier.lock().unwrap().clone();
        let waiting = async {
            while self.run() == earlier || !self.facts().iter().any(&so_far) {
                assert!(run.try_wait().unwrap().is_none(), "it ended before {what}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "it does not come to {what}");
    }

    /// What its users do in the database.
    pub async fn database(&self, statements: &str) {
        let sql = self.platform.sql().unwrap().connect("mlflow").await.unwrap();
        sql.batch_execute(statements).await.unwrap();
    }

    /// What of the platform has to be as it was: what people would miss, and how it is set up.
    pub async fn state(&self) -> Value {
        let sql = self.platform.sql().unwrap();
        let database = sql.connect("mlflow").await.unwrap();
        let list = async |query: &str| -> Vec<String> {
            database.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
        };
        let objects = self.platform.objects().unwrap();
        let mut versions: Vec<_> = versions::list(objects.s3(), "mlflow", "").await.unwrap();
        versions.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        let versions: Vec<_> =
            versions.iter().map(|it| format!("{} {} {} {}", it.key, it.id, it.marker, it.latest)).collect();
        let namespace = self.namespace();
        let (maps, secrets): (Api<ConfigMap>, Api<Secret>) =
            (Api::namespaced(self.client.clone(), &namespace), Api::namespaced(self.client.clone(), &namespace));
        let (deployments, sets): (Api<Deployment>, Api<StatefulSet>) =
            (Api::namespaced(self.client.clone(), &namespace), Api::namespaced(self.client.clone(), &namespace));
        json!({
            "experiments": list("SELECT experiment_id || ' ' || name FROM experiments ORDER BY 1").await,
            "runs": list("SELECT run_uuid FROM runs ORDER BY 1").await,
            "models": list("SELECT name || ' ' || version FROM model_versions ORDER BY 1").await,
            "comment": list("SELECT (shobj_description(oid, 'pg_database') LIKE '%drill-token%')::text FROM pg_database \
                             WHERE datname = 'mlflow'").await,
            "databases": list("SELECT datname::text FROM pg_database ORDER BY 1").await,
            "objects": versions,
            "mlflow": deployments.get("mlflow").await.unwrap().spec.unwrap(),
            "postgres": sets.get("postgres").await.unwrap().spec.unwrap(),
            "settings": maps.get("mlflow").await.unwrap().data,
            "secret": secrets.get("platform").await.unwrap().uid(),
        })
    }

    /// The pods and how often their containers were started: what changes with any harm.
    pub async fn pods(&self) -> Vec<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace());
        let pods = pods.list(&ListParams::default()).await.unwrap().items;
        let starts = |pod: &Pod| {
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
            statuses.unwrap_or_default().iter().map(|status| status.restart_count).sum::<i32>()
        };
        pods.iter().map(|pod| format!("{} {} {}", pod.name_any(), pod.uid().unwrap_or_default(), starts(pod))).collect()
    }
}

/// How many recovery points a run has kept.
pub fn points(run: &Path) -> usize {
    fs::read_dir(run.join("points/repository/snapshots")).map_or(0, Iterator::count)
}

/// What carries a token.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    Namespace,
    Store,
    Database,
    Bucket,
}

impl Drop for Standing {
    fn drop(&mut self) {
        let receipts = self.notes.0.lock().unwrap().clone();
        let left = async { self.environment.remove(&self.run_context, &receipts).await };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(left));
    }
}

pub fn told(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Where two states differ, for a message.
pub fn differences(before: &Value, after: &Value) -> Vec<String> {
    let keys = before.as_object().unwrap().keys();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    keys.filter(|key| before[*key] != after[*key])
        .map(|key| {
            let (old, new) = (list(&before[key]), list(&after[key]));
            let gone: Vec<_> = old.iter().filter(|it| !new.contains(it)).take(5).collect();
            let more: Vec<_> = new.iter().filter(|it| !old.contains(it)).take(5).collect();
            format!("{key}: {} before, {} after; gone {gone:?}, more {more:?}", old.len(), new.len())
        })
        .collect()
}
