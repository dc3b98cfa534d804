//! What the cluster has to say about things that do not come to be: where a quota or a webhook refuses a pod, where a
//! claim finds no disk, neither the pod nor its workload knows why.

use super::client::ask;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client};
use std::cmp::Reverse;
use std::collections::HashSet;

/// Nobody answers a claim: no warning, because somebody may come yet.
const WAITS: &str = "ExternalProvisioning";

/// What a namespace's events say of a component, the newest first, of each reason the last; nothing where they may not
/// be read.
pub async fn warnings(client: &Client, namespace: &str, name: &str) -> Vec<Warning> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let told = ask("cannot list the events", events.list(&ListParams::default())).await;
    told.map_or_else(|_| vec![], |told| latest(told.items, name))
}

fn latest(mut events: Vec<Event>, name: &str) -> Vec<Warning> {
    let bad = |event: &Event| event.type_.as_deref() == Some("Warning") || event.reason.as_deref() == Some(WAITS);
    let about = |event: &Event| event.involved_object.name.as_deref().is_some_and(|thing| ours(thing, name));
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

/// Is it the thing itself, or one that its name was given to: `postgres-0`, `data-postgres-0`, `mlflow-5c9d…`?
fn ours(thing: &str, name: &str) -> bool {
    let thing = thing.strip_prefix("data-").unwrap_or(thing);
    thing.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
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
    fn of_each_reason_the_last_warning_is_told_and_nothing_of_what_went_well() {
        let event = |second: u8, kind: &str, reason: &str, thing: &str| -> Event {
            let event = json!({ "metadata": {}, "type": kind, "reason": reason, "message": format!("at {second} "),
                "involvedObject": { "name": thing }, "lastTimestamp": format!("2026-01-01T00:00:{second:02}Z") });
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
    fn a_warning_is_about_a_component_if_the_thing_bears_its_name() {
        for thing in ["postgres", "postgres-0", "data-postgres-0"] {
            assert!(ours(thing, "postgres"), "{thing}");
        }
        for thing in ["postgresql", "mlflow-1", "data-mlflow-0"] {
            assert!(!ours(thing, "postgres"), "{thing}");
        }
    }
}
