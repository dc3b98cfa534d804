//! The fault that revokes MLflow's key at the S3 server, as when somebody rotates keys and forgets a client.
//!
//! It is a condition: nothing is gone, and the key becomes valid again as it was. Its secret is in no receipt: the
//! platform knows it, as long as it stands.

use super::{Fault, Nature, recall};
use crate::client::Error;
use crate::client::access::{self, S3Act};
use crate::environment::{Inventory, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// `key-revoked: {}`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "key-revoked",
    about: "Revokes MLflow's key at the S3 server.",
    example: "key-revoked: {}",
    schema: |g| g.subschema_for::<KeyRevoked>(),
    parse: |n, p| read::<KeyRevoked>(n, p).map(|k| Box::new(k) as _),
};

/// Revokes MLflow's key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyRevoked {}

/// Which key, and the bucket that it is tried on.
#[derive(Debug, Serialize, Deserialize)]
struct RevokedKey {
    key: String,
    bucket: String,
}

#[async_trait]
impl Fault for KeyRevoked {
    fn nature(&self) -> Nature {
        Nature::Condition
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Objects, Power::Keys]
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        inventory.kind("bucket").map(|it| format!("MLflow's key to the bucket {}", it.name)).collect()
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let (key, bucket) = (platform.keys()?.id().to_owned(), platform.objects()?.bucket().to_owned());
        let revoked = RevokedKey { key, bucket };
        if revoked.refused(platform).await? {
            return Err(Error::new(format!("cannot revoke the key `{}`", revoked.key), "it is refused already"));
        }
        Ok(Receipt(json!(revoked)))
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        recall::<RevokedKey>(receipt)?.known(platform)?;
        platform.keys()?.revoke().await
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        let refused = async { recall::<RevokedKey>(receipt)?.refused(platform).await };
        match refused.await {
            Ok(true) => Finding::met(),
            Ok(false) => Finding::missed("MLflow's key is still taken"),
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
    async fn lift(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        recall::<RevokedKey>(receipt)?.known(platform)?;
        platform.keys()?.restore().await // nothing, if it is valid
    }
}

impl RevokedKey {
    /// Does the server refuse MLflow's key?
    async fn refused(&self, platform: &dyn Platform) -> Result<bool, Error> {
        access::denied(&platform.keys()?.s3(), &self.bucket, "", S3Act::List).await
    }

    /// The platform must still have the key that was meant.
    fn known(&self, platform: &dyn Platform) -> Result<(), Error> {
        if platform.keys()?.id() == self.key {
            return Ok(());
        }
        Err(Error::new(format!("the key `{}`", self.key), "MLflow has another one meanwhile"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::s3;
    use crate::environment::{Endpoints, MlflowKey, ServerKeys};
    use std::sync::Mutex;

    /// A platform that knows one key, and counts what is done to it.
    struct Alone(Mutex<Vec<&'static str>>, Endpoints);

    #[async_trait]
    impl Platform for Alone {
        fn endpoints(&self) -> &Endpoints {
            &self.1
        }
        fn keys(&self) -> Result<&dyn ServerKeys, Error> {
            Ok(self)
        }
        async fn remove(&self) -> Vec<String> {
            vec![]
        }
    }

    impl MlflowKey for Alone {
        fn id(&self) -> &'static str {
            "now"
        }
        fn s3(&self) -> aws_sdk_s3::Client {
            unreachable!("nothing is asked")
        }
    }

    #[async_trait]
    impl ServerKeys for Alone {
        async fn revoke(&self) -> Result<(), Error> {
            self.0.lock().unwrap().push("revoked");
            Ok(())
        }
        async fn restore(&self) -> Result<(), Error> {
            self.0.lock().unwrap().push("restored");
            Ok(())
        }
    }

    #[tokio::test]
    async fn another_key_than_the_one_that_was_meant_is_left_alone() {
        let platform = Alone(Mutex::default(), Endpoints::default());
        let receipt = |key: &str| Receipt(json!(RevokedKey { key: key.into(), bucket: "mlflow".into() }));
        assert!(KeyRevoked {}.inject(&platform, &receipt("before")).await.is_err());
        assert!(KeyRevoked {}.lift(&platform, &receipt("before")).await.is_err());
        assert!(platform.0.lock().unwrap().is_empty());
        KeyRevoked {}.inject(&platform, &receipt("now")).await.unwrap();
        KeyRevoked {}.lift(&platform, &receipt("now")).await.unwrap();
        assert_eq!(*platform.0.lock().unwrap(), ["revoked", "restored"]);
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_tells_nothing_of_the_key() {
        let client = s3::client("http://127.0.0.1:1", "key", "secret");
        assert!(access::denied(&client, "mlflow", "", S3Act::List).await.is_err());
    }
}
