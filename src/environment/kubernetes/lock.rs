//! The identity lock: a standing platform is touched only if its owner has opted it in and it is the one that was meant.
//!
//! RunContext: its namespace carries the drill token. Meant: what cannot be copied with a name is what the drill's file says
//! it is. What is on the deny list is never touched, whatever else is right. Asked while planning and again right before
//! each act; only then may the database or the bucket be silent, because an earlier act may have silenced it.

use super::cleanup;
use super::client::{ask, found};
use super::manifests::{CONFIG, TOKEN};
use super::platform::KubernetesPlatform;
use crate::client::{Error, postgres};
use crate::environment::{Cluster, Objects, Sql};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, ResourceExt};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// How long the database and the bucket may take to say who they are.
const ANSWER: Duration = Duration::from_secs(5);

/// A standing platform, installed as `deploy/platform` does it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The platform's namespace.
    pub namespace: String,
    /// The object store's namespace.
    pub store: String,
    /// The value of the namespace's label `lifeboat.dev/drill-token`: its owner lends it for drills under this name.
    pub token: String,
    /// What makes it this platform and no other; `lifeboat plan` says what it finds.
    pub fingerprints: Fingerprints,
    /// Fingerprints of what is never touched, such as production's.
    #[serde(default)]
    pub deny: Vec<String>,
}

/// What cannot be copied with a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fingerprints {
    /// The UID of the cluster's namespace `kube-system`.
    pub cluster: String,
    /// The UID of the platform's namespace.
    pub namespace: String,
    /// The database server's system identifier.
    pub postgres: String,
    /// The object store's endpoint, as MLflow is told it, a slash and the bucket.
    pub bucket: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Identity {
    token: Option<String>,
    /// Each fingerprint by its name in the drill's file; none where it could not be read.
    fingerprints: [(&'static str, Option<String>); 4],
}

impl Identity {
    /// The fingerprints, for a drill's file.
    pub fn told(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fingerprints.iter().map(|(name, seen)| (*name, seen.as_deref().unwrap_or("cannot be read")))
    }
}

impl Attach {
    /// What is to be expected once this run has taken the database server's disk: a server with another identifier, but
    /// still none that is denied.
    pub fn with_server_anew(&self, seen: &Identity) -> Self {
        let mut attach = self.clone();
        let postgres = seen.told().find(|(name, _)| *name == "postgres");
        attach.fingerprints.postgres = postgres.map(|(_, found)| found.to_owned()).unwrap_or_default();
        attach
    }
}

/// Reads who a platform is. A namespace that is not there has neither token nor fingerprint.
pub async fn look(platform: &KubernetesPlatform) -> Result<Identity, Error> {
    let name = Cluster::namespace(platform);
    let namespaces: Api<Namespace> = Api::all(platform.client.clone());
    let there = async { found(namespaces.get(name).await) };
    let there = ask(format!("cannot read the namespace `{name}`"), there).await?;
    let (cluster, postgres, bucket) =
        tokio::join!(cleanup::uid(&platform.client), system(platform), bucket(platform, name));
    Ok(Identity {
        token: there.as_ref().and_then(|it| it.labels().get(TOKEN).cloned()),
        fingerprints: [
            ("cluster", Some(cluster?)),
            ("namespace", there.and_then(|it| it.uid())),
            ("postgres", postgres.ok()),
            ("bucket", bucket.ok().flatten()),
        ],
    })
}

/// All that stands against touching it. With `whole`, everything must be readable.
pub fn differences(attach: &Attach, seen: &Identity, whole: bool) -> Vec<String> {
    let Fingerprints { cluster, namespace, postgres, bucket } = &attach.fingerprints;
    let name = &attach.namespace;
    let mut all = vec![];
    match &seen.token {
        Some(token) if *token == attach.token => {}
        Some(token) => all.push(format!("namespace `{name}` is opted in as `{token}`, not as `{}`", attach.token)),
        None => all.push(format!("namespace `{name}` carries no drill token: its owner has not opted it in ({TOKEN})")),
    }
    for (expected, (what, found)) in [cluster, namespace, postgres, bucket].into_iter().zip(&seen.fingerprints) {
        match found {
            Some(found) if attach.deny.contains(found) => {
                all.push(format!("the fingerprint `{what}` is on the deny list: {found}"));
            }
            Some(found) if found == expected => {}
            Some(found) => all.push(format!("the fingerprint `{what}` is {found}, not {expected}")),
            None if whole || *what == "namespace" => all.push(format!("the fingerprint `{what}` cannot be read")),
            None => {}
        }
    }
    all
}

async fn system(platform: &KubernetesPlatform) -> Result<String, Error> {
    let asked = async {
        let client = Sql::connect(platform, "postgres").await?;
        let row = postgres::one(&client, "SELECT system_identifier::text FROM pg_control_system()").await?;
        Ok(row.get(0))
    };
    timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(Error::new("the database", "no answer in time")))
}

/// The endpoint and the bucket, as the live server is told them.
async fn bucket(platform: &KubernetesPlatform, namespace: &str) -> Result<Option<String>, Error> {
    let maps: Api<ConfigMap> = Api::namespaced(platform.client.clone(), namespace);
    let servers: Api<Deployment> = Api::namespaced(platform.client.clone(), namespace);
    let map = ask("cannot read MLflow's settings", async { found(maps.get(CONFIG).await) }).await?;
    let server = ask("cannot read MLflow's workload", async { found(servers.get("mlflow").await) }).await?;
    let endpoint = map.and_then(|map| map.data?.remove("MLFLOW_S3_ENDPOINT_URL"));
    let arguments = server.and_then(|it| it.spec?.template.spec?.containers.into_iter().next()?.args);
    let arguments = arguments.unwrap_or_default();
    let bucket = arguments.iter().find_map(|argument| argument.strip_prefix("s3://"));
    let bucket = bucket.and_then(|rest| rest.split('/').next()).filter(|bucket| *bucket == Objects::bucket(platform));
    Ok(endpoint.zip(bucket).map(|(endpoint, bucket)| format!("{endpoint}/{bucket}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn attach(deny: &[&str]) -> Attach {
        let text = |text: &str| text.to_owned();
        Attach {
            namespace: text("dr-test"),
            store: text("dr-test-store"),
            token: text("mine"),
            fingerprints: Fingerprints {
                cluster: text("c"),
                namespace: text("n"),
                postgres: text("p"),
                bucket: text("http://s3/b"),
            },
            deny: deny.iter().map(|it| text(it)).collect(),
        }
    }

    fn seen(token: Option<&str>, found: [Option<&str>; 4]) -> Identity {
        let [cluster, namespace, postgres, bucket] = found.map(|it| it.map(str::to_owned));
        let fingerprints = [("cluster", cluster), ("namespace", namespace), ("postgres", postgres), ("bucket", bucket)];
        Identity { token: token.map(str::to_owned), fingerprints }
    }

    const RIGHT: [Option<&str>; 4] = [Some("c"), Some("n"), Some("p"), Some("http://s3/b")];

    #[test]
    fn only_the_platform_that_was_lent_and_meant_is_touched() {
        assert!(differences(&attach(&[]), &seen(Some("mine"), RIGHT), true).is_empty());
        for (token, found, said) in [
            (None, RIGHT, "carries no drill token"),
            (Some("other"), RIGHT, "opted in as `other`, not as `mine`"),
            (Some("mine"), [Some("x"), Some("n"), Some("p"), Some("http://s3/b")], "`cluster` is x, not c"),
            (Some("mine"), [Some("c"), Some("x"), Some("p"), Some("http://s3/b")], "`namespace` is x, not n"),
            (Some("mine"), [Some("c"), Some("n"), Some("x"), Some("http://s3/b")], "`postgres` is x, not p"),
            (Some("mine"), [Some("c"), Some("n"), Some("p"), Some("http://s3/x")], "`bucket` is http://s3/x"),
        ] {
            let all = differences(&attach(&[]), &seen(token, found), false);
            assert!(all.len() == 1 && all[0].contains(said), "{all:?}");
        }
    }

    #[test]
    fn the_deny_list_wins_over_all_that_is_right() {
        let all = differences(&attach(&["p"]), &seen(Some("mine"), RIGHT), true);
        assert_eq!(all, ["the fingerprint `postgres` is on the deny list: p"]);
    }

    #[test]
    fn a_server_on_a_new_disk_is_another_one_and_may_still_be_denied() {
        let other = seen(Some("mine"), [Some("c"), Some("n"), Some("other"), Some("http://s3/b")]);
        assert_eq!(differences(&attach(&[]), &other, false).len(), 1);
        assert!(differences(&attach(&[]).with_server_anew(&other), &other, false).is_empty());
        assert_eq!(differences(&attach(&["other"]).with_server_anew(&other), &other, false).len(), 1);
        let elsewhere = seen(Some("mine"), [Some("x"), Some("n"), Some("other"), Some("http://s3/b")]);
        assert_eq!(differences(&attach(&[]).with_server_anew(&elsewhere), &elsewhere, false).len(), 1);
    }

    #[test]
    fn what_an_act_may_have_silenced_must_speak_only_at_the_beginning() {
        let silent = seen(Some("mine"), [Some("c"), Some("n"), None, None]);
        assert_eq!(differences(&attach(&[]), &silent, true).len(), 2);
        assert!(differences(&attach(&[]), &silent, false).is_empty());
        let gone = seen(None, [Some("c"), None, None, None]);
        assert_eq!(differences(&attach(&[]), &gone, false).len(), 2, "no token, no namespace");
    }
}
