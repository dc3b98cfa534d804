//! The secrets of a platform, read from its cluster.

use super::names::{SECRET, STORE_SECRET};
use crate::client::Error;
use crate::client::kubernetes::{found, retry};
use crate::environment::stack::{AccessKey, Secrets};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

/// The secrets of a platform, as far as its namespaces, its own and the store's, still hold them.
pub async fn read(client: &Client, namespaces: [String; 2]) -> Result<Option<Secrets>, Error> {
    let [platform, store] = namespaces;
    let one = async |namespace: String, name: &str| {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        retry(format!("cannot read the secret `{name}`"), || async { found(secrets.get(name).await) }).await
    };
    let (Some(platform), Some(store)) = (one(platform, SECRET).await?, one(store, STORE_SECRET).await?) else {
        return Ok(None);
    };
    let value = |secret: &Secret, key: &str| {
        let bytes = secret.data.as_ref()?.get(key)?;
        Some(String::from_utf8_lossy(&bytes.0).into_owned())
    };
    let key =
        |secret, access, hidden| Some(AccessKey { access: value(secret, access)?, secret: value(secret, hidden)? });
    let all = || {
        Some(Secrets {
            database: value(&platform, "POSTGRES_PASSWORD")?,
            root: key(&store, "ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY")?,
            user: key(&platform, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")?,
        })
    };
    Ok(all().map(Secrets::remembered))
}
