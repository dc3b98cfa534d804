//! How a job and its pods are, in a sentence: has it ended, and if not, why not.
//!
//! Apart because it is pure.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::ResourceExt;

/// A missing image does not come by itself. A first failed pull is not among these: it may pass.
const NO_IMAGE: [&str; 3] = ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"];

/// Has it ended, and well? If not well, why.
pub fn ended(job: &Job) -> Option<Result<(), String>> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let holds = |kind: &str| conditions.iter().find(|it| it.type_ == kind && it.status == "True");
    if holds("Complete").is_some() {
        return Some(Ok(()));
    }
    let failed = holds("Failed")?;
    let said = [failed.reason.as_deref(), failed.message.as_deref()];
    let said: Vec<_> = said.into_iter().flatten().filter(|text| !text.is_empty()).collect();
    Some(Err(format!("it failed: {}", if said.is_empty() { "it does not say why".into() } else { said.join(": ") })))
}

/// Why a pod can never start, if that is so.
pub fn hopeless(pod: &Pod) -> Option<String> {
    let waits = |status: &ContainerStatus| status.state.as_ref()?.waiting.as_ref()?.reason.clone();
    let image = |status: &ContainerStatus| waits(status).is_some_and(|reason| NO_IMAGE.contains(&reason.as_str()));
    containers(pod).any(image).then(|| of_pod(pod))
}

/// How a pod is.
pub fn of_pod(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let unscheduled = conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False");
    let waiting = containers(pod).find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        // That others start first is no reason.
        let reason = waiting.reason.as_deref().filter(|reason| *reason != "PodInitializing")?;
        let said = waiting.message.as_deref().map(|said| format!(": {said}")).unwrap_or_default();
        Some(format!("waits: {reason}{said}"))
    });
    let ended = || {
        let code = |status: &ContainerStatus| Some(status.state.as_ref()?.terminated.as_ref()?.exit_code);
        containers(pod).filter_map(code).find(|code| *code != 0).map(|code| format!("ended with {code}"))
    };
    let phase = || format!("is {}", status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending"));
    let state = match unscheduled {
        Some(condition) => {
            format!("is on no node: {}", condition.message.as_deref().unwrap_or("the cluster does not say why"))
        }
        None => waiting.or_else(ended).unwrap_or_else(phase),
    };
    format!("pod `{}` {state}", pod.name_any())
}

/// How a job is that has not ended.
pub fn of_job(job: &Job, pods: &[Pod]) -> String {
    if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) {
        return "it is suspended".into();
    }
    // The newest says most: those before it have failed.
    let newest = pods.iter().max_by_key(|pod| pod.creation_timestamp());
    newest.map_or_else(|| "it has no pod".into(), of_pod)
}

/// The latest warning of the cluster about one of these: its reason and what it says.
pub fn warning(events: &[Event], uids: &[String]) -> Option<(String, String)> {
    let about = |event: &&Event| {
        let uid = event.involved_object.uid.as_ref();
        event.type_.as_deref() == Some("Warning") && uid.is_some_and(|uid| uids.contains(uid))
    };
    let last = events.iter().filter(about).max_by_key(|event| {
        (event.last_timestamp.as_ref().map(|time| time.0), event.event_time.as_ref().map(|time| time.0))
    })?;
    Some((last.reason.clone().unwrap_or_default(), last.message.clone().unwrap_or_default()))
}

/// The status of a pod's containers, the init containers first.
pub fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let first = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let then = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    first.iter().chain(then)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn job(spec: &Value, conditions: &Value) -> Job {
        let job = json!({ "metadata": { "name": "j" }, "spec": spec, "status": { "conditions": conditions } });
        serde_json::from_value(job).unwrap()
    }

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": status })).unwrap()
    }

    fn waiting(reason: &str) -> Pod {
        let state = json!({ "waiting": { "reason": reason, "message": "because" } });
        let known =
            json!({ "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state });
        pod(&json!({ "phase": "Pending", "containerStatuses": [known] }))
    }

    #[test]
    fn only_the_last_word_is_an_end() {
        let spec = json!({ "template": {} });
        let condition = |kind: &str, status: &str| json!([{ "type": kind, "status": status, "reason": "BackoffLimitExceeded", "message": "limit" }]);
        assert_eq!(ended(&job(&spec, &json!([]))), None);
        assert_eq!(ended(&job(&spec, &condition("FailureTarget", "True"))), None, "its pods are still about to end");
        assert_eq!(ended(&job(&spec, &condition("Failed", "False"))), None);
        assert_eq!(ended(&job(&spec, &condition("Complete", "True"))), Some(Ok(())));
        let failed = ended(&job(&spec, &condition("Failed", "True")));
        assert_eq!(failed, Some(Err("it failed: BackoffLimitExceeded: limit".into())));
    }

    #[test]
    fn what_holds_a_pod_up_is_told_and_only_a_missing_image_is_hopeless() {
        assert_eq!(of_pod(&waiting("ImagePullBackOff")), "pod `p` waits: ImagePullBackOff: because");
        assert!(hopeless(&waiting("ImagePullBackOff")).is_some());
        assert!(hopeless(&waiting("ContainerCreating")).is_none());
        let full =
            json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes" }]);
        let unscheduled = pod(&json!({ "phase": "Pending", "conditions": full }));
        assert_eq!(of_pod(&unscheduled), "pod `p` is on no node: 0/2 nodes");
        assert_eq!(of_pod(&pod(&json!({ "phase": "Running" }))), "pod `p` is Running");
    }

    #[test]
    fn a_job_without_pods_is_told_apart_from_one_that_is_suspended() {
        assert_eq!(of_job(&job(&json!({ "template": {} }), &json!([])), &[]), "it has no pod");
        assert_eq!(of_job(&job(&json!({ "template": {}, "suspend": true }), &json!([])), &[]), "it is suspended");
    }

    #[test]
    fn the_latest_warning_about_it_is_the_one_told() {
        let event = |kind: &str, uid: &str, second: u8, message: &str| -> Event {
            let time = format!("2026-01-01T00:00:{second:02}Z");
            serde_json::from_value(json!({ "metadata": {}, "involvedObject": { "uid": uid }, "type": kind,
                "reason": "FailedCreate", "message": message, "lastTimestamp": time }))
            .unwrap()
        };
        let events = [
            event("Warning", "mine", 2, "exceeded quota"),
            event("Warning", "mine", 1, "older"),
            event("Normal", "mine", 3, "fine"),
            event("Warning", "other", 4, "another's"),
        ];
        assert_eq!(warning(&events, &["mine".into()]).unwrap().1, "exceeded quota");
        assert_eq!(warning(&events, &["nobody".into()]), None);
    }
}
