//! A repository in a bucket: what a file says of it.

use super::bucket::Bucket;
use super::{KeyUse, Lock, Patience, Place, Repository, SecretFrom};
use crate::client::Error;
use crate::kind::Kind;
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// `s3: { bucket: …, prefix: …, region: …, credentials: … }`
pub const KIND: Kind<dyn Repository> = Kind {
    name: "s3",
    about: "Keeps recovery points in a bucket, in restic's format, locked against deletion if asked.",
    example: "s3: { bucket: backups, prefix: mlflow, region: eu-central-1, \
              credentials: { access: { env: BACKUP_ACCESS_KEY }, secret: { file: /run/secrets/backup-key } } }",
    schema: |g| g.subschema_for::<S3>(),
    parse: |n, p| read::<S3>(n, p).map(|k| Box::new(k) as _),
};

/// A bucket, or what is under a prefix of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct S3 {
    /// The bucket. It must be there; for `lock`, with Object Lock.
    bucket: String,
    /// What stands before the names of all files.
    #[serde(default)]
    prefix: String,
    /// The bucket's region.
    #[serde(default = "default_region")]
    region: String,
    /// The server's URL, for another than AWS.
    #[serde(default)]
    endpoint: Option<String>,
    /// The keys of the one who writes and reads there.
    credentials: S3Credentials,
}

/// Where the two parts of a key stand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct S3Credentials {
    /// The access key's id.
    access: SecretFrom,
    /// The secret key.
    secret: SecretFrom,
    /// The token of a session, if the key is a temporary one.
    #[serde(default)]
    token: Option<SecretFrom>,
}

fn default_region() -> String {
    crate::client::s3::REGION.to_owned()
}

#[async_trait]
impl Repository for S3 {
    fn location(&self) -> String {
        let host = self.endpoint.as_deref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        format!("s3://{}/{}{host}", self.bucket, self.prefix.trim_matches('/'))
    }

    fn locks(&self) -> bool {
        true
    }

    fn policy(&self, key_use: KeyUse, locked: bool) -> Option<serde_json::Value> {
        Some(super::policy::policy(&self.bucket, &self.prefix, key_use, locked))
    }

    async fn place(&self, lock: Option<Lock>, patience: Patience) -> Result<Arc<dyn Place>, Error> {
        let access = self.credentials.access.read("the access key of the repository")?;
        let secret = self.credentials.secret.read("the secret key of the repository")?;
        let token = self.credentials.token.as_ref().map(|it| it.read("the session token of the repository"));
        let credentials = aws_sdk_s3::config::Credentials::new(access, secret, token.transpose()?, None, "lifeboat");
        let client = super::bucket::client(self.endpoint.as_deref(), &self.region, credentials)?;
        Ok(Arc::new(Bucket::new(client, self.location(), &self.bucket, &self.prefix, lock, patience.request)))
    }
}
