//! Reads marks back: rows through MLflow, objects from the bucket itself.
//!
//! Objects are not read through MLflow, so that a digest is that of the stored object and not of what a proxy returned.

use super::write::{RunData, SUBJECT, artifact, tag};
use crate::client::{Error, mlflow::Mlflow, s3::key, tasks};
use crate::environment::{Objects, Platform};
use crate::model::{Mark, MarkState, Part};
use crate::workload::Entry;
use crate::workload::subjects::{DataState, PartState, ReadBack, judge};
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
        let (location, row, data) = rows.state(subject, mark, at);
        let path = location.filter(|_| mark.parts.contains(&Part::Object)).map(|at| artifact(&at));
        looks.push(look(platform.objects().ok(), subject.to_owned(), (row, data), path));
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

    /// The id of the subject, and the states of its row and its data. `mark` is its first one.
    fn state(&self, subject: &str, mark: &Mark, at: Option<&str>) -> (Option<String>, PartState, DataState) {
        let id = at.and_then(|at| at.rsplit('/').next()).or_else(|| self.by_subject.get(subject).map(String::as_str));
        let Some(run) = id.and_then(|id| self.runs.get(id)) else {
            return (at.map(str::to_owned), PartState::Absent, DataState::Missing);
        };
        let info = &run["info"];
        let location = || Some(format!("{}/{}", info["experiment_id"].as_str()?, info["run_id"].as_str()?));
        let state = if info["lifecycle_stage"] == "deleted" {
            PartState::Deleted
        } else {
            let value = tasks::entry(&run["data"]["tags"], tag(mark))["value"].as_str();
            PartState::Value(value.unwrap_or_default().to_owned())
        };
        (at.map(str::to_owned).or_else(location), state, data(run, mark))
    }
}

/// Are the params and the metrics there that the mark wrote?
fn data(run: &Value, mark: &Mark) -> DataState {
    if !mark.parts.contains(&Part::Data) {
        return DataState::Whole;
    }
    let written = RunData::of(mark.number);
    let params = written.params.iter().map(|(key, value)| (tasks::entry(&run["data"]["params"], key), json!(value)));
    #[allow(clippy::cast_precision_loss)] // a small whole number
    let metrics =
        written.metrics.iter().map(|(key, value)| (tasks::entry(&run["data"]["metrics"], key), json!(*value as f64)));
    let found: Vec<_> = params.chain(metrics).map(|(entry, wanted)| (&entry["value"], wanted)).collect();
    let same = |is: &Value, wanted: &Value| is == wanted || is.as_f64().is_some_and(|is| Some(is) == wanted.as_f64());
    match found.iter().all(|(is, wanted)| same(is, wanted)) {
        true => DataState::Whole,
        false if found.iter().any(|(is, _)| is.is_null()) => DataState::Missing,
        false => DataState::Changed,
    }
}

async fn look(
    objects: Option<&dyn Objects>,
    subject: String,
    (row, data): (PartState, DataState),
    path: Option<String>,
) -> (String, ReadBack) {
    let object = match path {
        Some(path) => digest(objects, &path).await,
        None => PartState::Absent,
    };
    (subject, ReadBack { row, data, object })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ledger::Operation;

    #[test]
    fn a_param_that_is_not_there_is_missing_and_a_metric_of_another_value_is_changed() {
        let (parts, value) = (vec![Part::Row, Part::Data], String::new());
        let mark = Mark { number: 7, subject: "run 1".into(), operation: Operation::Create, parts, value, at: None };
        let written = RunData::of(7);
        let list = |entries: Vec<(String, Value)>| {
            entries.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect::<Value>()
        };
        let params: Vec<_> = written.params.into_iter().map(|(key, value)| (key, json!(value))).collect();
        let metrics: Vec<_> = written.metrics.into_iter().map(|(key, value)| (key, json!(value))).collect();
        let run = |params: &[_], metrics: &[_]| json!({ "data": { "params": list(params.to_vec()), "metrics": list(metrics.to_vec()) } });
        assert_eq!(data(&run(&params, &metrics), &mark), DataState::Whole);
        assert_eq!(data(&run(&params[1..], &metrics), &mark), DataState::Missing);
        assert_eq!(data(&json!({ "data": {} }), &mark), DataState::Missing, "the second request never came");
        let mut others = metrics.clone();
        others[2].1 = json!(8.0);
        assert_eq!(data(&run(&params, &others), &mark), DataState::Changed);
        let row_only = Mark { parts: vec![Part::Row], ..mark };
        assert_eq!(data(&json!({}), &row_only), DataState::Whole);
    }
}
