//! A place in a bucket: requests that are tried again within a deadline, and files that are locked when they are written.
//!
//! Not `rustic_backend`'s: that retries for minutes without an end, cannot lock, and leaves out what it cannot list. The
//! retention is part of each request, because a bucket's default is not stamped on its objects by every server.

use super::bucket_versions;
use super::{Lock, LockMode, Place, PlacedFile, PlacedVersion, UndeletedFiles, Writing};
use crate::client::{Error, ErrorKind, s3};
use crate::clock::{Deadline, wall};
use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use aws_smithy_http_client::{Builder, tls};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The pauses between attempts: doubled from the first to the last, and each drawn between half of it and all.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(8);
/// The slowest link with which an attempt may still end in time.
const BYTES_PER_SECOND: u64 = 256 * 1024;
const ATTEMPT: Duration = Duration::from_secs(15);
/// Files are locked for more than a day longer than asked, so that what one backup writes first outlives its last.
const BEYOND: Duration = Duration::from_hours(25);
/// Locks that are extended at once.
const AT_ONCE: usize = 16;

/// What is under a prefix of a bucket.
pub(super) struct Bucket {
    client: Client,
    location: String,
    name: String,
    prefix: String,
    lock: Option<Lock>,
    patience: Duration,
}

/// A client that leaves retrying to us; with TLS unless the endpoint says otherwise.
pub(super) fn client(endpoint: Option<&str>, region: &str, credentials: Credentials) -> Result<Client, Error> {
    let http = match endpoint {
        Some(endpoint) if endpoint.starts_with("http://") => Builder::new().build_http(),
        Some(endpoint) if !endpoint.starts_with("https://") => {
            let error = Error::new(format!("cannot reach `{endpoint}`"), "it is no URL");
            return Err(error.hint("write https://HOST, or http://HOST where nobody listens"));
        }
        _ => Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https(),
    };
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(credentials)
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_secs(5)).build());
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint).force_path_style(true);
    }
    Ok(Client::from_conf(config.build()))
}

/// Why an attempt failed, and whether another may do better.
struct Attempt {
    error: Error,
    again: bool,
}

impl Bucket {
    pub fn new(
        client: Client,
        location: String,
        bucket: &str,
        prefix: &str,
        lock: Option<Lock>,
        patience: Duration,
    ) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { client, location, name: bucket.to_owned(), prefix, lock, patience }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Tries until it is done, it is refused, or the time is over.
    async fn patiently<T, F>(&self, bytes: u64, attempt: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, Attempt>> + Send,
    {
        let (deadline, mut pause, mut attempts) = (Deadline::within(self.patience), FIRST_PAUSE, 0_u32);
        let limit = ATTEMPT + Duration::from_secs(bytes / BYTES_PER_SECOND);
        loop {
            attempts += 1;
            let mut error = match timeout(limit, attempt()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(Attempt { error, again: false })) => return Err(error),
                Ok(Err(Attempt { error, .. })) => error,
                Err(_) => {
                    let why = format!("no answer within {} s", limit.as_secs());
                    Error::new(format!("cannot reach `{}`", self.location), why).kind(ErrorKind::TimedOut)
                }
            };
            let wait = pause.mul_f64(rand::random_range(0.5..1.0));
            if deadline.left() <= wait {
                error.why = format!("{} (asked {attempts} times in {} s)", error.why, self.patience.as_secs());
                return Err(error);
            }
            sleep(wait).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Until when what is written now is locked.
    fn retention(&self) -> Option<(LockMode, DateTime)> {
        let lock = self.lock?;
        let seconds = i64::try_from((lock.period.span().0 + BEYOND).as_secs()).unwrap_or(i64::MAX / 4);
        Some((lock.mode, DateTime::from_secs(wall().as_second().saturating_add(seconds))))
    }

    fn put(&self, name: &str, bytes: Bytes, how: Writing) -> PutObjectFluentBuilder {
        let request = self.client.put_object().bucket(&self.name).key(self.key(name)).body(ByteStream::from(bytes));
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32C);
        match (how, self.retention()) {
            (Writing::Kept, Some((mode, until))) => {
                let mode = match mode {
                    LockMode::Governance => ObjectLockMode::Governance,
                    LockMode::Compliance => ObjectLockMode::Compliance,
                };
                request.object_lock_mode(mode).object_lock_retain_until_date(until)
            }
            (Writing::New, _) => request.if_none_match("*"),
            _ => request,
        }
    }

    /// Locks a file until `until`, unless it is locked for longer.
    async fn extend(&self, name: &str, mode: LockMode, until: DateTime) -> Result<(), Error> {
        let mode = match mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(until).build();
        let extended = self
            .patiently(0, || async {
                let request = self.client.put_object_retention().bucket(&self.name).key(self.key(name));
                let sent = request.retention(retention.clone()).send().await;
                sent.map(|_| ()).map_err(|e| attempt(format!("cannot lock `{name}`"), &e))
            })
            .await;
        match extended {
            Err(error) if error.kind != ErrorKind::NotFound => {
                let locked = self.locked_until(name).await.ok().flatten();
                if locked.is_some_and(|it| it.as_second() >= until.secs()) { Ok(()) } else { Err(error) }
            }
            extended => extended,
        }
    }
}

#[async_trait]
impl Place for Bucket {
    fn location(&self) -> String {
        self.location.clone()
    }

    async fn list(&self, under: &str) -> Result<Vec<PlacedFile>, Error> {
        let (mut files, mut token): (Vec<PlacedFile>, Option<String>) = (vec![], None);
        loop {
            let page = self.patiently(0, || async {
                let request = self.client.list_objects_v2().bucket(&self.name).prefix(self.key(under));
                let sent = request.set_continuation_token(token.clone()).send().await;
                sent.map_err(|e| attempt(format!("cannot list `{}`", self.location), &e))
            });
            let page = page.await?;
            for object in page.contents() {
                let name = object.key().and_then(|key| key.strip_prefix(&self.prefix)).unwrap_or_default();
                let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                if !name.is_empty() && !name.ends_with('/') {
                    files.push(PlacedFile { name: name.to_owned(), size });
                }
            }
            let next = page.next_continuation_token().map(str::to_owned);
            match next {
                Some(next) if token.as_ref() != Some(&next) => token = Some(next),
                Some(_) => return Err(Error::new(format!("cannot list `{}`", self.location), "its pages never end")),
                None if page.is_truncated() == Some(true) => {
                    return Err(Error::new(format!("cannot list `{}`", self.location), "a page names no next one"));
                }
                None => return Ok(files),
            }
        }
    }

    async fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Error> {
        let length = range.as_ref().map_or(64 << 20, |range| range.end - range.start);
        self.patiently(length, || async {
            let what = || format!("cannot read `{name}` of `{}`", self.location);
            let mut request = self.client.get_object().bucket(&self.name).key(self.key(name));
            if let Some(range) = &range {
                request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
            }
            let answer = request.send().await.map_err(|e| attempt(what(), &e))?;
            let expected = range.as_ref().map(|range| range.end - range.start);
            let expected = expected.or(answer.content_length().and_then(|n| u64::try_from(n).ok()));
            let again = |error: Error| Attempt { error, again: true };
            let bytes = answer.body.collect().await.map_err(|e| again(Error::caused_by(what(), e)))?.into_bytes();
            match expected {
                Some(expected) if expected != bytes.len() as u64 => {
                    Err(again(Error::new(what(), format!("{} of {expected} bytes came", bytes.len()))))
                }
                _ => Ok(bytes),
            }
        })
        .await
    }

    async fn write(&self, name: &str, bytes: Bytes, how: Writing) -> Result<bool, Error> {
        let written = self.patiently(bytes.len() as u64, || async {
            match self.put(name, bytes.clone(), how).send().await {
                Ok(_) => Ok(true),
                Err(e) if how == Writing::New && e.code() == Some("PreconditionFailed") => Ok(false),
                Err(e) => {
                    let mut failed = attempt(format!("cannot write `{name}` to `{}`", self.location), &e);
                    // Two of the same name at once: one of them may be tried again.
                    failed.again |= e.code() == Some("ConditionalRequestConflict");
                    Err(failed)
                }
            }
        });
        if written.await? {
            return Ok(true);
        }
        // An answer that was lost on its way back looks as if another had been faster.
        Ok(!bytes.is_empty() && self.read(name, None).await.is_ok_and(|there| there == bytes))
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        self.patiently(0, || async {
            let sent = self.client.delete_object().bucket(&self.name).key(self.key(name)).send().await;
            sent.map(|_| ()).map_err(|e| attempt(format!("cannot remove `{name}` from `{}`", self.location), &e))
        })
        .await
    }

    async fn keep_locked(&self, names: &[String]) -> Result<(), Error> {
        let Some((mode, until)) = self.retention() else { return Ok(()) };
        let extend = |name: &String| {
            let name = name.clone();
            async move { self.extend(&name, mode, until).await }
        };
        let extending: Vec<_> = names.iter().map(extend).collect();
        stream::iter(extending).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    async fn versions(&self, under: &str) -> Result<Vec<PlacedVersion>, Error> {
        bucket_versions::list(&self.client, &self.name, (&self.prefix, under)).await
    }

    async fn remove_versions(&self, versions: &[PlacedVersion]) -> Result<(), Error> {
        bucket_versions::remove(&self.client, &self.name, &self.prefix, versions).await
    }

    async fn undelete(
        &self,
        under: &str,
        span: (Timestamp, Timestamp),
        folder: Option<&Path>,
    ) -> Result<UndeletedFiles, Error> {
        bucket_versions::undelete(&self.client, (&self.name, self.key(under)), span, folder).await
    }

    /// Read with HEAD: not every server answers the request that asks for the retention alone.
    async fn locked_until(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        let answer = self.patiently(0, || async {
            let sent = self.client.head_object().bucket(&self.name).key(self.key(name)).send().await;
            sent.map_err(|e| attempt(format!("cannot ask about `{name}` of `{}`", self.location), &e))
        });
        let until = answer.await?.object_lock_retain_until_date().map(DateTime::secs);
        Ok(until.and_then(|seconds| Timestamp::from_second(seconds).ok()))
    }
}

/// A failed attempt: what may pass with time is tried again.
fn attempt<E>(what: String, error: &SdkError<E>) -> Attempt
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let code = error.code();
    let again = match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        _ => matches!(status, Some(408 | 429 | 500 | 502 | 503 | 504)) || code == Some("RequestTimeout"),
    };
    let failed = s3::failure(what, error);
    let failed = match status {
        Some(404) => {
            let failed = failed.kind(ErrorKind::NotFound);
            if code == Some("NoSuchBucket") {
                failed.hint("make the bucket first, or is the name another?")
            } else {
                failed
            }
        }
        Some(401 | 403) => failed.kind(ErrorKind::PermissionDenied),
        _ => failed,
    };
    Attempt { error: failed, again }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const EMPTY: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";

    /// A server that answers each request with the next of these texts, the last one for ever; an empty one is a cut.
    async fn server(answers: Vec<String>) -> (Bucket, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let n = count.fetch_add(1, Ordering::SeqCst);
                let mut request = vec![0; 16 * 1024];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(answers[n.min(answers.len() - 1)].as_bytes()).await;
            }
        });
        let credentials = Credentials::new("a", "b", None, None, "test");
        let client = client(Some(&endpoint), "us-east-1", credentials).unwrap();
        (Bucket::new(client, "s3://b".into(), "b", "p", None, Duration::from_secs(2)), asked)
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn what_passes_with_time_is_tried_again() {
        let cut = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nab".to_owned();
        let answers = vec![answer("503 Slow Down", ""), String::new(), cut, answer("200 OK", "whole")];
        let (bucket, asked) = server(answers).await;
        assert_eq!(&bucket.read("config", None).await.unwrap()[..], b"whole");
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        let (bucket, _) = server(vec![answer("500 Internal Server Error", ""), answer("200 OK", EMPTY)]).await;
        assert_eq!(bucket.list("").await.unwrap(), []);
    }

    #[tokio::test]
    async fn the_trying_ends_with_an_error_that_says_how_often() {
        let (bucket, asked) = server(vec![answer("503 Slow Down", "")]).await;
        let error = bucket.write("data/x", "bytes".into(), Writing::Kept).await.unwrap_err();
        let asked = asked.load(Ordering::SeqCst);
        assert!(asked > 2 && error.to_string().contains(&format!("(asked {asked} times in 2 s)")), "{error}");
        let error = bucket.list("").await.unwrap_err();
        assert!(error.to_string().contains("cannot list"), "a list that fails is no empty list: {error}");
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer() {
        let body = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
        let (bucket, asked) = server(vec![answer("403 Forbidden", body)]).await;
        let error = bucket.read("config", None).await.unwrap_err();
        assert_eq!((error.kind, asked.load(Ordering::SeqCst)), (ErrorKind::PermissionDenied, 1), "{error}");
    }

    #[tokio::test]
    async fn pages_that_never_end_are_an_error() {
        let page = "<ListBucketResult><IsTruncated>true</IsTruncated>\
                    <NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
        let (bucket, _) = server(vec![answer("200 OK", page)]).await;
        assert!(bucket.list("").await.unwrap_err().to_string().contains("never end"));
    }
}
