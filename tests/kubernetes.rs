//! A platform in a real cluster: set up, hurt in every way, removed; and removed when its maker is gone.
//!
//! The cluster is the one that `LIFEBOAT_TEST_KUBECONFIG` names; without it these tests say so and pass, unless
//! `LIFEBOAT_TEST_CLUSTER=require`.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/notes.rs"]
mod notes;
#[path = "support/places.rs"]
mod places;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolume, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use lifeboat::client::mlflow::Mlflow;
use lifeboat::client::{Trouble, s3};
use lifeboat::clock::Clock;
use lifeboat::engine::ENGINES;
use lifeboat::environment::{Environment, Lent, Permission, Place, kubernetes};
use lifeboat::kind::pick;
use lifeboat::model::Verdict;
use lifeboat::{node, store};
use notes::Notes;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

struct Stage {
    place: Box<dyn Place>,
    lent: Lent,
    notes: Arc<Notes>,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new(name: &str, settings: &str) -> Option<Self> {
        let kubeconfig = places::kubeconfig()?;
        let folder = tempfile::tempdir().unwrap();
        let place = place(&kubeconfig, settings);
        let lent = Lent { run: format!("{name}-{:04x}", rand::random::<u16>()), folder: folder.path().into() };
        let config = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        Some(Self { place, lent, notes: Arc::default(), client, _folder: folder })
    }

    async fn provision(&self) -> Arc<dyn Environment> {
        let survey = self.place.survey(&[]).await;
        assert!(survey.problems.is_empty(), "{:?}", survey.problems);
        let (journal, started) = (Arc::clone(&self.notes), Instant::now());
        let env = self.place.provision(&self.lent, journal).await.map_err(|e| e.to_string()).unwrap();
        println!("provisioned in {:.1} s", started.elapsed().as_secs_f64());
        env
    }

    fn namespace(&self) -> String {
        format!("lifeboat-{}", self.lent.run)
    }

    async fn assert_nothing_left(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in [self.namespace(), self.namespace() + "-store"] {
            assert!(namespaces.get_opt(&name).await.unwrap().is_none(), "{name}");
        }
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        for volume in volumes.list(&ListParams::default()).await.unwrap() {
            let claim = volume.spec.unwrap().claim_ref.unwrap().namespace.unwrap();
            assert!(!claim.starts_with(&self.namespace()), "{claim}");
        }
        assert!(!store::state().join(&self.lent.run).exists());
    }
}

fn place(kubeconfig: &Path, settings: &str) -> Box<dyn Place> {
    let text = format!("{{ kubeconfig: {}, images: built, {settings} }}", kubeconfig.display());
    let mut problems = vec![];
    let place = (kubernetes::KIND.parse)(&node::parse(&text).unwrap(), &mut problems);
    place.unwrap_or_else(|| panic!("{problems:?}"))
}

async fn make_run(mlflow: &Mlflow) -> String {
    let body = json!({ "experiment_id": "0", "start_time": 1, "run_name": "x" });
    let answer = mlflow.post("runs/create", &body).await.unwrap();
    answer["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

async fn read_run(mlflow: &Mlflow, id: &str) -> Result<Value, Trouble> {
    mlflow.get("runs/get", &[("run_id", id)]).await
}

/// Waits until a run can be read, as a client does.
async fn served(mlflow: &Mlflow, id: &str) -> f64 {
    let started = Instant::now();
    while let Err(trouble) = read_run(mlflow, id).await {
        assert!(started.elapsed() < Duration::from_mins(2), "{trouble}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    started.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_survives_what_is_done_to_it_and_leaves_nothing() {
    let Some(stage) = Stage::new("test-survives", "").await else { return };
    let env = stage.provision().await;
    let hands = env.components().unwrap();
    let mlflow = Mlflow::fresh(env.doors().mlflow.as_ref().unwrap(), Duration::from_secs(3)).unwrap();
    let run = make_run(&mlflow).await;
    let path = format!("0/{run}/artifacts/a.txt");
    mlflow.put_artifact(&path, b"bytes".to_vec()).await.unwrap();
    let objects = env.objects().unwrap();
    let keys = s3::list(objects.s3(), objects.bucket(), objects.prefix()).await.unwrap();
    assert_eq!(keys, [(format!("{}/{path}", objects.prefix()), 5)]);

    for component in ["mlflow", "postgres", "s3"] {
        let before = hands.instance(component).await.unwrap().unwrap();
        assert_eq!(hands.alive(component).await.verdict, Verdict::Met);
        hands.kill(component).await.unwrap();
        assert_ne!(hands.instance(component).await.unwrap().as_ref(), Some(&before));
        hands.start(component).await.unwrap(); // nobody has to: the cluster starts it again by itself
        println!("{component} killed: served again after {:.1} s", served(&mlflow, &run).await);
        assert_ne!(hands.instance(component).await.unwrap().unwrap(), before);
        while hands.alive(component).await.verdict != Verdict::Met {}
    }
    assert_eq!(mlflow.artifact(&path).await.unwrap(), b"bytes");

    for component in ["postgres", "mlflow"] {
        hands.pause(component).await.unwrap();
        let alive = hands.alive(component).await;
        assert_eq!((alive.verdict, alive.reason), (Verdict::Missed, Some(format!("`{component}` is frozen"))));
        assert!(read_run(&mlflow, &run).await.is_err());
        hands.resume(component).await.unwrap();
        hands.resume(component).await.unwrap();
        served(&mlflow, &run).await;
    }
    hands.stop("mlflow").await.unwrap();
    hands.stop("postgres").await.unwrap();
    hands.stop("postgres").await.unwrap();
    assert_eq!(hands.instance("postgres").await.unwrap(), None);
    assert_eq!(hands.alive("postgres").await.verdict, Verdict::Missed);
    hands.start("postgres").await.unwrap();
    hands.start("mlflow").await.unwrap();
    hands.start("mlflow").await.unwrap();
    read_run(&mlflow, &run).await.unwrap();

    hands.pause("postgres").await.unwrap(); // and removed while frozen
    let started = Instant::now();
    assert_eq!(env.remove().await, Vec::<String>::new());
    println!("removed in {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(env.remove().await, Vec::<String>::new());
    stage.assert_nothing_left().await;
    let logs = std::fs::read_dir(stage.lent.folder.join("logs")).unwrap().count();
    assert_eq!(logs, 3, "each pod's log is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_inside_take_input_and_end_and_a_dump_goes_there_and_back() {
    let Some(stage) = Stage::new("test-exec", "").await else { return };
    let env = stage.provision().await;
    let inside = env.exec().unwrap();
    let mut cat = inside.exec("postgres", &["sh", "-c", "cat; echo bad >&2; exit 3"]).await.unwrap();
    let sent = vec![7_u8; 3 << 20];
    let writing = sent.clone();
    let writer = tokio::spawn(async move {
        cat.input.write_all(&writing).await.unwrap();
        drop(cat.input);
    });
    let mut got = vec![];
    let (read, ended) = tokio::join!(cat.output.read_to_end(&mut got), cat.ended);
    read.unwrap();
    writer.await.unwrap();
    let ended = ended.unwrap();
    assert_eq!((got == sent, ended.code, ended.said.trim()), (true, Some(3), "bad"));
    let mut deaf = inside.exec("postgres", &["true"]).await.unwrap();
    assert_eq!(deaf.ended.await.unwrap().code, Some(0));
    let broken = async { while deaf.input.write_all(&sent).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), broken).await.expect("writing to what has ended fails");

    let mlflow = Mlflow::fresh(env.doors().mlflow.as_ref().unwrap(), Duration::from_secs(10)).unwrap();
    let run = make_run(&mlflow).await;
    let sql = env.sql().unwrap();
    let client = sql.connect(sql.database()).await.unwrap();
    client
        .batch_execute("CREATE TABLE ballast AS SELECT g, repeat(md5(g::text), 20) t FROM generate_series(1, 60000) g")
        .await
        .unwrap();
    drop(client);
    let engine =
        pick("engine", ENGINES, &node::parse("builtin: { postgres: logical }").unwrap(), &mut vec![]).unwrap().it;
    let repository = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let point = engine.backup(&*env, repository.path(), "one", &Clock::start()).await.unwrap();
    println!("a dump of about 40 MB took {:.1} s", started.elapsed().as_secs_f64());
    let client = sql.connect(sql.database()).await.unwrap();
    client.batch_execute("DELETE FROM runs CASCADE; DROP TABLE ballast").await.unwrap_err();
    client.batch_execute("DROP TABLE ballast; UPDATE runs SET name = 'changed'").await.unwrap();
    drop(client);
    let started = Instant::now();
    let finding = engine.restore(&*env, repository.path(), &point).await;
    assert_eq!(finding.verdict, Verdict::Met, "{finding:?}");
    println!("its restore took {:.1} s: {:?}", started.elapsed().as_secs_f64(), finding.figures);
    served(&mlflow, &run).await;
    assert_eq!(read_run(&mlflow, &run).await.unwrap()["run"]["info"]["run_name"], "x");
    assert_eq!(env.remove().await, Vec::<String>::new());
    stage.assert_nothing_left().await;
}

/// A way to the cluster's API that can be cut.
struct Relay {
    at: SocketAddr,
    to: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    async fn new(at: &str, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new(); // which end with this task
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    if let Ok(mut there) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                    }
                });
            }
        });
        Self { at, to, task }
    }

    async fn cut(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    async fn mend(self) -> Self {
        Self::new(&self.at.to_string(), self.to).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_doors_mend_themselves_and_only_our_own_failures_are_counted() {
    let Some(mut stage) = Stage::new("test-forward", "").await else { return };
    let config = Kubeconfig::read_from(places::kubeconfig().unwrap()).unwrap();
    let api = config.clusters[0].cluster.as_ref().unwrap().server.clone().unwrap();
    let to: SocketAddr = api.trim_start_matches("https://").trim_end_matches('/').parse().unwrap();
    let mut relay = Relay::new("127.0.0.1:0", to).await;
    let kubeconfig = changed(|config| {
        config["clusters"][0]["cluster"]["server"] = json!(format!("https://{}", relay.at));
        config["clusters"][0]["cluster"]["tls-server-name"] = json!(to.ip());
    });
    stage.place = place(kubeconfig.path(), "doors: forward");
    let env = stage.provision().await;
    let door = env.doors().mlflow.clone().unwrap();
    assert!(door.starts_with("http://127.0.0.1:"), "{door}");
    let mlflow = Mlflow::fresh(&door, Duration::from_secs(3)).unwrap();
    let run = make_run(&mlflow).await;
    let before = env.stumbles();
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), &stage.namespace());
    let of_mlflow = ListParams::default().labels("app.kubernetes.io/component=mlflow");
    pods.delete_collection(&DeleteParams::default().grace_period(0), &of_mlflow).await.unwrap();
    let hands = env.components().unwrap();
    hands.start("mlflow").await.unwrap();
    println!("replaced and forwarded again after {:.1} s", served(&mlflow, &run).await);
    hands.stop("mlflow").await.unwrap();
    assert!(read_run(&mlflow, &run).await.is_err());
    assert_eq!(env.stumbles(), before, "that was the platform's outage");
    hands.start("mlflow").await.unwrap();
    relay.cut().await;
    assert!(read_run(&mlflow, &run).await.is_err());
    assert!(env.stumbles() > before, "that was ours");
    let _relay = relay.mend().await;
    served(&mlflow, &run).await;
    assert_eq!(env.remove().await, Vec::<String>::new());
    stage.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_runs_platform_is_found_and_removed_by_its_receipts_alone() {
    let Some(stage) = Stage::new("test-dead", "").await else { return };
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    let other: Namespace =
        serde_json::from_value(json!({ "metadata": { "generateName": "lifeboat-other-" } })).unwrap();
    let other = namespaces.create(&PostParams::default(), &other).await.unwrap().metadata.name.unwrap();
    let config: Api<ConfigMap> = Api::namespaced(stage.client.clone(), &other);
    let precious = serde_json::from_value(json!({ "metadata": { "name": "precious" } })).unwrap();
    config.create(&PostParams::default(), &precious).await.unwrap();

    let env = stage.provision().await;
    env.components().unwrap().pause("mlflow").await.unwrap();
    let door = env.doors().mlflow.clone().unwrap();
    std::mem::forget(env);
    let mut receipts = stage.notes.0.lock().unwrap().clone();
    assert!(!json!(receipts).to_string().contains("password"));
    let found = stage.place.open(&stage.lent, &receipts).await.unwrap().unwrap();
    found.components().unwrap().resume("mlflow").await.unwrap();
    let mlflow = Mlflow::fresh(&door, Duration::from_secs(3)).unwrap();
    make_run(&mlflow).await;
    let sql = found.sql().unwrap();
    assert_eq!(sql.connect("mlflow").await.unwrap().query("select 1 from runs", &[]).await.unwrap().len(), 1);

    let mut forged = receipts[0].clone();
    forged.0["namespace"] = json!(other);
    receipts.push(forged);
    let left = stage.place.remove(&stage.lent, &receipts).await;
    assert!(left.len() == 1 && left[0].contains(&other) && left[0].contains("so it stays"), "{left:?}");
    receipts.pop();
    assert_eq!(stage.place.remove(&stage.lent, &receipts).await, Vec::<String>::new());
    stage.assert_nothing_left().await;
    assert!(config.get_opt("precious").await.unwrap().is_some(), "what is not ours stays");
    namespaces.delete(&other, &DeleteParams::default()).await.unwrap();
}

/// An account that may do what the role in `deploy/rbac` says; it goes with this value's `remove`.
struct Account {
    client: Client,
    name: String,
    kubeconfig: tempfile::NamedTempFile,
}

impl Account {
    async fn new(stage: &Stage, role: &Value) -> Self {
        let (client, name) = (stage.client.clone(), stage.lent.run.clone());
        let made = PostParams::default();
        let (roles, bindings): (Api<ClusterRole>, Api<ClusterRoleBinding>) =
            (Api::all(client.clone()), Api::all(client.clone()));
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        let mut role = role.clone();
        role["metadata"] = json!({ "name": name });
        roles.create(&made, &serde_json::from_value(role).unwrap()).await.unwrap();
        let account = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        accounts.create(&made, &account).await.unwrap();
        let binding = json!({ "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": "default" }] });
        bindings.create(&made, &serde_json::from_value(binding).unwrap()).await.unwrap();
        let request = serde_json::from_value(json!({ "metadata": {}, "spec": { "audiences": [] } })).unwrap();
        let token = accounts.create_token_request(&name, &made, &request).await.unwrap().status.unwrap().token;
        Self { client, name, kubeconfig: with_token(&token) }
    }

    async fn remove(self) {
        let (roles, bindings): (Api<ClusterRole>, Api<ClusterRoleBinding>) =
            (Api::all(self.client.clone()), Api::all(self.client.clone()));
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "default");
        bindings.delete(&self.name, &DeleteParams::default()).await.unwrap();
        roles.delete(&self.name, &DeleteParams::default()).await.unwrap();
        accounts.delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}

/// The test cluster's kubeconfig with somebody else's token.
fn with_token(token: &str) -> tempfile::NamedTempFile {
    changed(|config| config["users"][0]["user"] = json!({ "token": token }))
}

fn changed(change: impl Fn(&mut Value)) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(places::kubeconfig().unwrap()).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    change(&mut config);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    file
}

fn role() -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(include_str!("../deploy/rbac/role.yaml")).unwrap();
    documents.into_iter().find(|document| document["kind"] == "ClusterRole").unwrap()
}

fn without(role: &mut Value, verb: &str, resource: &str) {
    let rules = role["rules"].as_array_mut().unwrap();
    let rule = rules.iter().position(|r| r["resources"].as_array().unwrap().contains(&json!(resource))).unwrap();
    let mut rest = rules[rule].clone();
    rest["resources"] = json!([resource]);
    rest["verbs"].as_array_mut().unwrap().retain(|v| v != verb);
    rules[rule]["resources"].as_array_mut().unwrap().retain(|r| r != resource);
    rules.push(rest);
    rules.retain(|r| !r["resources"].as_array().unwrap().is_empty() && !r["verbs"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_is_enough_and_each_permission_it_lacks_is_named() {
    let Some(mut stage) = Stage::new("test-role", "").await else { return };
    let mut less = role();
    without(&mut less, "patch", "statefulsets/scale");
    without(&mut less, "get", "pods/exec");
    without(&mut less, "list", "persistentvolumes");
    let account = Account::new(&stage, &less).await;
    let survey = place(account.kubeconfig.path(), "").survey(&[Permission::within("list", "", "pods")]).await;
    let mut refused: Vec<&str> = survey.problems.iter().map(|problem| problem.split(';').next().unwrap()).collect();
    refused.sort_unstable();
    let expected = [
        "you may not get pods/exec",
        "you may not list persistentvolumes of the cluster",
        "you may not patch statefulsets/scale.apps",
    ];
    assert_eq!(refused, expected);
    account.remove().await;

    let account = Account::new(&stage, &role()).await;
    stage.place = place(account.kubeconfig.path(), "doors: forward");
    let survey = stage.place.survey(&[Permission::within("delete", "", "configmaps")]).await;
    assert_eq!(survey.problems.len(), 1, "{:?}", survey.problems);
    assert!(survey.problems[0].starts_with("you may not delete configmaps;"), "{:?}", survey.problems);
    let env = stage.provision().await;
    let hands = env.components().unwrap();
    hands.pause("s3").await.unwrap();
    hands.resume("s3").await.unwrap();
    hands.stop("s3").await.unwrap();
    hands.start("s3").await.unwrap();
    let receipts = stage.notes.0.lock().unwrap().clone();
    assert!(stage.place.open(&stage.lent, &receipts).await.unwrap().is_some());
    assert_eq!(env.remove().await, Vec::<String>::new());
    stage.assert_nothing_left().await;
    account.remove().await;
}

#[tokio::test]
async fn a_cluster_that_cannot_be_used_is_told_plainly() {
    let Some(kubeconfig) = places::kubeconfig() else { return };
    let said = async |kubeconfig: &Path, settings: &str| place(kubeconfig, settings).survey(&[]).await.problems;
    assert_eq!(said(&kubeconfig, "").await, Vec::<String>::new());
    let problems = said(&kubeconfig, "context: nowhere").await;
    assert!(problems.len() == 1 && problems[0].contains("no context `nowhere` (known: "), "{problems:?}");
    let problems = said(Path::new("/nowhere/config"), "").await;
    assert!(problems.len() == 1 && problems[0].contains("cannot read the kubeconfig"), "{problems:?}");
    let problems = said(with_token("expired").path(), "").await;
    assert!(problems.len() == 1 && problems[0].contains("log in again"), "{problems:?}");
    let closed = changed(|config| config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1"));
    let problems = said(closed.path(), "").await;
    assert!(problems.len() == 1 && problems[0].contains("does the cluster run"), "{problems:?}");
    let problems = said(&kubeconfig, "storage_class: golden").await;
    assert!(problems.len() == 1 && problems[0].contains("no storage class `golden`; known: "), "{problems:?}");
    let survey = place(&kubeconfig, "").survey(&[]).await;
    let nodes = survey.inventory.unwrap().kind("node").count();
    assert!(nodes >= 1 && survey.facts["nodes"].contains("node1"), "{:?}", survey.facts);
}
