//! Small tasks over MLflow's REST API that workload, probe and check share: an experiment by name, a run written and
//! read back, the file of a model in production. Apart because those rooms may not import each other.

use super::{Error, ErrorKind, mlflow::Mlflow};
use crate::clock;
use serde_json::{Value, json};

/// The name of a mark's object, in its run's artifacts.
pub const MARK_FILE: &str = "mark.bin";

/// The id of the experiment of that name, which is created if it is missing and restored if it was deleted: a
/// deleted one keeps its name and takes no runs.
pub async fn experiment(mlflow: &Mlflow, name: &str) -> Result<String, Error> {
    let found = match find(mlflow, name).await? {
        Some(found) => found,
        None => match mlflow.post("experiments/create", &json!({ "name": name })).await {
            Ok(made) => return text(&made["experiment_id"], "experiments/create"),
            // Somebody else was faster.
            Err(error) => find(mlflow, name).await?.ok_or(error)?,
        },
    };
    let id = text(&found["experiment_id"], "experiments/get-by-name")?;
    if found["lifecycle_stage"] == "deleted" {
        mlflow.post("experiments/restore", &json!({ "experiment_id": id })).await?;
    }
    Ok(id)
}

/// The id of the experiment of that name, if there is one, be it deleted.
pub async fn known_experiment(mlflow: &Mlflow, name: &str) -> Result<Option<String>, Error> {
    let found = find(mlflow, name).await?;
    found.map(|found| text(&found["experiment_id"], "experiments/get-by-name")).transpose()
}

async fn find(mlflow: &Mlflow, name: &str) -> Result<Option<Value>, Error> {
    match mlflow.get("experiments/get-by-name", &[("experiment_name", name)]).await {
        Ok(mut found) => Ok(Some(found["experiment"].take())),
        Err(error) if missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Does the answer say that the thing asked for does not exist?
pub fn missing(error: &Error) -> bool {
    error.kind == ErrorKind::NotFound
}

/// Creates a run with a param and a metric, reads it back and compares; answers the run's id.
pub async fn round_trip(mlflow: &Mlflow, experiment: &str, name: &str) -> Result<String, Error> {
    let now = clock::unix_milliseconds();
    let made = mlflow
        .post("runs/create", &json!({ "experiment_id": experiment, "run_name": name, "start_time": now }))
        .await?;
    let run = text(&made["run"]["info"]["run_id"], "runs/create")?;
    let (value, written) = (0.5, now.to_string());
    let batch = json!({
        "run_id": run,
        "metrics": [{ "key": "probe", "value": value, "timestamp": now, "step": 0 }],
        "params": [{ "key": "written", "value": written }],
    });
    mlflow.post("runs/log-batch", &batch).await?;
    let read = mlflow.get("runs/get", &[("run_id", &run)]).await?;
    let data = &read["run"]["data"];
    let metric = &entry(&data["metrics"], "probe")["value"];
    let param = &entry(&data["params"], "written")["value"];
    if metric.as_f64() != Some(value) || param.as_str() != Some(written.as_str()) {
        return Err(wrong("runs/get", &format!("probe {metric}, written {param}")));
    }
    Ok(run)
}

/// The most bytes of an artifact that a probe or a check downloads at once.
pub const DOWNLOAD: u64 = 16 << 20;

/// The artifact path of a file of a model in production, or of any model if none is: the largest of those that are not
/// larger than [`DOWNLOAD`].
pub async fn production_file(mlflow: &Mlflow) -> Result<String, Error> {
    let found = mlflow.get("registered-models/search", &[("max_results", "1000")]).await?;
    let models = || found["registered_models"].as_array().into_iter().flatten();
    let versions = || models().flat_map(|model| model["latest_versions"].as_array().into_iter().flatten());
    let production = versions().find(|version| version["current_stage"] == "Production");
    let version = production
        .or_else(|| versions().next())
        .ok_or_else(|| Error::new("cannot find a model to download", "the registry has no version of any model"))?;
    let (name, number) = (text(&version["name"], "a version")?, text(&version["version"], "a version")?);
    let query = [("name", name.as_str()), ("version", number.as_str())];
    let uri = mlflow.get("model-versions/get-download-uri", &query).await?;
    let uri = text(&uri["artifact_uri"], "get-download-uri")?;
    let root = uri
        .strip_prefix("mlflow-artifacts:/")
        .ok_or_else(|| Error::new(format!("cannot download `{name}`"), format!("`{uri}` is not behind MLflow")))?;
    let root = root.trim_matches('/');
    let listed = mlflow.list_artifacts(root).await?;
    let size = |file: &&Value| file["file_size"].as_u64().unwrap_or(0);
    let files = listed["files"].as_array().into_iter().flatten().filter(|file| file["is_dir"] != true);
    let largest = files.filter(|file| size(file) <= DOWNLOAD).max_by_key(size).ok_or_else(|| {
        Error::new(format!("cannot download `{name}`"), format!("no file of up to {DOWNLOAD} bytes is under `{root}`"))
    })?;
    Ok(format!("{root}/{}", text(&largest["path"], "the list of artifacts")?))
}

/// The ended runs of all active experiments but Lifeboat's own, the oldest first, up to `count`.
pub async fn ended_runs(mlflow: &Mlflow, count: u32) -> Result<Vec<Value>, Error> {
    let body = json!({ "max_results": 1000, "view_type": "ACTIVE_ONLY" });
    let found = mlflow.post("experiments/search", &body).await?;
    let others = |it: &&Value| !it["name"].as_str().is_some_and(|name| name.starts_with("lifeboat-"));
    let experiments = found["experiments"].as_array().into_iter().flatten().filter(others);
    let ids: Vec<&str> = experiments.filter_map(|it| it["experiment_id"].as_str()).collect();
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let body = json!({
        "experiment_ids": ids, "filter": "attributes.status = 'FINISHED'", "max_results": count,
        "order_by": ["attributes.start_time ASC"],
    });
    let mut found = mlflow.post("runs/search", &body).await?;
    Ok(found["runs"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// The entry of a list of `{"key", "value"}`.
pub fn entry<'a>(list: &'a Value, key: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    list.as_array().into_iter().flatten().find(|entry| entry["key"] == key).unwrap_or(&NULL)
}

/// A text that must be in an answer.
pub fn text(value: &Value, what: &str) -> Result<String, Error> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(what, "an expected text is missing"))
}

/// The answer came and was not the right one.
pub fn wrong(what: &str, seen: &str) -> Error {
    Error::new(what, format!("wrong content: {seen}"))
}

/// The error in a few words, as a report shows it beside a time.
pub fn short(error: &Error) -> String {
    let words = match error.kind {
        ErrorKind::ConnectionRefused => "connection refused",
        ErrorKind::ConnectionReset => "connection reset",
        ErrorKind::ConnectionClosed => "connection closed",
        ErrorKind::TimedOut => "timeout",
        ErrorKind::HostUnreachable => "no route to host",
        ErrorKind::NameNotResolved => "name not resolved",
        _ => &error.why,
    };
    words.to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_refused_connection_a_silent_server_and_an_unknown_name_are_said_in_two_words() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = async |host: &str| {
            let mlflow = Mlflow::fresh(&format!("http://{host}:{port}"), Duration::from_millis(300)).unwrap();
            short(&mlflow.health().await.unwrap_err())
        };
        assert_eq!(said("127.0.0.1").await, "timeout", "it listens and never answers");
        drop(listener);
        assert_eq!(said("127.0.0.1").await, "connection refused");
        assert_eq!(said("no-such-host.invalid").await, "name not resolved");
        assert_eq!(short(&Error::new("x", "503 TEMPORARILY_UNAVAILABLE")), "503 TEMPORARILY_UNAVAILABLE");
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_the_answer_is_said_in_two_words() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { drop(listener.accept().await.unwrap().0) });
        let error = Mlflow::fresh(&url, Duration::from_secs(3)).unwrap().health().await.unwrap_err();
        server.await.unwrap();
        assert!(["connection closed", "connection reset"].contains(&short(&error).as_str()), "{error}");
    }

    #[test]
    fn an_entry_that_is_not_there_is_null() {
        assert!(entry(&json!({}), "a").is_null());
        assert_eq!(entry(&json!([{ "key": "a", "value": 1 }]), "a")["value"], 1);
    }
}
