//! What a key may do in a bucket, and the bucket's policy that says so.
//!
//! Apart from the plain calls because being refused is an answer here and no error. Two ways to find out: `denied` asks
//! and leaves nothing behind; `reaches` does it all with an object of its own. Not here: which key, and which policy
//! is the right one.

use super::Error;
use super::{s3, versions};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that a client does in a bucket, as a policy tells it apart.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumIter,
)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum S3Act {
    /// Read objects.
    Read,
    /// Write objects.
    Write,
    /// List the bucket.
    List,
    /// Delete objects and versions of them.
    Delete,
}

impl S3Act {
    /// What a policy calls it. The actions of [`S3Act::List`] are about the bucket, the others about its objects.
    pub fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Read => &["s3:GetObject", "s3:GetObjectVersion"],
            Self::Write => &["s3:PutObject"],
            Self::List => &["s3:ListBucket", "s3:ListBucketVersions"],
            Self::Delete => &["s3:DeleteObject", "s3:DeleteObjectVersion"],
        }
    }
}

/// No object has this digest, and no version this id.
const NEVER: &str = "\"00000000000000000000000000000000\"";
const NO_VERSION: &str = "01ARYZ6S41TSV4RRFFQ69G5FAV";

/// Is a client refused to do this with a key? Asked so that nothing is written or deleted where it is allowed: a write
/// on the condition that another object is there, a deletion of a version that is not. Servers look at the permission
/// first (seen with VersityGW 1.8).
///
/// # Errors
/// If the server did not say: it does not answer, or there is no such bucket.
pub async fn denied(client: &Client, bucket: &str, key: &str, act: S3Act) -> Result<bool, Error> {
    let what = || format!("cannot tell whether a key may {act} in `{bucket}`");
    match act {
        S3Act::Read => {
            let request = client.get_object().bucket(bucket).key(key).range("bytes=0-0");
            refused(what, request.send().await)
        }
        S3Act::Write => refused(what, client.put_object().bucket(bucket).key(key).if_match(NEVER).send().await),
        S3Act::List => refused(what, client.list_objects_v2().bucket(bucket).max_keys(1).send().await),
        S3Act::Delete => {
            let request = client.delete_object().bucket(bucket).key(key).version_id(NO_VERSION);
            refused(what, request.send().await)
        }
    }
}

fn refused<T, E>(what: impl Fn() -> String, answer: Result<T, SdkError<E>>) -> Result<bool, Error>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Err(error) = answer else { return Ok(false) };
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(401 | 403) => Ok(true),
        // There is no such object or version, or it is not the one that the condition names: but it may be asked for.
        Some(400) if error.code() == Some("InvalidArgument") => Ok(false),
        Some(404 | 412 | 416) if error.code() != Some("NoSuchBucket") => Ok(false),
        _ => Err(s3::failure(what(), &error)),
    }
}

/// Does the server know who this client says it is? Asked by a list of the client's own buckets, which no bucket's policy
/// binds.
///
/// # Errors
/// If the server did not say.
pub async fn known(client: &Client) -> Result<bool, Error> {
    match client.list_buckets().send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.code() {
            Some("AccessDenied") => Ok(true), // he is known, and may not
            Some("SignatureDoesNotMatch" | "InvalidAccessKeyId") => Ok(false),
            _ => Err(s3::failure("cannot tell whether a key is valid", &error)),
        },
    }
}

/// Proves that a client reaches a bucket: puts an object of its own, lists, gets and deletes it. What the bucket keeps of
/// it is for [`purge`].
///
/// # Errors
/// With the first of these acts that did not work.
pub async fn reaches(client: &Client, bucket: &str, key: &str) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::new(format!("cannot work with `{bucket}/{key}`"), why));
    s3::put(client, bucket, key, key.into()).await?;
    if !s3::list(client, bucket, key).await?.iter().any(|(listed, _)| listed == key) {
        return wrong("it was put and is not listed");
    }
    if s3::get(client, bucket, key).await? != key.as_bytes() {
        return wrong("other bytes came back than were put");
    }
    let deleted = client.delete_object().bucket(bucket).key(key).send().await;
    deleted.map_err(|e| s3::failure(format!("cannot delete `{bucket}/{key}`"), &e))?;
    if s3::list(client, bucket, key).await?.iter().any(|(listed, _)| listed == key) {
        return wrong("it was deleted and is still listed");
    }
    Ok(())
}

/// Takes a key away from a bucket with all its versions.
///
/// # Errors
/// When the bucket still has one of them.
pub async fn purge(admin: &Client, bucket: &str, key: &str) -> Result<(), Error> {
    let what = || format!("cannot take away `{bucket}/{key}`");
    if !versions::kept(admin, bucket).await? {
        let deleted = admin.delete_object().bucket(bucket).key(key).send().await; // a half-done proof leaves it
        return deleted.map(drop).map_err(|e| s3::failure(what(), &e));
    }
    let its = versions::list(admin, bucket, key).await?.into_iter().filter(|version| version.key == key);
    let doomed: Vec<_> = its.map(|version| (version.key, Some(version.id))).collect();
    match versions::delete(admin, bucket, &doomed).await?.into_iter().next() {
        Some((_, why)) => Err(Error::new(what(), why)),
        None => Ok(()),
    }
}

/// The key of the first object under a prefix, if there is one.
pub async fn first(client: &Client, bucket: &str, prefix: &str) -> Result<Option<String>, Error> {
    let answer = client.list_objects_v2().bucket(bucket).prefix(prefix).max_keys(1).send().await;
    let page = answer.map_err(|e| s3::failure(format!("cannot list `{bucket}/{prefix}`"), &e))?;
    Ok(page.contents.unwrap_or_default().into_iter().find_map(|object| object.key))
}

/// The text of a bucket's policy, if it has one.
pub async fn policy(client: &Client, bucket: &str) -> Result<Option<String>, Error> {
    match client.get_bucket_policy().bucket(bucket).send().await {
        Ok(answer) => Ok(answer.policy.filter(|text| !text.is_empty())),
        Err(error) if error.code() == Some("NoSuchBucketPolicy") => Ok(None),
        Err(error) => Err(s3::failure(format!("cannot read the policy of `{bucket}`"), &error)),
    }
}

/// Gives a bucket this policy, or takes its policy away; also if it has none.
pub async fn set_policy(client: &Client, bucket: &str, policy: Option<&str>) -> Result<(), Error> {
    let what = || format!("cannot set the policy of `{bucket}`");
    match policy {
        Some(text) => {
            let request = client.put_bucket_policy().bucket(bucket).policy(text);
            request.send().await.map(drop).map_err(|e| s3::failure(what(), &e))
        }
        None => {
            let answer = client.delete_bucket_policy().bucket(bucket).send().await;
            answer.map(drop).map_err(|e| s3::failure(what(), &e))
        }
    }
}
