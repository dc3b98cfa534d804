//! A repository in a bucket: what a file says of it, and how a file names a bucket.

use super::bucket::Bucket;
use super::{KeyUse, Lock, Patience, Place, Repository, SecretFrom};
use crate::client::Error;
use crate::kind::Kind;
use crate::node::read;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Credentials;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// `s3: { bucket: …, prefix: …, region: …, credentials: … }`
pub const KIND: Kind<dyn Repository> = Kind {
    name: "s3",
    about: "Keeps recovery points in a bucket, in restic's format, locked against deletion if asked.",
    example: "s3: { bucket: backups, prefix: mlflow, region: eu-central-1, \
              credentials: { access: { env: BACKUP_ACCESS_KEY }, secret: { file: /run/secrets/backup-key } } }",
    schema: |g| g.subschema_for::<BucketAddress>(),
    parse: |n, p| read::<BucketAddress>(n, p).map(|k| Box::new(k) as _),
};

/// A bucket, or what is under a prefix of one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketAddress {
    /// The bucket. It must be there; of a repository with `lock`, with Object Lock.
    pub bucket: String,
    /// What stands before all keys.
    #[serde(default)]
    pub prefix: String,
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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

impl BucketAddress {
    /// A client that leaves retrying to its user. Reads the secrets that are named.
    ///
    /// # Errors
    /// When a secret cannot be read, or the endpoint is no URL.
    pub fn client(&self) -> Result<Client, Error> {
        let what = |part: &str| format!("the {part} for the bucket `{}`", self.bucket);
        let access = self.credentials.access.read(&what("access key"))?;
        let secret = self.credentials.secret.read(&what("secret key"))?;
        let token = self.credentials.token.as_ref().map(|it| it.read(&what("session token"))).transpose()?;
        let credentials = Credentials::new(access, secret, token, None, "lifeboat");
        super::bucket::client(self.endpoint.as_deref(), &self.region, credentials)
    }
}

fn default_region() -> String {
    crate::client::s3::REGION.to_owned()
}

#[async_trait]
impl Repository for BucketAddress {
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
        Ok(Arc::new(Bucket::new(self.client()?, self.location(), &self.bucket, &self.prefix, lock, patience.request)))
    }
}
