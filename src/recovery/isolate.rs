//! The steps that isolate the platform's data after an attack, and end that: nobody reaches the bucket but its
//! administrator, and nobody the database but over another one of its server.
//!
//! Backups fail meanwhile, so none copies the ruins, and restores work, since they fill another database. Apart from
//! `stop`, which ends MLflow and leaves both open to whoever has stolen its credentials.

use super::apply_policy::proved;
use super::{Step, StepContext};
use crate::client::access::{self, S3Act};
use crate::client::{Error, postgres, s3, until};
use crate::environment::{Power, Sql};
use crate::kind::Kind;
use crate::model::Finding;
use crate::node::{Node, Problem, read};
use async_trait::async_trait;
use postgres_protocol::escape::escape_identifier;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use strum::IntoEnumIterator;

/// How long sessions may take to end, and from one look to the next.
const ENDED: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

/// `isolate: {}`
pub const ISOLATE: Kind<dyn Step> = Kind {
    name: "isolate",
    about: "Lets nobody into the database and the bucket, ends all sessions, and proves it; backups fail meanwhile.",
    example: "isolate: {}",
    schema: |g| g.subschema_for::<Isolation>(),
    parse: |n, p| parse(n, p, Isolate::Begin),
};

/// `end-isolation: {}`
pub const END: Kind<dyn Step> = Kind {
    name: "end-isolation",
    about: "Lets clients into the database and the bucket again, and proves that MLflow's key reaches the bucket.",
    example: "end-isolation: {}",
    schema: |g| g.subschema_for::<Isolation>(),
    parse: |n, p| parse(n, p, Isolate::End),
};

/// It has no settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Isolation {}

fn parse(node: &Node, problems: &mut Vec<Problem>, isolate: Isolate) -> Option<Box<dyn Step>> {
    read::<Isolation>(node, problems).map(|_| Box::new(isolate) as _)
}

/// Begins the isolation, or ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Isolate {
    Begin,
    End,
}

#[async_trait]
impl Step for Isolate {
    fn needs(&self) -> &'static [Power] {
        &[Power::Sql, Power::Objects, Power::Policies]
    }
    fn needs_throw_away(&self) -> bool {
        true
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let done = match self {
            Self::Begin => begin(context).await,
            Self::End => end(context).await,
        };
        done.unwrap_or_else(|error| Finding::missed(error.to_string()))
    }
}

async fn begin(context: &StepContext<'_>) -> Result<Finding, Error> {
    let (sql, objects, key) = (context.platform.sql()?, context.platform.objects()?, context.platform.policies()?);
    let bucket = objects.bucket();
    context.record("isolate", bucket, None).await?;
    access::set_policy(objects.s3(), bucket, Some(&closed(bucket))).await?;
    allow_connections(sql, false).await?;
    end_sessions(sql).await?;
    match sql.connect(sql.database()).await {
        Err(error) if postgres::is_closed(&error) => {}
        Err(error) => return Err(error), // nothing is known of the database
        Ok(_) => return Ok(Finding::missed(format!("the database `{}` still takes connections", sql.database()))),
    }
    let (client, prefix) = (key.s3(), s3::key(objects.prefix(), ""));
    let own = access::first(objects.s3(), bucket, &prefix).await?.unwrap_or(prefix);
    for act in S3Act::iter() {
        if !access::denied(&client, bucket, &own, act).await? {
            return Ok(Finding::missed(format!("MLflow's key may still {act} in the bucket `{bucket}`")));
        }
    }
    Ok(Finding::met())
}

async fn end(context: &StepContext<'_>) -> Result<Finding, Error> {
    let (sql, objects, key) = (context.platform.sql()?, context.platform.objects()?, context.platform.policies()?);
    context.record("end-isolation", objects.bucket(), None).await?;
    allow_connections(sql, true).await?;
    postgres::one(&sql.connect(sql.database()).await?, "SELECT 1").await?;
    access::set_policy(objects.s3(), objects.bucket(), key.intended()?).await?;
    proved(context, key).await
}

/// Lets the database take connections, or none.
async fn allow_connections(sql: &dyn Sql, allow: bool) -> Result<(), Error> {
    let (server, database) = (sql.connect("postgres").await?, sql.database());
    let alter = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", escape_identifier(database));
    server.batch_execute(&alter).await.map_err(|e| cannot(database, e))
}

/// Ends the sessions of the database: who is in stays in otherwise.
async fn end_sessions(sql: &dyn Sql) -> Result<(), Error> {
    let (server, database) = (sql.connect("postgres").await?, sql.database());
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
    let ended = || async {
        let row = server.query_one(end, &[&database]).await.map_err(|e| cannot(database, e).to_string())?;
        match row.get::<_, i64>(0) {
            0 => Ok(()),
            left => Err(format!("{left} have not ended")),
        }
    };
    until(ENDED, LOOK, ended)
        .await
        .map_err(|late| Error::new(format!("the sessions of the database `{database}`"), late))
}

fn cannot(database: &str, error: tokio_postgres::Error) -> Error {
    Error::caused_by(format!("cannot isolate the database `{database}`"), error)
}

/// A policy that denies everybody everything. The administrator of the server is bound by none.
fn closed(bucket: &str) -> String {
    let resources = [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")];
    let statement = json!({ "Effect": "Deny", "Principal": "*", "Action": ["s3:*"], "Resource": resources });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}
