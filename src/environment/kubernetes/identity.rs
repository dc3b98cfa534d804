//! Reads which platform it is, from the very parts that a drill would touch: over the connection to the database, with
//! the client of the bucket, and of the namespaces by their names.
//!
//! Only MLflow's settings are read as a setting, to compare them with what is reached.

use super::lock::{PartToken, PlatformIdentity};
use super::names::{CONFIG, S3_PORT, TOKEN};
use crate::client::kubernetes::{NamespaceClient, ask, cluster_uid, found};
use crate::client::{Error, s3};
use crate::environment::{Objects, Sql};
use aws_sdk_s3::error::ProvideErrorMetadata;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

/// How long the database and the bucket may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What the database server answers: its identifier, and the database's oid and comment.
const DATABASE: &str = "SELECT (SELECT system_identifier::text FROM pg_control_system()), oid::text, \
     shobj_description(oid, 'pg_database') FROM (SELECT) one LEFT JOIN pg_database ON datname = $1";

/// The ways to the parts of a platform, as a drill uses them.
#[derive(Clone, Copy)]
pub struct Ways<'a> {
    /// To the cluster, and the platform's namespace in it.
    pub namespace: &'a NamespaceClient,
    /// To the database.
    pub sql: &'a dyn Sql,
    /// To the bucket.
    pub objects: &'a dyn Objects,
}

/// Reads what identifies the platform; a part that does not answer has neither token nor fingerprint.
pub async fn look(ways: &Ways<'_>, store: &str) -> Result<PlatformIdentity, Error> {
    let Ways { namespace, sql, objects } = *ways;
    let (cluster, own, its, database, bucket, settings) = tokio::join!(
        cluster_uid(&namespace.client),
        marked(namespace, &namespace.name),
        marked(namespace, store),
        timeout(ANSWER, Box::pin(database(sql))),
        timeout(ANSWER, Box::pin(tag(objects))),
        settings(namespace, objects.bucket()),
    );
    let ((own_token, own), (store_token, its)) = (own?, its?);
    let (server, oid, comment) = database.ok().and_then(Result::ok).unwrap_or_default();
    let database = server.as_ref().zip(oid).map(|(server, oid)| format!("{server}/{oid}"));
    let token = |comment: Option<String>| PartToken::of(comment.and_then(|comment| token_in(&comment)));
    let database_token = database.as_ref().map_or(PartToken::Silent, |_| token(comment));
    let bucket_token = bucket.ok().and_then(Result::ok).map_or(PartToken::Silent, PartToken::of);
    let reached =
        (bucket_token != PartToken::Silent).then(|| format!("http://s3.{store}:{S3_PORT}/{}", objects.bucket()));
    Ok(PlatformIdentity {
        tokens: [own_token, store_token, database_token, bucket_token],
        fingerprints: [Some(cluster?), own, its, server, database, reached],
        settings: settings.ok().flatten(),
    })
}

/// A namespace's token and UID; nothing if it is not there.
async fn marked(namespace: &NamespaceClient, name: &str) -> Result<(PartToken, Option<String>), Error> {
    let namespaces = namespace.everywhere::<Namespace>();
    let there = async { found(namespaces.get(name).await) };
    let there = ask(format!("cannot read the namespace `{name}`"), there).await?;
    let token = there.as_ref().map_or(PartToken::Silent, |it| PartToken::of(it.labels().get(TOKEN).cloned()));
    Ok((token, there.and_then(|it| it.uid())))
}

type DatabaseAnswer = (Option<String>, Option<String>, Option<String>);

async fn database(sql: &dyn Sql) -> Result<DatabaseAnswer, Error> {
    let client = sql.connect("postgres").await?;
    let row = client.query_one(DATABASE, &[&sql.database()]).await;
    let row = row.map_err(|e| Error::caused_by("cannot ask which database this is", e))?;
    Ok((row.get(0), row.get(1), row.get(2)))
}

/// The token in a database's comment, which may say more.
fn token_in(comment: &str) -> Option<String> {
    comment.split_whitespace().find_map(|word| word.strip_prefix(TOKEN)?.strip_prefix('=')).map(str::to_owned)
}

/// The bucket's token; an error if the bucket does not answer.
async fn tag(objects: &dyn Objects) -> Result<Option<String>, Error> {
    let (client, bucket) = (objects.s3(), objects.bucket());
    let tags = client.get_bucket_tagging().bucket(bucket).send().await;
    match tags {
        Ok(tags) => Ok(tags.tag_set.into_iter().find(|tag| tag.key == TOKEN).map(|tag| tag.value)),
        // S3 answers so for a bucket without any tag.
        Err(error) if error.code() == Some("NoSuchTagSet") => Ok(None),
        Err(error) => Err(s3::failure(format!("cannot read the tags of `{bucket}`"), &error)),
    }
}

/// Where the live server keeps artifacts, as its settings say: the endpoint and the bucket.
async fn settings(namespace: &NamespaceClient, expected: &str) -> Result<Option<String>, Error> {
    let (maps, servers) = (namespace.api::<ConfigMap>(), namespace.api::<Deployment>());
    let map = ask("cannot read MLflow's settings", async { found(maps.get(CONFIG).await) }).await?;
    let server = ask("cannot read MLflow's workload", async { found(servers.get("mlflow").await) }).await?;
    let endpoint = map.and_then(|map| map.data?.remove("MLFLOW_S3_ENDPOINT_URL"));
    let arguments = server.and_then(|it| it.spec?.template.spec?.containers.into_iter().next()?.args);
    let arguments = arguments.unwrap_or_default();
    let bucket = arguments.iter().find_map(|argument| argument.strip_prefix("s3://"));
    let bucket = bucket.and_then(|rest| rest.split('/').next()).unwrap_or(expected);
    Ok(endpoint.map(|endpoint| format!("{}/{bucket}", plain(&endpoint))))
}

/// An endpoint without the ends of a name that mean the same inside of a cluster.
fn plain(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    let (host, port) = endpoint.rsplit_once(':').unwrap_or((endpoint, ""));
    let host = host.trim_end_matches('.').trim_end_matches(".cluster.local").trim_end_matches(".svc");
    format!("{host}:{port}")
}

/// Puts the token on what took the place of a part that carried it.
pub async fn opt_in(ways: &Ways<'_>, fingerprint: &str, token: &str) -> Result<(), Error> {
    let Ways { namespace, sql, .. } = *ways;
    match fingerprint {
        "namespace" => {
            let what = format!("cannot label the namespace `{}`", namespace.name);
            let patch = Patch::Merge(json!({ "metadata": { "labels": { TOKEN: token } } }));
            let namespaces = namespace.everywhere::<Namespace>();
            let patched = async { namespaces.patch(&namespace.name, &PatchParams::default(), &patch).await };
            ask(what, patched).await.map(drop)
        }
        "database" => {
            let client = sql.connect("postgres").await?;
            let (name, text) = (escape_identifier(sql.database()), escape_literal(&format!("{TOKEN}={token}")));
            let comment = format!("COMMENT ON DATABASE {name} IS {text}");
            client.batch_execute(&comment).await.map_err(|e| Error::caused_by("cannot comment the database", e))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_of_a_comment() {
        let of = |comment: &str| token_in(comment);
        assert_eq!(of("ours; lifeboat.dev/drill-token=dr-test since May").as_deref(), Some("dr-test"));
        assert_eq!(of("lifeboat.dev/drill-token dr-test"), None);
        assert_eq!(of("xlifeboat.dev/drill-token=a"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn names_that_mean_the_same_service_are_one() {
        for same in ["http://s3.a:7070", "http://s3.a.svc:7070/", "http://s3.a.svc.cluster.local:7070"] {
            assert_eq!(plain(same), "http://s3.a:7070");
        }
        assert_ne!(plain("http://s3.b:7070"), "http://s3.a:7070");
    }
}
