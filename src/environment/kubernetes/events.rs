//! The cluster's warnings about a component: when a quota or a webhook refuses a pod, or a claim finds no disk, neither
//! the pod nor its workload says why; an event does.

use crate::client::kubernetes::ask;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client};
use std::cmp::Reverse;
use std::collections::HashSet;

/// A claim has no disk yet. The cluster does not call this a warning, because a disk may still come.
const WAITS: &str = "ExternalProvisioning";

/// The warnings about a component in a namespace: the last of each reason, the newest first; none if they may not be
/// read.
pub async fn warnings(client: &Client, namespace: &str, name: &str) -> Vec<Warning> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let told = ask("cannot list the events", events.list(&ListParams::default())).await;
    told.map_or_else(|_| vec![], |told| latest(told.items, name))
}

fn latest(mut events: Vec<Event>, name: &str) -> Vec<Warning> {
    let bad = |event: &Event| event.type_.as_deref() == Some("Warning") || event.reason.as_deref() == Some(WAITS);
    let about = |event: &Event| event.involved_object.name.as_deref().is_some_and(|object| is_about(object, name));
    events.retain(|event| bad(event) && about(event));
    events.sort_by_key(|event| Reverse(when(event)));
    let mut reasons = HashSet::new();
    let warnings = events.into_iter().map(|event| Warning {
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default().trim().to_owned(),
    });
    warnings.filter(|warning| reasons.insert(warning.reason.clone())).collect()
}

/// A warning of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// One word, such as `FailedCreate`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// Is it the object itself, or one with its name in front: `postgres-0`, `data-postgres-0`, `mlflow-5c9d…`?
fn is_about(object: &str, name: &str) -> bool {
    let object = object.strip_prefix("data-").unwrap_or(object);
    object.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn when(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref().map(|time| time.0));
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_each_reason_the_last_warning_is_given_and_noobject_of_what_went_well() {
        let event = |second: u8, kind: &str, reason: &str, object: &str| -> Event {
            let event = json!({ "metadata": {}, "type": kind, "reason": reason, "message": format!("at {second} "),
                "involvedObject": { "name": object }, "lastTimestamp": format!("2026-01-01T00:00:{second:02}Z") });
            serde_json::from_value(event).unwrap()
        };
        let events = vec![
            event(1, "Warning", "FailedScheduling", "postgres-0"),
            event(5, "Normal", "Scheduled", "postgres-0"),
            event(3, "Normal", WAITS, "data-postgres-0"),
            event(2, "Warning", "FailedScheduling", "postgres-0"),
            event(4, "Warning", "BackOff", "mlflow-1"),
        ];
        let told: Vec<_> = latest(events, "postgres").into_iter().map(|it| (it.reason, it.message)).collect();
        let expected = [(WAITS, "at 3"), ("FailedScheduling", "at 2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(told, expected);
    }

    #[test]
    fn a_warning_is_about_a_component_if_the_object_has_its_name() {
        for object in ["postgres", "postgres-0", "data-postgres-0"] {
            assert!(is_about(object, "postgres"), "{object}");
        }
        for object in ["postgresql", "mlflow-1", "data-mlflow-0"] {
            assert!(!is_about(object, "postgres"), "{object}");
        }
    }
}
