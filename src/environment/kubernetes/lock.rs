//! The identity lock: a standing platform is touched only if its owner has opted it in and it is the one that was meant.
//!
//! Opted in: its namespace carries the drill token. Meant: its fingerprints, which cannot be copied with a name, are
//! those in the drill's file. What is on the deny list is never touched. The lock is asked while planning and right
//! before each act; only then may the database or the bucket give no answer, because an earlier act may have broken it.

use super::names::{CONFIG, TOKEN};
use super::settings::{Attach, Fingerprints};
use crate::client::kubernetes::{NamespaceClient, ask, cluster_uid, found};
use crate::client::{Error, postgres};
use crate::environment::Sql;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::ResourceExt;
use std::time::Duration;
use tokio::time::timeout;

/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What was found of a platform that identifies it.
#[derive(Debug, Default)]
pub struct PlatformIdentity {
    token: Option<String>,
    /// Each fingerprint by its name in the drill's file; none where it could not be read.
    fingerprints: [(&'static str, Option<String>); 4],
}

impl PlatformIdentity {
    /// The fingerprints, for a drill's file.
    pub fn told(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fingerprints.iter().map(|(name, seen)| (*name, seen.as_deref().unwrap_or("cannot be read")))
    }
}

/// What is to be expected once this run has taken the database server's disk: a server with another identifier, but
/// still none that is denied.
pub fn with_new_server(attach: &Attach, seen: &PlatformIdentity) -> Attach {
    let mut attach = attach.clone();
    let postgres = seen.told().find(|(name, _)| *name == "postgres");
    attach.fingerprints.postgres = postgres.map(|(_, found)| found.to_owned()).unwrap_or_default();
    attach
}

/// Reads which platform it is. A namespace that is not there has neither token nor fingerprint.
pub async fn look(namespace: &NamespaceClient, sql: &dyn Sql, bucket: &str) -> Result<PlatformIdentity, Error> {
    let name = &namespace.name;
    let namespaces = namespace.everywhere::<Namespace>();
    let there = async { found(namespaces.get(name).await) };
    let there = ask(format!("cannot read the namespace `{name}`"), there).await?;
    let (cluster, postgres, bucket) =
        tokio::join!(cluster_uid(&namespace.client), system(sql), bucket_url(namespace, bucket));
    Ok(PlatformIdentity {
        token: there.as_ref().and_then(|it| it.labels().get(TOKEN).cloned()),
        fingerprints: [
            ("cluster", Some(cluster?)),
            ("namespace", there.and_then(|it| it.uid())),
            ("postgres", postgres.ok()),
            ("bucket", bucket.ok().flatten()),
        ],
    })
}

/// All reasons why it must not be touched. With `whole`, every fingerprint must be readable.
pub fn differences(attach: &Attach, seen: &PlatformIdentity, whole: bool) -> Vec<String> {
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

async fn system(sql: &dyn Sql) -> Result<String, Error> {
    let asked = async {
        let client = sql.connect("postgres").await?;
        let row = postgres::one(&client, "SELECT system_identifier::text FROM pg_control_system()").await?;
        Ok(row.get(0))
    };
    timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(Error::new("the database", "no answer in time")))
}

/// The endpoint and the bucket in the settings of the live server.
async fn bucket_url(namespace: &NamespaceClient, expected: &str) -> Result<Option<String>, Error> {
    let (maps, servers) = (namespace.api::<ConfigMap>(), namespace.api::<Deployment>());
    let map = ask("cannot read MLflow's settings", async { found(maps.get(CONFIG).await) }).await?;
    let server = ask("cannot read MLflow's workload", async { found(servers.get("mlflow").await) }).await?;
    let endpoint = map.and_then(|map| map.data?.remove("MLFLOW_S3_ENDPOINT_URL"));
    let arguments = server.and_then(|it| it.spec?.template.spec?.containers.into_iter().next()?.args);
    let arguments = arguments.unwrap_or_default();
    let bucket = arguments.iter().find_map(|argument| argument.strip_prefix("s3://"));
    let bucket = bucket.and_then(|rest| rest.split('/').next()).filter(|bucket| *bucket == expected);
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

    fn seen(token: Option<&str>, found: [Option<&str>; 4]) -> PlatformIdentity {
        let [cluster, namespace, postgres, bucket] = found.map(|it| it.map(str::to_owned));
        let fingerprints = [("cluster", cluster), ("namespace", namespace), ("postgres", postgres), ("bucket", bucket)];
        PlatformIdentity { token: token.map(str::to_owned), fingerprints }
    }

    const RIGHT: [Option<&str>; 4] = [Some("c"), Some("n"), Some("p"), Some("http://s3/b")];

    #[test]
    fn only_the_platform_that_was_opted_in_and_meant_is_touched() {
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
        assert!(differences(&with_new_server(&attach(&[]), &other), &other, false).is_empty());
        assert_eq!(differences(&with_new_server(&attach(&["other"]), &other), &other, false).len(), 1);
        let elsewhere = seen(Some("mine"), [Some("x"), Some("n"), Some("other"), Some("http://s3/b")]);
        assert_eq!(differences(&with_new_server(&attach(&[]), &elsewhere), &elsewhere, false).len(), 1);
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
