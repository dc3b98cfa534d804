//! Objects that can be listed and read, wherever they lie: in a bucket, or in a recovery point.
//!
//! Apart because whoever compares objects need not know where they lie. Not here: the objects of a recovery point, which
//! its engine reads.

use super::{ListedObject, failure, objects};
use crate::client::Error;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at once.
const BUFFER: usize = 64 * 1024;

/// Objects by the keys that they have in the platform's bucket.
#[async_trait]
pub trait ObjectSource: Send + Sync {
    /// All objects under a prefix.
    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, Error>;
    /// The bytes of an object. What cannot be read whole ends with an error.
    async fn read(&self, key: &str) -> io::Result<Box<dyn AsyncRead + Send + Unpin>>;
    /// The BLAKE3 digest of an object's bytes.
    async fn digest(&self, key: &str) -> Result<String, Error> {
        let digested = async {
            let (mut bytes, mut buffer) = (self.read(key).await?, vec![0; BUFFER]);
            let mut hasher = blake3::Hasher::new();
            loop {
                let read = bytes.read(&mut buffer).await?;
                if read == 0 {
                    return Ok(hasher.finalize().to_hex().to_string());
                }
                hasher.update(&buffer[..read]);
            }
        };
        digested.await.map_err(|e: io::Error| Error::caused_by(format!("cannot read `{key}`"), e))
    }
}

/// The objects that clients of a bucket see.
pub struct BucketObjects<'a> {
    /// Reads them.
    pub client: &'a Client,
    /// The bucket.
    pub bucket: &'a str,
}

#[async_trait]
impl ObjectSource for BucketObjects<'_> {
    async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, Error> {
        objects(self.client, self.bucket, prefix).await
    }
    async fn read(&self, key: &str) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        let what = || format!("cannot get `{}/{key}`", self.bucket);
        let answer = self.client.get_object().bucket(self.bucket).key(key).send().await;
        let answer = answer.map_err(|e| io::Error::other(failure(what(), &e)))?;
        Ok(Box::new(answer.body.into_async_read()))
    }
}
