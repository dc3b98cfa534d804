//! Puts one object from a stream: in one request, or in parts if it is large.
//!
//! Apart because an object may be larger than memory. The server checks each request against its checksum; a large object
//! is there whole or not at all.

use super::pace::PacedStore;
use super::server_copy::abort;
use crate::client::Error;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is larger goes in parts of at least this size; there are 10,000 at most.
const PART: u64 = 16 << 20;
const PARTS: u64 = 10_000;
/// The slowest link with which a request may still end in time, and what it may take besides.
const BYTES_PER_SECOND: u64 = 256 * 1024;
const ANSWER: Duration = Duration::from_secs(30);

/// Where an object is put.
pub struct Upload<'a> {
    /// The store.
    pub store: &'a PacedStore,
    /// The bucket.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
}

impl Upload<'_> {
    /// Puts the bytes of a stream, which has `size` of them.
    ///
    /// # Errors
    /// When the stream fails or has another length, or the store does not take it. The object is then as it was.
    pub async fn put(&self, size: u64, mut body: impl AsyncRead + Send + Unpin) -> Result<(), Error> {
        if size > PART {
            return self.in_parts(size, body).await;
        }
        let bytes = self.piece(&mut body, size + 1).await?;
        self.expect(size, bytes.len() as u64)?;
        let request = || {
            let body = ByteStream::from(bytes.clone());
            self.store.client.put_object().bucket(self.bucket).key(self.key).body(body).send()
        };
        self.store.send(|| self.what(), within(size), request).await.map_err(|failure| failure.error)?;
        Ok(())
    }

    async fn in_parts(&self, size: u64, body: impl AsyncRead + Send + Unpin) -> Result<(), Error> {
        let create = || {
            // Without the algorithm named here, servers refuse the checksums of the parts.
            let request = self.store.client.create_multipart_upload().bucket(self.bucket).key(self.key);
            request.checksum_algorithm(ChecksumAlgorithm::Crc32).send()
        };
        let begun = self.store.send(|| self.what(), ANSWER, create).await.map_err(|failure| failure.error)?;
        let id = begun.upload_id.ok_or_else(|| Error::new(self.what(), "the server named no upload"))?;
        let done = self.parts(&id, size, body).await;
        if done.is_err() {
            abort(self.store, self.bucket, self.key, &id).await.ok(); // the first error tells more
        }
        done
    }

    async fn parts(&self, id: &str, size: u64, mut body: impl AsyncRead + Send + Unpin) -> Result<(), Error> {
        let (part, mut parts, mut sent) = (PART.max(size.div_ceil(PARTS)), vec![], 0);
        for number in 1.. {
            let bytes = self.piece(&mut body, part).await?;
            if bytes.is_empty() {
                break;
            }
            sent += bytes.len() as u64;
            parts.push(self.part(id, number, bytes).await?);
        }
        self.expect(size, sent)?;
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = || {
            let request = self.store.client.complete_multipart_upload().bucket(self.bucket).key(self.key);
            request.upload_id(id).multipart_upload(whole.clone()).send()
        };
        self.store.send(|| self.what(), within(size), complete).await.map_err(|failure| failure.error)?;
        Ok(())
    }

    async fn part(&self, id: &str, number: i32, bytes: Bytes) -> Result<CompletedPart, Error> {
        let request = || {
            let request = self.store.client.upload_part().bucket(self.bucket).key(self.key).upload_id(id);
            let request = request.part_number(number).checksum_algorithm(ChecksumAlgorithm::Crc32);
            request.body(ByteStream::from(bytes.clone())).send()
        };
        let sent = self.store.send(|| self.what(), within(bytes.len() as u64), request).await;
        let sent = sent.map_err(|failure| failure.error)?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        Ok(part.set_checksum_crc32(sent.checksum_crc32).build())
    }

    /// The next bytes, so many unless the stream ends.
    async fn piece(&self, body: &mut (impl AsyncRead + Send + Unpin), bytes: u64) -> Result<Bytes, Error> {
        let mut piece = BytesMut::new();
        let mut limited = body.take(bytes);
        while limited.read_buf(&mut piece).await.map_err(|e| Error::caused_by(self.what(), e))? > 0 {}
        Ok(piece.freeze())
    }

    fn expect(&self, size: u64, found: u64) -> Result<(), Error> {
        let wrong = || Error::new(self.what(), format!("it has {found} bytes and not {size}"));
        if found == size { Ok(()) } else { Err(wrong()) }
    }

    fn what(&self) -> String {
        format!("cannot put `{}/{}`", self.bucket, self.key)
    }
}

fn within(bytes: u64) -> Duration {
    ANSWER + Duration::from_secs(bytes / BYTES_PER_SECOND)
}
