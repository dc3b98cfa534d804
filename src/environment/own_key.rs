//! MLflow's own key at the S3 server, for every environment of this stack: the powers over what it may do.
//!
//! Apart because the key and the server's calls are the same wherever the server runs. Whether keys can be revoked
//! depends on whether the server may write its list of users, so an environment says for itself if it has that power.

use super::power::{BucketPolicies, MlflowKey, ServerKeys};
use super::stack::{AccessKey, BUCKET, Secrets};
use crate::client::{Error, access, gateway, s3};
use async_trait::async_trait;
use aws_sdk_s3::Client;

/// MLflow's key with a client that uses it, and the administrator's client, who decides about it.
pub struct OwnKey {
    endpoint: String,
    key: AccessKey,
    s3: Client,
    root: Client,
    policy: Result<Option<String>, Error>,
}

impl OwnKey {
    /// At the server of this URL. The bucket of a platform made for a drill has no policy: it is MLflow's own, and its
    /// owner may do everything.
    pub fn new(endpoint: &str, secrets: &Secrets) -> Self {
        let client = |key: &AccessKey| s3::client(endpoint, &key.access, &key.secret);
        let (s3, root) = (client(&secrets.user), client(&secrets.root));
        Self { endpoint: endpoint.to_owned(), key: secrets.user.clone(), s3, root, policy: Ok(None) }
    }

    /// Takes the policy that the bucket has now for the right one: of a platform that stands already.
    pub async fn read_policy(&mut self) {
        self.policy = access::policy(&self.root, BUCKET).await;
    }
}

impl MlflowKey for OwnKey {
    fn id(&self) -> &str {
        &self.key.access
    }
    fn s3(&self) -> &Client {
        &self.s3
    }
}

impl BucketPolicies for OwnKey {
    fn intended(&self) -> Result<Option<&str>, Error> {
        self.policy.as_ref().map(Option::as_deref).map_err(Error::clone)
    }
}

#[async_trait]
impl ServerKeys for OwnKey {
    async fn revoke(&self) -> Result<(), Error> {
        gateway::delete_user(&self.root, &self.endpoint, &self.key.access).await
    }
    async fn restore(&self) -> Result<(), Error> {
        gateway::create_user(&self.root, &self.endpoint, &self.key.access, &self.key.secret).await
    }
}
