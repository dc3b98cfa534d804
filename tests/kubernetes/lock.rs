//! The identity lock on a standing platform in a real cluster: what was not opted in in every part, or is not what was
//! meant, is refused with 7 and not touched; and so is what could not be mended.

use crate::services;
use crate::standing::{Part, Standing, TOKEN, differences, told};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use lifeboat::environment::kubernetes;
use lifeboat::model::{Fact, Phase};
use lifeboat::node;
use serde_json::json;
use std::time::Duration;

const CRASH: &str = "faults: [kill: { component: mlflow }]\nrecovery: [start: { component: mlflow }]\n";
const DROP: &str = "faults: [database-drop: {}]\nrecovery: [stop: { component: mlflow }, restore: {}, \
    start: { component: mlflow }]\n";
const NAMES: [&str; 6] = ["cluster", "namespace", "store", "postgres", "database", "bucket"];

#[tokio::test(flavor = "multi_thread")]
async fn only_the_platform_that_was_opted_in_and_meant_is_touched() {
    let Some(standing) = Standing::new("lock", 1).await else { return };
    standing.write("crash", &|drill| drill, CRASH);
    standing.write("slow", &|drill| drill.replace("baseline: 4s", "baseline: 30s"), CRASH);
    let (store, right) = (standing.store(), standing.fingerprints("crash.yaml"));
    let environment = standing.attach(&store, &right, "");
    let (code, said) = standing.lifeboat(&["plan", "crash.yaml"], &environment);
    assert_eq!(code, Some(0), "{said}");

    let (before, pods) = (standing.state().await, standing.pods().await);
    for (index, name) in NAMES.iter().enumerate() {
        let mut wrong = right.clone();
        wrong[index] = "another".into();
        let environment = standing.attach(&store, &wrong, "");
        standing.refused("crash.yaml", &environment, &format!("the fingerprint `{name}` is"));
        let environment = standing.attach(&store, &right, &format!("'{}'", right[index]));
        standing.refused("crash.yaml", &environment, "is on the deny list");
    }
    for part in [Part::Namespace, Part::Store, Part::Database, Part::Bucket] {
        standing.opt_in(part, false).await;
        standing.refused("crash.yaml", &environment, "carries no drill token");
        standing.opt_in(part, true).await;
    }
    let other = environment.replace(&format!("token: {}", standing.token()), "token: other");
    standing.refused("crash.yaml", &other, "not as `other`");
    irreplaceable(&standing, &environment);
    another_store(&standing, &right).await;

    let mut run = standing.start(&["run", "slow.yaml"], &environment);
    standing.until(&mut run, "the baseline", |fact| *fact == Fact::Phase(Phase::Baseline)).await;
    standing.refused("crash.yaml", &environment, "is going on there");
    standing.opt_in(Part::Bucket, false).await;
    let (code, said) = told(&tokio::task::block_in_place(|| run.wait_with_output()).unwrap());
    assert_eq!(code, Some(7), "{said}");
    assert!(!standing.facts().iter().any(|fact| matches!(fact, Fact::Intended { .. })), "no intent, no harm");
    standing.opt_in(Part::Bucket, true).await;
    assert_eq!(standing.pods().await, pods, "nothing was touched");
    assert_eq!(differences(&before, &standing.state().await), Vec::<String>::new(), "nothing was left");
    drop(standing.platform.sql().unwrap().connect("mlflow").await.unwrap()); // and it stands
}

/// A drill's name, what its file has of its own, its scenario, and why it is refused.
type Case<'a> = (&'a str, &'a dyn Fn(String) -> String, &'a str, &'a str);

/// What could not be mended is refused, each with its reason.
fn irreplaceable(standing: &Standing, environment: &str) {
    let same = |drill: String| drill;
    let cases: [Case; 6] = [
        (
            "namespace",
            &same,
            "faults: [namespace-removed: {}]\nrecovery: [restore: {}]\n",
            "takes the resources of a standing platform, and nothing would bring it back: the engine `builtin` covers \
             database",
        ),
        (
            "secret",
            &same,
            "faults: [config-lost: { secret: platform }]\nrecovery: [restore: {}]\n",
            "takes the resources",
        ),
        ("no-runbook", &same, "faults: [database-drop: {}]\nrecovery: []\n", "no step of the runbook restores it"),
        ("bare", &|drill| drill.replace("protect:", "# protect:"), "faults: [database-drop: {}]\n", "has no `protect`"),
        (
            "pretended",
            &|drill| {
                drill.replace("{ builtin: { postgres: logical } }", "{ command: { backup: 'true', restore: 'true' } }")
            },
            DROP,
            "the engine `command` covers nothing",
        ),
        (
            "deleted",
            &same,
            "faults: [artifacts-deleted: {}]\nrecovery: [restore: {}]\n",
            "no step undeletes the artifacts",
        ),
    ];
    for (name, drill, scenario, why) in cases {
        if name == "bare" {
            let crash = "faults: [kill: { component: mlflow }]\nrecovery: [start: { component: mlflow }]\n";
            standing.write("bare-crash", drill, crash);
            let (code, said) = standing.lifeboat(&["plan", "bare-crash.yaml"], environment);
            assert_eq!(code, Some(0), "a crash needs no way back: {said}");
        }
        let scenario =
            if scenario.contains("recovery") { scenario.to_owned() } else { format!("{scenario}recovery: []\n") };
        standing.write(name, drill, &scenario);
        standing.refused(&format!("{name}.yaml"), environment, why);
    }
    standing.write("wrong-role", &same, &DROP.replace("{}]\nrecovery", "{ component: s3 }]\nrecovery"));
    let (code, said) = standing.lifeboat(&["plan", "wrong-role.yaml"], environment);
    assert_eq!(code, Some(2), "{said}");
}

/// The right platform with another's store is another platform, and that one's store is not touched.
async fn another_store(standing: &Standing, right: &[String; 6]) {
    let Some(other) = Standing::new("other", 1).await else { return };
    let before = other.state().await;
    let environment = standing.attach(&other.store(), right, &format!("'{}'", right[2]));
    standing.refused("crash.yaml", &environment, "the fingerprint `store` is");
    standing.refused("crash.yaml", &environment, "the fingerprint `bucket` is");
    standing.refused("crash.yaml", &environment, "the bucket is opted in as");
    assert_eq!(differences(&before, &other.state().await), Vec::<String>::new());
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
    let gone = async {
        while namespaces.get_opt(&name).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), gone).await.expect("the namespace goes");
    let second = namespaces.create(&PostParams::default(), &body).await.unwrap().uid().unwrap();

    let settings = format!(
        "{{ kubeconfig: {}, attach: {{ namespace: {name}, store: {name}, token: mine, fingerprints: \
         {{ cluster: x, namespace: {first}, store: {first}, postgres: x, database: x, bucket: x }} }} }}",
        kubeconfig.display()
    );
    let environment = (kubernetes::KIND.parse)(&node::parse(&settings).unwrap(), &mut vec![]).unwrap();
    let refusals = environment.survey(&[]).await.refusals;
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    let said = format!("the fingerprint `namespace` is {second}, not {first}");
    assert!(refusals.contains(&said), "{refusals:?}");
}
