//! MLflow's REST API, as thin as it can be: JSON in, JSON out, and the artifacts behind its proxy.
//!
//! An empty list is `{}` with the key missing, a missing artifact is a 500 and not a 404, and a route that does
//! not exist answers HTML (MLflow 3.17): so answers stay JSON values, and callers say what they expect.

use super::{Error, ErrorKind};
use crate::clock::Deadline;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response};
use serde_json::Value;
use std::time::Duration;

/// A client of one MLflow server.
#[derive(Debug, Clone)]
pub struct Mlflow {
    base: String,
    http: Client,
    /// How long a connection that is not answered is tried again; none for a probe.
    patience: Option<Duration>,
}

/// How long one try for a connection may take, where another follows.
const CONNECT: Duration = Duration::from_secs(2);
/// From one such try to the next.
const PAUSE: Duration = Duration::from_millis(100);

impl Mlflow {
    /// With pooled connections, as real clients have. `base` is the server's URL. A connection that nobody answers is
    /// tried again, as [`Self::patient`] does.
    pub fn pooled(base: &str, timeout: Duration) -> Result<Self, Error> {
        Self::build(base, Client::builder().timeout(timeout), Some(timeout))
    }

    /// With a connection of its own for each request, tried once, as a probe must have.
    pub fn fresh(base: &str, timeout: Duration) -> Result<Self, Error> {
        Self::build(base, Client::builder().timeout(timeout).pool_max_idle_per_host(0), None)
    }

    /// With a connection of its own for each request, for those who ask what is there and not how well it answers. A
    /// connection that nobody answers is tried again for as long as a request may take.
    ///
    /// After a pod of a cluster was replaced, a few new connections to its service hang or have no route to their host
    /// (seen with kube-proxy's iptables mode), as if the node still sent them to the old pod.
    pub fn patient(base: &str, timeout: Duration) -> Result<Self, Error> {
        Self::build(base, Client::builder().timeout(timeout).pool_max_idle_per_host(0), Some(timeout))
    }

    fn build(base: &str, builder: ClientBuilder, patience: Option<Duration>) -> Result<Self, Error> {
        let builder = if patience.is_some() { builder.connect_timeout(CONNECT) } else { builder };
        let http = builder.no_proxy().build().map_err(|e| Error::caused_by("cannot make an HTTP client", e))?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http, patience })
    }

    /// `GET /health`: says that the process lives, and nothing of its database.
    pub async fn health(&self) -> Result<(), Error> {
        self.send("GET /health", self.http.get(format!("{}/health", self.base))).await.map(|_| ())
    }

    /// `GET /api/2.0/mlflow/PATH` with a query.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Error> {
        let url = format!("{}/api/2.0/mlflow/{path}", self.base);
        self.json(&format!("GET {path}"), self.http.get(url).query(query)).await
    }

    /// `POST /api/2.0/mlflow/PATH`.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::POST, path, body).await
    }

    /// Any other method with a JSON body.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        let url = format!("{}/api/2.0/mlflow/{path}", self.base);
        self.json(&format!("{method} {path}"), self.http.request(method, url).json(body)).await
    }

    /// Downloads an artifact; `path` is relative to the artifact root (`1/RUN/artifacts/model/MLmodel`).
    pub async fn artifact(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.send(&format!("GET artifact `{path}`"), self.http.get(self.artifact_url(path))).await
    }

    /// Downloads an artifact and keeps nothing of it: its digest, and how many bytes it has.
    ///
    /// # Errors
    /// When it is larger than `limit` bytes too: nobody knows what stands at the other end.
    pub async fn artifact_digest(&self, path: &str, limit: u64) -> Result<(blake3::Hash, u64), Error> {
        let what = format!("GET artifact `{path}`");
        let mut answer = self.answer(&what, self.http.get(self.artifact_url(path))).await?;
        let (mut hasher, mut length) = (blake3::Hasher::new(), 0);
        while let Some(chunk) = answer.chunk().await.map_err(|e| Error::caused_by(&what, e.without_url()))? {
            length += chunk.len() as u64;
            if length > limit {
                return Err(Error::new(what, format!("it is larger than {limit} bytes")));
            }
            hasher.update(&chunk);
        }
        Ok((hasher.finalize(), length))
    }

    /// Uploads an artifact.
    pub async fn put_artifact(&self, path: &str, body: Vec<u8>) -> Result<(), Error> {
        let request = self.http.put(self.artifact_url(path)).body(body);
        self.send(&format!("PUT artifact `{path}`"), request).await.map(|_| ())
    }

    /// Deletes an artifact.
    pub async fn delete_artifact(&self, path: &str) -> Result<(), Error> {
        self.send(&format!("DELETE artifact `{path}`"), self.http.delete(self.artifact_url(path))).await.map(|_| ())
    }

    /// Lists the artifacts under a path: `{"files":[{"path","is_dir","file_size"}]}`, paths relative to it.
    pub async fn list_artifacts(&self, path: &str) -> Result<Value, Error> {
        let url = format!("{}/api/2.0/mlflow-artifacts/artifacts", self.base);
        self.json(&format!("list artifacts `{path}`"), self.http.get(url).query(&[("path", path)])).await
    }

    fn artifact_url(&self, path: &str) -> String {
        format!("{}/api/2.0/mlflow-artifacts/artifacts/{path}", self.base)
    }

    async fn json(&self, what: &str, request: RequestBuilder) -> Result<Value, Error> {
        let body = self.send(what, request).await?;
        serde_json::from_slice(&body).map_err(|_| Error::new(what, "the answer is not JSON"))
    }

    async fn send(&self, what: &str, request: RequestBuilder) -> Result<Vec<u8>, Error> {
        let answer = self.answer(what, request).await?;
        let body = answer.bytes().await.map_err(|e| Error::caused_by(what, e.without_url()))?;
        Ok(body.to_vec())
    }

    /// The answer, if it is a success.
    async fn answer(&self, what: &str, request: RequestBuilder) -> Result<Response, Error> {
        let answer = self.ask(what, request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.map_err(|e| Error::caused_by(what, e.without_url()))?;
        let said =
            serde_json::from_slice::<Value>(&body).ok().and_then(|v| v["error_code"].as_str().map(str::to_owned));
        let kind = match said.as_deref() {
            Some("RESOURCE_DOES_NOT_EXIST") => ErrorKind::NotFound,
            _ => ErrorKind::Other,
        };
        let said = said.map(|code| format!(" {code}")).unwrap_or_default();
        Err(Error::new(what, format!("{}{said}", status.as_u16())).kind(kind))
    }

    /// Sends a request and waits for the answer. What could not connect has sent nothing, so it may be tried again.
    async fn ask(&self, what: &str, request: RequestBuilder) -> Result<Response, Error> {
        let deadline = self.patience.map(Deadline::within);
        loop {
            let (attempt, again) = match request.try_clone() {
                Some(attempt) => (attempt, deadline.is_some_and(|deadline| !deadline.passed())),
                None => return request.send().await.map_err(|e| Error::caused_by(what, e.without_url())),
            };
            let error = match attempt.send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let unanswered = error.is_connect();
            let error = Error::caused_by(what, error.without_url());
            let lost = unanswered && matches!(error.kind, ErrorKind::TimedOut | ErrorKind::HostUnreachable);
            if !lost || !again {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use reqwest::dns::{Addrs, Name, Resolve, Resolving};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    /// Names the address that never answers, so often; then the other one.
    struct Lost {
        silent: SocketAddr,
        answering: SocketAddr,
        times: AtomicUsize,
    }

    impl Resolve for Lost {
        fn resolve(&self, _: Name) -> Resolving {
            let lost = self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            let address = if lost { self.silent } else { self.answering };
            Box::pin(async move { Ok(Box::new(std::iter::once(address)) as Addrs) })
        }
    }

    /// An address at which a connection is never answered: its queue is full, and nobody takes from it.
    async fn silent() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut queue = vec![];
        let connect = || TcpStream::connect(listener.local_addr().unwrap());
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), connect()).await {
            queue.push(stream.unwrap());
        }
        (listener, queue)
    }

    async fn serve(listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK").await;
        }
    }

    #[tokio::test]
    async fn a_connection_that_nobody_answers_is_tried_again_but_by_no_probe() {
        let (listener, _queue) = silent().await;
        let answering = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (silent, address) = (listener.local_addr().unwrap(), answering.local_addr().unwrap());
        let server = tokio::spawn(serve(answering));
        let health = async |times: usize, timeout: Duration, patience: Option<Duration>| {
            let lost = Arc::new(Lost { silent, answering: address, times: AtomicUsize::new(times) });
            let builder = Client::builder().timeout(timeout).dns_resolver(lost);
            Mlflow::build("http://mlflow.invalid", builder, patience).unwrap().health().await
        };
        let (short, long) = (Duration::from_millis(500), Duration::from_secs(10));
        assert!(health(0, short, None).await.is_ok());
        assert!(health(1, short, None).await.is_err(), "a probe tells what it saw");
        assert!(health(1, long, Some(long)).await.is_ok());
        let error = health(usize::MAX, short, Some(short)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
        server.abort();
        let _ = server.await;
        let error = health(0, long, Some(long)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ConnectionRefused, "that is an answer: {error}");
    }
}
