//! MLflow's REST API, as thin as it can be: JSON in, JSON out, and the artifacts behind its proxy.
//!
//! An empty list is `{}` with the key missing, a missing artifact is a 500 and not a 404, and a route that does
//! not exist answers HTML (MLflow 3.17): so answers stay JSON values, and callers say what they expect.

use super::{Error, ErrorKind};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use std::time::Duration;

/// A client of one MLflow server.
#[derive(Debug, Clone)]
pub struct Mlflow {
    base: String,
    http: Client,
}

impl Mlflow {
    /// With pooled connections, as real clients have. `base` is the server's URL.
    pub fn pooled(base: &str, timeout: Duration) -> Result<Self, Error> {
        Self::build(base, Client::builder().timeout(timeout))
    }

    /// With a connection of its own for each request, as a probe must have.
    pub fn fresh(base: &str, timeout: Duration) -> Result<Self, Error> {
        Self::build(base, Client::builder().timeout(timeout).pool_max_idle_per_host(0))
    }

    fn build(base: &str, builder: reqwest::ClientBuilder) -> Result<Self, Error> {
        let http = builder.no_proxy().build().map_err(|e| Error::caused_by("cannot make an HTTP client", e))?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
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
        let answer = request.send().await.map_err(|e| Error::caused_by(what, e.without_url()))?;
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
}
