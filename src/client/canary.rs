//! Small tasks over MLflow's REST API that workload, probe and check share: an experiment by name, a run written and
//! read back, the file of a model in production. Apart because those rooms may not import each other.

use super::{Trouble, mlflow::Mlflow};
use crate::clock;
use serde_json::{Value, json};

/// The id of the experiment of that name, which is created if it is missing and restored if it was deleted: a
/// deleted one keeps its name and takes no runs.
pub async fn experiment(mlflow: &Mlflow, name: &str) -> Result<String, Trouble> {
    let found = match find(mlflow, name).await? {
        Some(found) => found,
        None => match mlflow.post("experiments/create", &json!({ "name": name })).await {
            Ok(made) => return text(&made["experiment_id"], "experiments/create"),
            // Somebody else was faster.
            Err(trouble) => find(mlflow, name).await?.ok_or(trouble)?,
        },
    };
    let id = text(&found["experiment_id"], "experiments/get-by-name")?;
    if found["lifecycle_stage"] == "deleted" {
        mlflow.post("experiments/restore", &json!({ "experiment_id": id })).await?;
    }
    Ok(id)
}

/// The id of the experiment of that name, if there is one, be it deleted.
pub async fn known_experiment(mlflow: &Mlflow, name: &str) -> Result<Option<String>, Trouble> {
    let found = find(mlflow, name).await?;
    found.map(|found| text(&found["experiment_id"], "experiments/get-by-name")).transpose()
}

async fn find(mlflow: &Mlflow, name: &str) -> Result<Option<Value>, Trouble> {
    match mlflow.get("experiments/get-by-name", &[("experiment_name", name)]).await {
        Ok(mut found) => Ok(Some(found["experiment"].take())),
        Err(trouble) if missing(&trouble) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// Does the answer say that the thing asked for does not exist?
pub fn missing(trouble: &Trouble) -> bool {
    trouble.why.contains("RESOURCE_DOES_NOT_EXIST")
}

/// Creates a run with a param and a metric, reads it back and compares; answers the run's id.
pub async fn round_trip(mlflow: &Mlflow, experiment: &str, name: &str) -> Result<String, Trouble> {
    let now = clock::unix_milliseconds();
    let made = mlflow
        .post("runs/create", &json!({ "experiment_id": experiment, "run_name": name, "start_time": now }))
        .await?;
    let run = text(&made["run"]["info"]["run_id"], "runs/create")?;
    let (value, written) = (0.5, now.to_string());
    let batch = json!({
        "run_id": run,
        "metrics": [{ "key": "canary", "value": value, "timestamp": now, "step": 0 }],
        "params": [{ "key": "written", "value": written }],
    });
    mlflow.post("runs/log-batch", &batch).await?;
    let read = mlflow.get("runs/get", &[("run_id", &run)]).await?;
    let data = &read["run"]["data"];
    let metric = &entry(&data["metrics"], "canary")["value"];
    let param = &entry(&data["params"], "written")["value"];
    if metric.as_f64() != Some(value) || param.as_str() != Some(written.as_str()) {
        return Err(wrong("runs/get", &format!("canary {metric}, written {param}")));
    }
    Ok(run)
}

/// The artifact path of the largest file of a model in production.
pub async fn production_file(mlflow: &Mlflow) -> Result<String, Trouble> {
    let found = mlflow.get("registered-models/search", &[("max_results", "1000")]).await?;
    let models = found["registered_models"].as_array().into_iter().flatten();
    let version = models
        .flat_map(|model| model["latest_versions"].as_array().into_iter().flatten())
        .find(|version| version["current_stage"] == "Production")
        .ok_or_else(|| Trouble::new("cannot find a model in production", "the registry names none"))?;
    let (name, number) = (text(&version["name"], "a version")?, text(&version["version"], "a version")?);
    let query = [("name", name.as_str()), ("version", number.as_str())];
    let uri = mlflow.get("model-versions/get-download-uri", &query).await?;
    let uri = text(&uri["artifact_uri"], "get-download-uri")?;
    let root = uri
        .strip_prefix("mlflow-artifacts:/")
        .ok_or_else(|| Trouble::new(format!("cannot download `{name}`"), format!("`{uri}` is not behind MLflow")))?;
    let root = root.trim_matches('/');
    let listed = mlflow.list_artifacts(root).await?;
    let files = listed["files"].as_array().into_iter().flatten().filter(|file| file["is_dir"] != true);
    let largest = files
        .max_by_key(|file| file["file_size"].as_u64())
        .ok_or_else(|| Trouble::new(format!("cannot download `{name}`"), format!("nothing is under `{root}`")))?;
    Ok(format!("{root}/{}", text(&largest["path"], "the list of artifacts")?))
}

/// The entry of a list of `{"key", "value"}`.
pub fn entry<'a>(list: &'a Value, key: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    list.as_array().into_iter().flatten().find(|entry| entry["key"] == key).unwrap_or(&NULL)
}

/// A text that must be in an answer.
pub fn text(value: &Value, what: &str) -> Result<String, Trouble> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(what, "an expected text is missing"))
}

/// The answer came and was not the right one.
pub fn wrong(what: &str, seen: &str) -> Trouble {
    Trouble::new(what, format!("wrong content: {seen}"))
}

/// The trouble in a few words, as a report shows it beside a time.
pub fn short(trouble: &Trouble) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("onnection refused", "connection refused"),
        ("onnection reset", "connection reset"),
        ("onnection closed", "connection closed"),
        ("timed out", "timeout"),
        ("dns error", "name not resolved"),
    ];
    let known = WORDS.iter().find(|(sign, _)| trouble.why.contains(sign));
    known.map_or_else(|| trouble.why.clone(), |(_, word)| (*word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_said_in_two_words() {
        let long =
            "error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)";
        assert_eq!(short(&Trouble::new("GET /health", long)), "connection refused");
        assert_eq!(short(&Trouble::new("x", "503 TEMPORARILY_UNAVAILABLE")), "503 TEMPORARILY_UNAVAILABLE");
    }

    #[test]
    fn an_entry_that_is_not_there_is_null() {
        assert!(entry(&json!({}), "a").is_null());
        assert_eq!(entry(&json!([{ "key": "a", "value": 1 }]), "a")["value"], 1);
    }
}
