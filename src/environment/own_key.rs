//! MLflow's own key at the S3 server, for every environment of this stack: the powers over what it may do.
//!
//! Apart because the key and the server's calls are the same wherever the server runs. Whether keys can be revoked
//! depends on whether the server may write its list of users, so an environment says for itself if it has that power.

use super::power::{BucketPolicies, MlflowKey, ServerKeys};
use super::stack::{AccessKey, BUCKET, Secrets, secret};
use crate::client::{Error, access, gateway, s3};
use crate::outside;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use parking_lot::RwLock;

/// MLflow's key with a client that uses it, and the administrator's client, who decides about it.
pub struct OwnKey {
    endpoint: String,
    id: String,
    current: RwLock<(AccessKey, Client)>,
    root: Client,
    policy: Result<Option<String>, Error>,
}

impl OwnKey {
    /// At the server of this URL. The bucket of a platform made for a drill has no policy: it is MLflow's own, and its
    /// owner may do everything.
    pub fn new(endpoint: &str, secrets: &Secrets) -> Self {
        let client = |key: &AccessKey| s3::client(endpoint, &key.access, &key.secret);
        let (current, root) = ((secrets.user.clone(), client(&secrets.user)), client(&secrets.root));
        let (endpoint, id) = (endpoint.to_owned(), secrets.user.access.clone());
        Self { endpoint, id, current: RwLock::new(current), root, policy: Ok(None) }
    }

    /// The key with its secret, as it is now.
    pub fn key(&self) -> AccessKey {
        self.current.read().0.clone()
    }

    /// Gives it a new secret in place of the one it has; answers a client that uses the old one. Its id stays, and with it
    /// what it owns and what policies say of it.
    pub async fn replace_secret(&self) -> Result<Client, Error> {
        let new = AccessKey { access: self.id.clone(), secret: secret(40) };
        outside::remember(&new.secret);
        gateway::delete_user(&self.root, &self.endpoint, &new.access).await?;
        gateway::create_user(&self.root, &self.endpoint, &new.access, &new.secret).await?;
        let client = s3::client(&self.endpoint, &new.access, &new.secret);
        let (_, old) = std::mem::replace(&mut *self.current.write(), (new, client));
        Ok(old)
    }

    /// Takes the policy that the bucket has now for the right one: of a platform that stands already.
    pub async fn read_policy(&mut self) {
        self.policy = access::policy(&self.root, BUCKET).await;
    }
}

impl MlflowKey for OwnKey {
    fn id(&self) -> &str {
        &self.id
    }
    fn s3(&self) -> Client {
        self.current.read().1.clone()
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
        gateway::delete_user(&self.root, &self.endpoint, &self.id).await
    }
    async fn restore(&self) -> Result<(), Error> {
        let AccessKey { access, secret } = self.key();
        gateway::create_user(&self.root, &self.endpoint, &access, &secret).await
    }
}
