//! S3 with time limits of our own, over plain HTTP, and the few calls that everybody needs.
//!
//! The time limits are here because the crate has none for an answer: a frozen server would hang it for good.

mod batch;
pub mod bucket_copy;
mod download;
mod history;
mod listing;
mod pace;
pub mod rollback;
mod rollback_journal;
mod rollback_plan;
mod rollback_proof;
mod server_copy;
mod source;
mod upload;
pub mod versions;

pub use download::{ObjectRead, download};
pub use history::{NO_VERSION, S3History, S3Version};
pub use listing::histories;
pub use pace::{PaceFigures, PacedStore};
pub use server_copy::{CopyLimits, CopySource, CopyTarget};
pub use source::{BucketObjects, ObjectSource};
pub use upload::Upload;

use super::{Error, chain};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::Builder;
use std::time::Duration;

/// The region that servers outside of AWS are told.
pub const REGION: &str = "us-east-1";

/// A client for an endpoint, with the bucket in the path and without any proxy.
pub fn client(endpoint: &str, access: &str, secret: &str) -> Client {
    let http = Builder::new().build_http(); // which asks no proxy unless told to
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(30))
        .build();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(access, secret, None, None, "lifeboat"))
        .http_client(http)
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

/// The key of an artifact path in a bucket where `prefix` stands before all artifacts.
pub fn key(prefix: &str, path: &str) -> String {
    if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") }
}

/// The key of what a location that MLflow stores leads to, without a slash at its end; nothing if it is not in this bucket.
pub fn located(bucket: &str, prefix: &str, location: &str) -> Option<String> {
    let location = location.trim_end_matches('/');
    match location.strip_prefix("mlflow-artifacts:/") {
        Some(path) => Some(key(prefix, path.trim_matches('/'))),
        None => location.strip_prefix(&format!("s3://{bucket}/")).map(str::to_owned),
    }
}

/// Puts an object.
pub async fn put(client: &Client, bucket: &str, key: &str, body: Vec<u8>) -> Result<(), Error> {
    let request = client.put_object().bucket(bucket).key(key).body(ByteStream::from(body));
    request.send().await.map(|_| ()).map_err(|e| failure(format!("cannot put `{bucket}/{key}`"), &e))
}

/// Gets an object.
pub async fn get(client: &Client, bucket: &str, key: &str) -> Result<Vec<u8>, Error> {
    let what = || format!("cannot get `{bucket}/{key}`");
    let answer = client.get_object().bucket(bucket).key(key).send().await.map_err(|e| failure(what(), &e))?;
    let body = answer.body.collect().await.map_err(|e| Error::caused_by(what(), e))?;
    Ok(body.to_vec())
}

/// The BLAKE3 digest of an object's bytes, read as a stream.
pub async fn digest(client: &Client, bucket: &str, key: &str) -> Result<String, Error> {
    BucketObjects { client, bucket }.digest(key).await
}

/// An object as a list of the bucket shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// What the server calls its content, without quotes.
    pub etag: Option<String>,
}

impl ListedObject {
    /// From a page of a listing; nothing if the server left out its key.
    fn of(object: aws_sdk_s3::types::Object) -> Option<Self> {
        let size = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let etag = object.e_tag.map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty());
        Some(Self { key: object.key?, size, etag })
    }
}

/// All keys under a prefix with their sizes, in the order of the server.
pub async fn list(client: &Client, bucket: &str, prefix: &str) -> Result<Vec<(String, u64)>, Error> {
    Ok(objects(client, bucket, prefix).await?.into_iter().map(|object| (object.key, object.size)).collect())
}

/// All objects under a prefix, in the order of the server.
pub async fn objects(client: &Client, bucket: &str, prefix: &str) -> Result<Vec<ListedObject>, Error> {
    let mut pages = client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
    let mut objects = vec![];
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| failure(format!("cannot list `{bucket}/{prefix}`"), &e))?;
        let found = page.contents.unwrap_or_default().into_iter();
        objects.extend(found.filter_map(ListedObject::of));
    }
    Ok(objects)
}

/// An error of the client as error: the server's code and message, or the whole chain of causes.
pub fn failure<E, R>(what: impl Into<String>, error: &SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let why = match error.code() {
        Some(code) => format!("{code}: {}", error.message().unwrap_or("no message")),
        None => chain(error),
    };
    Error::new(what, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_without_a_prefix_has_no_slash_before_its_keys() {
        assert_eq!(key("", "1/a"), "1/a");
        assert_eq!(key("artifacts", "1/a"), "artifacts/1/a");
    }
}
