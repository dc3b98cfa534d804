//! Reads marks back: rows through MLflow, objects from the bucket itself.
//!
//! Objects are not read through MLflow, so that a digest is that of the stored object and not of what a proxy returned.

use super::write::{SUBJECT, artifact, tag};
use crate::client::{Error, mlflow::Mlflow, s3::key, tasks};
use crate::environment::{Objects, Platform};
use crate::model::{Mark, MarkState, Part};
use crate::workload::Entry;
use crate::workload::subjects::{PartState, ReadBack, judge};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const AT_ONCE: usize = 32;

/// The states of the acknowledged marks.
pub async fn states(
    platform: &dyn Platform,
    mlflow: &Mlflow,
    experiment: &str,
    entries: &[Entry],
) -> Result<Vec<(u64, MarkState)>, Error> {
    let mut subjects: BTreeMap<&str, (&Mark, Option<&str>)> = BTreeMap::new();
    for entry in entries {
        let (_, at) = subjects.entry(&entry.mark.subject).or_insert((&entry.mark, None));
        *at = at.or(entry.mark.at.as_deref());
    }
    let known =
        subjects.values().filter_map(|(_, at)| at.and_then(|at| at.split_once('/'))).map(|(id, _)| id.to_owned());
    let mut experiments: BTreeSet<String> = known.collect();
    experiments.extend(tasks::known_experiment(mlflow, experiment).await?);
    let rows = Rows::ask(mlflow, &experiments).await?;
    let mut looks = vec![];
    for (subject, (mark, at)) in subjects {
        let (location, row) = rows.state(subject, mark, at);
        let path = location.filter(|_| mark.parts.contains(&Part::Object)).map(|at| artifact(&at));
        looks.push(look(platform.objects().ok(), subject.to_owned(), row, path));
    }
    let seen: BTreeMap<_, _> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
    Ok(judge(entries, &seen))
}

/// The runs of the marks' experiments, by id and by subject.
#[derive(Default)]
struct Rows {
    runs: BTreeMap<String, Value>,
    by_subject: BTreeMap<String, String>,
}

impl Rows {
    async fn ask(mlflow: &Mlflow, experiments: &BTreeSet<String>) -> Result<Self, Error> {
        let mut rows = Self::default();
        let mut page = Value::Null;
        while !experiments.is_empty() {
            let mut body = json!({ "experiment_ids": experiments, "run_view_type": "ALL", "max_results": 1000 });
            if page.is_string() {
                body["page_token"] = page;
            }
            let mut found = mlflow.post("runs/search", &body).await?;
            for run in found["runs"].as_array_mut().into_iter().flatten() {
                let id = tasks::text(&run["info"]["run_id"], "runs/search")?;
                if let Some(subject) = tasks::entry(&run["data"]["tags"], SUBJECT)["value"].as_str() {
                    rows.by_subject.insert(subject.to_owned(), id.clone());
                }
                rows.runs.insert(id, run.take());
            }
            page = found["next_page_token"].take();
            if page.as_str().is_none_or(str::is_empty) {
                break;
            }
        }
        Ok(rows)
    }

    /// The id of the subject, and the state of its row.
    fn state(&self, subject: &str, mark: &Mark, at: Option<&str>) -> (Option<String>, PartState) {
        let id = at.and_then(|at| at.rsplit('/').next()).or_else(|| self.by_subject.get(subject).map(String::as_str));
        let Some(run) = id.and_then(|id| self.runs.get(id)) else { return (at.map(str::to_owned), PartState::Absent) };
        let info = &run["info"];
        let location = || Some(format!("{}/{}", info["experiment_id"].as_str()?, info["run_id"].as_str()?));
        let state = if info["lifecycle_stage"] == "deleted" {
            PartState::Deleted
        } else {
            let value = tasks::entry(&run["data"]["tags"], tag(mark))["value"].as_str();
            PartState::Value(value.unwrap_or_default().to_owned())
        };
        (at.map(str::to_owned).or_else(location), state)
    }
}

async fn look(
    objects: Option<&dyn Objects>,
    subject: String,
    row: PartState,
    path: Option<String>,
) -> (String, ReadBack) {
    let object = match path {
        Some(path) => digest(objects, &path).await,
        None => PartState::Absent,
    };
    (subject, ReadBack { row, object })
}

async fn digest(objects: Option<&dyn Objects>, path: &str) -> PartState {
    let Some(objects) = objects else { return PartState::Unread };
    let request = objects.s3().get_object().bucket(objects.bucket()).key(key(objects.prefix(), path));
    match request.send().await {
        Ok(found) => match found.body.collect().await {
            Ok(bytes) => PartState::Value(blake3::hash(&bytes.into_bytes()).to_hex().to_string()),
            Err(_) => PartState::Unread,
        },
        Err(error) if gone(&error) => PartState::Absent,
        Err(_) => PartState::Unread,
    }
}

fn gone(error: &aws_sdk_s3::error::SdkError<aws_sdk_s3::operation::get_object::GetObjectError>) -> bool {
    // If the bucket is gone, the object is gone. If there was no answer, that is not known.
    error.raw_response().is_some_and(|response| response.status().as_u16() == 404)
}
