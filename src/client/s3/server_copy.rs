//! Copying an object by the server: no byte of it comes through the client.
//!
//! Apart because of what a copy may not lose or get wrong. Above 5 GB `CopyObject` is not allowed, and the object is
//! copied in parts, to which its metadata and tags have to be given anew. An answer of 200 may hold an error; the crate
//! reads it as one, and a copy without an entity tag counts as none here. Never to be asked for the copy of a delete
//! marker: `VersityGW` answers that with 200 and copies the bytes of what was deleted.

use super::pace::{ANSWER, PacedStore, RequestFailure};
use crate::client::Error;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures::{StreamExt, TryStreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

/// The largest object that `CopyObject` takes.
pub const LARGEST: u64 = 5 << 30;
/// Parts are no smaller than this, and there are no more than 10,000.
const PART: u64 = 512 << 20;
const PARTS: u64 = 10_000;
const PARTS_AT_ONCE: usize = 8;
/// So long may a server copy 5 GB.
const COPY: Duration = Duration::from_mins(10);
/// What stands in a source or a tag as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// One version of an object, to be copied.
#[derive(Debug, Clone)]
pub struct CopySource<'a> {
    /// Its bucket.
    pub bucket: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Its version; the current one if nothing.
    pub version: Option<&'a str>,
    /// Bytes.
    pub size: u64,
}

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCopy {
    /// Its version's id, where the bucket keeps versions.
    pub version: Option<String>,
}

/// Objects above this are copied in parts of at least that size; smaller ones in tests.
#[derive(Debug, Clone, Copy)]
pub struct CopyLimits {
    /// The largest in one request.
    pub largest: u64,
    /// The smallest part.
    pub part: u64,
}

impl Default for CopyLimits {
    fn default() -> Self {
        Self { largest: LARGEST, part: PART }
    }
}

impl CopySource<'_> {
    fn header(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
        let version = self.version.map(|id| format!("?versionId={}", encode(id))).unwrap_or_default();
        format!("{}/{}{version}", encode(self.bucket), encode(self.key))
    }
}

/// Where a copy goes, and how it is made.
pub struct CopyTarget<'a> {
    /// The store of both buckets.
    pub store: &'a PacedStore,
    /// The bucket.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
    /// What goes in one request.
    pub limits: CopyLimits,
    /// Told of each upload in parts before its first part, so that one that was not ended can be given up.
    pub begun: &'a (dyn Fn(&str) -> Result<(), Error> + Sync),
}

impl CopyTarget<'_> {
    /// Copies an object here, with its metadata and tags. Not with it come its retention and its storage class.
    pub async fn copy(&self, source: &CopySource<'_>) -> Result<ServerCopy, RequestFailure> {
        if source.size > self.limits.largest {
            return self.copy_in_parts(source).await;
        }
        let header = source.header();
        let request = || {
            let request = self.store.client.copy_object().bucket(self.bucket).key(self.key);
            request.copy_source(&header).send()
        };
        let answer = self.store.send(|| self.what(), COPY, request).await?;
        if answer.copy_object_result().and_then(|result| result.e_tag()).is_none_or(str::is_empty) {
            return Err(self.wrong("the server's answer names no copy"));
        }
        Ok(ServerCopy { version: answer.version_id })
    }

    async fn copy_in_parts(&self, source: &CopySource<'_>) -> Result<ServerCopy, RequestFailure> {
        let upload = self.begin(source).await?;
        (self.begun)(&upload).map_err(|error| RequestFailure { error, all: false })?;
        let made = self.parts(source, &upload).await;
        if made.is_err() {
            abort(self.store, self.bucket, self.key, &upload).await.ok(); // the first error tells more
        }
        made
    }

    /// Begins an upload with the metadata and tags of the source.
    async fn begin(&self, source: &CopySource<'_>) -> Result<String, RequestFailure> {
        let client = &self.store.client;
        let version = source.version.map(str::to_owned);
        let head = || client.head_object().bucket(source.bucket).key(source.key).set_version_id(version.clone()).send();
        let head: HeadObjectOutput = self.store.send(|| self.what(), ANSWER, head).await?;
        let tagging = self.tagging(source).await?;
        let create = || {
            let request = client.create_multipart_upload().bucket(self.bucket).key(self.key);
            let request = request.set_metadata(head.metadata.clone()).set_content_type(head.content_type.clone());
            let request = request.set_content_encoding(head.content_encoding.clone());
            let request = request.set_content_language(head.content_language.clone());
            let request = request.set_content_disposition(head.content_disposition.clone());
            request.set_cache_control(head.cache_control.clone()).set_tagging(tagging.clone()).send()
        };
        let created = self.store.send(|| self.what(), ANSWER, create).await?;
        created.upload_id.ok_or_else(|| self.wrong("the server names no upload"))
    }

    async fn tagging(&self, source: &CopySource<'_>) -> Result<Option<String>, RequestFailure> {
        let version = source.version.map(str::to_owned);
        let request = || {
            let request = self.store.client.get_object_tagging().bucket(source.bucket).key(source.key);
            request.set_version_id(version.clone()).send()
        };
        let tags = self.store.send(|| self.what(), ANSWER, request).await?.tag_set;
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let tags: Vec<_> = tags.iter().map(|tag| format!("{}={}", encode(&tag.key), encode(&tag.value))).collect();
        Ok((!tags.is_empty()).then(|| tags.join("&")))
    }

    async fn parts(&self, source: &CopySource<'_>, upload: &str) -> Result<ServerCopy, RequestFailure> {
        let size = self.limits.part.max(source.size.div_ceil(PARTS));
        let ranges = (0..source.size.div_ceil(size)).map(|n| (n * size, ((n + 1) * size).min(source.size) - 1));
        let numbered: Vec<_> =
            (1..).zip(ranges).map(|(number, range)| self.part(source, upload, number, range)).collect();
        let parts: Vec<_> = stream::iter(numbered).buffered(PARTS_AT_ONCE).try_collect().await?;
        let done = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = || {
            let request = self.store.client.complete_multipart_upload().bucket(self.bucket).key(self.key);
            request.upload_id(upload).multipart_upload(done.clone()).send()
        };
        let answer = self.store.send(|| self.what(), COPY, request).await?;
        if answer.e_tag.as_deref().is_none_or(str::is_empty) {
            return Err(self.wrong("the server's answer names no object"));
        }
        Ok(ServerCopy { version: answer.version_id })
    }

    async fn part(
        &self,
        source: &CopySource<'_>,
        upload: &str,
        number: i32,
        (first, last): (u64, u64),
    ) -> Result<CompletedPart, RequestFailure> {
        let header = source.header();
        let request = || {
            let request = self.store.client.upload_part_copy().bucket(self.bucket).key(self.key).upload_id(upload);
            let request = request.part_number(number).copy_source(&header);
            request.copy_source_range(format!("bytes={first}-{last}")).send()
        };
        let answer = self.store.send(|| self.what(), COPY, request).await?;
        let etag = answer.copy_part_result.and_then(|part| part.e_tag).filter(|etag| !etag.is_empty());
        let etag = etag.ok_or_else(|| self.wrong(&format!("the server's answer names no part {number}")))?;
        Ok(CompletedPart::builder().part_number(number).e_tag(etag).build())
    }

    fn what(&self) -> String {
        format!("cannot copy to `{}/{}`", self.bucket, self.key)
    }

    fn wrong(&self, why: &str) -> RequestFailure {
        RequestFailure { error: Error::new(self.what(), why), all: false }
    }
}

/// Gives up an upload in parts; one that is not there any more is no error.
pub async fn abort(store: &PacedStore, bucket: &str, key: &str, upload: &str) -> Result<(), Error> {
    let what = || format!("cannot give up an upload to `{bucket}/{key}`");
    let request = || store.client.abort_multipart_upload().bucket(bucket).key(key).upload_id(upload).send();
    match store.send(what, ANSWER, request).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.error.why.contains("NoSuchUpload") => Ok(()),
        Err(failure) => Err(failure.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_copy_is_written_so_that_any_key_is_one() {
        let source = |key, version| CopySource { bucket: "b", key, version, size: 1 }.header();
        assert_eq!(source("1/a b+c?d&é.txt", None), "b/1/a%20b%2Bc%3Fd%26%C3%A9.txt");
        assert_eq!(source("k", Some("x+/=")), "b/k?versionId=x%2B/%3D");
    }
}
