//! The bytes of one object as a stream that goes on where a connection was cut.
//!
//! Apart because a backup reads many large objects: one that had to begin again would never end on a poor link. What is
//! read is what was listed, or the stream ends with an error. The crate compares the bytes of an answer with the server's
//! checksum when the last of them has come; those of a part that was asked for again have none.

use super::history::NO_VERSION;
use super::pace::{ANSWER, PacedStore};
use crate::client::Error;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::try_unfold;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

/// So long may the next bytes take.
const PIECE: Duration = Duration::from_secs(30);

/// An object as it was listed.
#[derive(Debug, Clone)]
pub struct ObjectRead {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version; `null` or empty where the bucket keeps none.
    pub version: String,
    /// What the server called its content then, without quotes; empty if it said nothing.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// Reads an object. The stream ends with an error when it is not what was listed.
pub fn download(store: Arc<PacedStore>, object: ObjectRead) -> impl AsyncRead + Send + Unpin {
    let begun = Download { store, object, at: 0, body: None };
    let pieces = try_unfold(begun, |mut download| async move {
        let next = download.next().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(next.map(|bytes| (bytes, download)))
    });
    StreamReader::new(pieces.boxed())
}

struct Download {
    store: Arc<PacedStore>,
    object: ObjectRead,
    at: u64,
    body: Option<ByteStream>,
}

impl Download {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let (deadline, mut attempt) = (self.store.deadline(), 0);
        loop {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.ask().await?,
            };
            let failed = match tokio::time::timeout(PIECE, body.try_next()).await {
                Ok(Ok(Some(bytes))) => {
                    self.at += bytes.len() as u64;
                    self.body = Some(body);
                    return Ok(Some(bytes));
                }
                Ok(Ok(None)) if self.at == self.object.size => return Ok(None),
                Ok(Ok(None)) => self.wrong(format!("it ended after {} of {} bytes", self.at, self.object.size)),
                Ok(Err(error)) if self.at >= self.object.size => return Err(Error::caused_by(self.what(), error)),
                Ok(Err(error)) => Error::caused_by(self.what(), error),
                Err(_) => self.wrong(format!("no byte came within {} s", PIECE.as_secs())),
            };
            if let Some(error) = self.store.pause(attempt, deadline, failed).await {
                return Err(error);
            }
            attempt += 1;
        }
    }

    async fn ask(&self) -> Result<ByteStream, Error> {
        let ObjectRead { bucket, key, version, etag, .. } = &self.object;
        let version = (!version.is_empty() && version != NO_VERSION).then(|| version.clone());
        let range = (self.at > 0).then(|| format!("bytes={}-", self.at));
        let request = || {
            let request = self.store.client.get_object().bucket(bucket).key(key);
            request.set_version_id(version.clone()).set_range(range.clone()).send()
        };
        let answer = self.store.send(|| self.what(), ANSWER, request).await.map_err(|failure| failure.error)?;
        let found = answer.e_tag.as_deref().unwrap_or_default().trim_matches('"');
        if found != etag {
            return Err(self.wrong("it is another object by now").hint("turn versioning on, and it can still be read"));
        }
        Ok(answer.body)
    }

    fn what(&self) -> String {
        format!("cannot read `{}/{}`", self.object.bucket, self.object.key)
    }

    fn wrong(&self, why: impl std::fmt::Display) -> Error {
        Error::new(self.what(), why)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    /// A server that answers each request with the next of these texts and tells what it was asked.
    async fn server(answers: &'static [&'static str]) -> (Arc<PacedStore>, UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (asked, seen) = unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 16 * 1024];
                let n = socket.read(&mut request).await.unwrap();
                let _ = asked.send(String::from_utf8_lossy(&request[..n]).to_lowercase()); // not every test looks
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (Arc::new(PacedStore::new(&crate::client::s3::client(&endpoint, "a", "b"))), seen)
    }

    async fn read(store: Arc<PacedStore>, etag: &str) -> Result<String, String> {
        let (bucket, key, etag) = ("b".to_owned(), "k".to_owned(), etag.to_owned());
        let object = ObjectRead { bucket, key, version: "v7".into(), etag, size: 10 };
        let mut text = String::new();
        let read = download(store, object).read_to_string(&mut text).await;
        read.map(|_| text).map_err(|error| error.to_string())
    }

    const CUT: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"e\"\r\ncontent-length: 10\r\n\r\n01234";
    const REST: &str =
        "HTTP/1.1 206 Partial Content\r\nconnection: close\r\netag: \"e\"\r\ncontent-length: 5\r\n\r\n56789";

    #[tokio::test]
    async fn a_connection_that_is_cut_goes_on_where_it_was() {
        let (store, mut seen) = server(&[CUT, REST]).await;
        assert_eq!(read(store, "e").await.unwrap(), "0123456789");
        let (first, second) = (seen.recv().await.unwrap(), seen.recv().await.unwrap());
        assert!(first.contains("versionid=v7") && !first.contains("range:"), "{first}");
        assert!(second.contains("range: bytes=5-"), "{second}");
    }

    #[tokio::test]
    async fn what_is_another_object_by_now_is_an_error() {
        let (store, _) = server(&[CUT]).await;
        assert!(read(store, "another").await.unwrap_err().contains("it is another object by now"));
        let other =
            "HTTP/1.1 206 Partial Content\r\nconnection: close\r\netag: \"f\"\r\ncontent-length: 5\r\n\r\n56789";
        let answers: &'static [&'static str] = vec![CUT, other].leak();
        let (store, _) = server(answers).await;
        assert!(read(store, "e").await.unwrap_err().contains("it is another object by now"), "in the middle too");
    }

    #[tokio::test]
    async fn bytes_that_are_not_those_of_the_checksum_are_an_error() {
        let wrong = "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"e\"\r\ncontent-length: 10\r\n\
            x-amz-checksum-crc32: AAAAAA==\r\n\r\n0123456789";
        let answers: &'static [&'static str] = vec![wrong].leak();
        let (store, _) = server(answers).await;
        assert!(read(store, "e").await.unwrap_err().contains("cannot read `b/k`"));
    }
}
