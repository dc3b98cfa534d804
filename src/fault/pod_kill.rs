//! The fault that deletes pods: a crash that the cluster's controllers repair.
//!
//! Pods are chosen in the order of their names, so that the choice can be shown and repeated. The receipt holds each
//! pod's UID, so that a pod that replaced it is never mistaken for it.

use super::{CONFIRM, Fault, Nature, recall};
use crate::client::Error;
use crate::client::kubernetes::{COMPONENT, cannot, pods, says};
use crate::environment::{Inventory, Permission, Platform, Power};
use crate::kind::Kind;
use crate::model::{Finding, Receipt, Span};
use crate::node::read;
use async_trait::async_trait;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// `pod-kill: { component: mlflow, count: 1 }`
pub const KIND: Kind<dyn Fault> = Kind {
    name: "pod-kill",
    about: "Deletes pods of a component or a selector; whatever made them makes new ones.",
    example: "pod-kill: { component: mlflow, count: 1 }",
    schema: |g| g.subschema_for::<PodKillFile>(),
    parse: |n, p| read::<PodKill>(n, p).map(|k| Box::new(k) as _),
};

/// Deletes pods.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PodKill")]
struct PodKillFile {
    /// The component whose pods are deleted; this or `selector`.
    component: Option<String>,
    /// The labels of the pods that are deleted: `key=value`, several with commas between them.
    selector: Option<String>,
    /// How many; this or `percent`. One, if neither is said.
    #[schemars(range(min = 1))]
    count: Option<usize>,
    /// What share of them, rounded up.
    #[schemars(range(min = 1, max = 100))]
    percent: Option<usize>,
    /// How long they may take to end in good order. With none, the default, the API force-deletes them, and their
    /// node ends them a little later unseen: give a component with a disk at least a second.
    #[serde(default = "none")]
    grace: Span,
}

fn none() -> Span {
    Span::seconds(0)
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "PodKillFile")]
struct PodKill {
    labels: BTreeMap<String, String>,
    share: PodShare,
    grace: Span,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum PodShare {
    Count(usize),
    Percent(usize),
}

impl TryFrom<PodKillFile> for PodKill {
    type Error = String;

    fn try_from(written: PodKillFile) -> Result<Self, String> {
        let labels = match (written.component, written.selector) {
            (Some(component), None) => BTreeMap::from([(COMPONENT.to_owned(), component)]),
            (None, Some(selector)) => labels(&selector)?,
            _ => return Err("exactly one of `component` and `selector` says which pods".into()),
        };
        let share = match (written.count, written.percent) {
            (Some(_), Some(_)) => return Err("`count` and `percent` cannot both say how many".into()),
            (None, Some(percent @ 1..=100)) => PodShare::Percent(percent),
            (None, Some(percent)) => return Err(format!("`percent` is from 1 to 100, not {percent}")),
            (Some(0), None) => return Err("`count: 0` would hit nothing".into()),
            (count, None) => PodShare::Count(count.unwrap_or(1)),
        };
        Ok(Self { labels, share, grace: written.grace })
    }
}

/// `k=v,k2=v2` as labels.
fn labels(selector: &str) -> Result<BTreeMap<String, String>, String> {
    let wrong = || format!("`{selector}` is no selector, such as key=value,other=value");
    let label = |part: &str| {
        let (key, value) = part.trim().split_once('=').ok_or_else(wrong)?;
        let odd = |text: &str| text.is_empty() || text.contains(|c: char| c.is_whitespace() || "=!<>()".contains(c));
        if odd(key) || odd(value) { Err(wrong()) } else { Ok((key.to_owned(), value.to_owned())) }
    };
    selector.split(',').map(label).collect()
}

impl PodShare {
    /// How many of so many; `None` if there are not enough.
    fn of(self, all: usize) -> Option<usize> {
        let share = match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (all * percent).div_ceil(100),
        };
        (share > 0 && share <= all).then_some(share)
    }
}

impl std::fmt::Display for PodShare {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

impl PodKill {
    fn selector(&self) -> String {
        self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }
}

/// Which pods are deleted, and how.
#[derive(Debug, Serialize, Deserialize)]
struct KilledPods {
    pods: Vec<NamedPod>,
    grace_seconds: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct NamedPod {
    name: String,
    uid: String,
    /// The UID of what made it and makes another in its place.
    #[serde(default)]
    owner: Option<String>,
}

#[async_trait]
impl Fault for PodKill {
    fn nature(&self) -> Nature {
        Nature::Crash
    }
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn permissions(&self) -> Vec<Permission> {
        ["get", "list", "delete"].map(|verb| Permission::within(verb, "", "pods")).to_vec()
    }
    fn targets(&self, inventory: &Inventory) -> Vec<String> {
        let meets = |labels: &BTreeMap<String, String>| self.labels.iter().all(|(k, v)| labels.get(k) == Some(v));
        let mut names: Vec<_> =
            inventory.kind("pod").filter(|pod| meets(&pod.labels)).map(|pod| pod.name.as_str()).collect();
        names.sort_unstable();
        let Some(share) = self.share.of(names.len()) else { return vec![] };
        vec![format!("{share} of {} pods: {}", names.len(), names[..share].join(", "))]
    }
    async fn intend(&self, platform: &dyn Platform) -> Result<Receipt, Error> {
        let selector = self.selector();
        let mut pods = pods::list(platform.cluster()?.namespace(), &selector).await?;
        pods.retain(pods::lives);
        let all = pods.len();
        let Some(share) = self.share.of(all) else {
            let why =
                if all == 0 { "there is none".into() } else { format!("{} of {all} is not possible", self.share) };
            return Err(Error::new(format!("cannot delete pods `{selector}`"), why));
        };
        pods.truncate(share);
        let named = |pod: &Pod| NamedPod {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            owner: pod.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|it| it.uid.clone()),
        };
        let grace_seconds = u32::try_from(self.grace.0.as_secs()).unwrap_or(u32::MAX);
        Ok(Receipt(serde_json::json!(KilledPods { pods: pods.iter().map(named).collect(), grace_seconds })))
    }
    fn still(&self, bound: &Receipt, now: Receipt) -> Result<Receipt, Error> {
        let (before, there) = (recall::<KilledPods>(bound)?, recall::<KilledPods>(&now)?);
        let known = |pod: &NamedPod| {
            before.pods.iter().any(|it| it.uid == pod.uid || (it.owner.is_some() && it.owner == pod.owner))
        };
        match there.pods.iter().find(|pod| !known(pod)) {
            Some(pod) => {
                let why = "what made it is not what made the pods when the platform stood";
                Err(Error::new(format!("cannot delete `{}`", pod.name), why))
            }
            None => Ok(now),
        }
    }
    async fn inject(&self, platform: &dyn Platform, receipt: &Receipt) -> Result<(), Error> {
        let killed = recall::<KilledPods>(receipt)?;
        let api = platform.cluster()?.namespace().api::<Pod>();
        let deleted = killed.pods.iter().map(async |NamedPod { name, uid, .. }| {
            let this = Preconditions { uid: Some(uid.clone()), resource_version: None };
            let how = DeleteParams::default().grace_period(killed.grace_seconds).preconditions(this);
            match api.delete(name, &how).await {
                Err(error) if !says(&error, 404) => Err(cannot(format!("cannot delete `{name}`"))(error)),
                _ => Ok(()), // gone already: `confirm` looks for its UID in any case
            }
        });
        join_all(deleted).await.into_iter().collect()
    }
    async fn confirm(&self, platform: &dyn Platform, receipt: &Receipt) -> Finding {
        match left(platform, receipt).await {
            Ok(left) if left.is_empty() => Finding::met(),
            Ok(left) => Finding::missed(format!("still running: {}", left.join(", "))),
            Err(error) => Finding::unknown(error.to_string()),
        }
    }
    fn confirmed_within(&self) -> Duration {
        CONFIRM.saturating_add(self.grace.0)
    }
    async fn lift(&self, _: &dyn Platform, _: &Receipt) -> Result<(), Error> {
        Ok(()) // a restart brings it back
    }
}

/// Those of the pods that still run.
async fn left(platform: &dyn Platform, receipt: &Receipt) -> Result<Vec<String>, Error> {
    let killed = recall::<KilledPods>(receipt)?;
    let api = platform.cluster()?.namespace().api::<Pod>();
    let look = killed.pods.iter().map(async |NamedPod { name, uid, .. }| {
        let pod = api.get_opt(name).await.map_err(cannot(format!("cannot read `{name}`")))?;
        Ok(pod.filter(|pod| pod.uid().as_ref() == Some(uid) && runs(pod)).map(|_| name.clone()))
    });
    let looked: Result<Vec<_>, _> = join_all(look).await.into_iter().collect();
    Ok(looked?.into_iter().flatten().collect())
}

/// Is it not being deleted, or does one of its containers still run?
fn runs(pod: &Pod) -> bool {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let running = |it: &k8s_openapi::api::core::v1::ContainerStatus| {
        it.state.as_ref().is_some_and(|state| state.running.is_some())
    };
    pod.metadata.deletion_timestamp.is_none() || containers.iter().any(running)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::environment::Thing;
    use serde_json::json;

    fn kill(text: &str) -> Result<PodKill, Vec<String>> {
        let mut problems = vec![];
        let read = read::<PodKill>(&crate::node::parse(text).unwrap(), &mut problems);
        read.ok_or_else(|| problems.iter().map(ToString::to_string).collect())
    }

    fn inventory() -> Inventory {
        let pod = |name: &str, component: &str| Thing {
            kind: "pod".into(),
            name: name.into(),
            labels: [(COMPONENT.to_owned(), component.to_owned()), ("tier".to_owned(), "x".to_owned())].into(),
        };
        let node = Thing { kind: "node".into(), ..pod("a", "mlflow") };
        Inventory {
            things: vec![pod("m-2", "mlflow"), node, pod("p-0", "postgres"), pod("m-1", "mlflow")],
            ..Inventory::default()
        }
    }

    #[test]
    fn pods_are_chosen_in_the_order_of_their_names() {
        let aims = |text| kill(text).unwrap().targets(&inventory());
        assert_eq!(aims("{ component: mlflow }"), ["1 of 2 pods: m-1"]);
        assert_eq!(aims("{ component: mlflow, percent: 51 }"), ["2 of 2 pods: m-1, m-2"]);
        assert_eq!(aims("{ selector: 'tier=x', count: 3 }"), ["3 of 3 pods: m-1, m-2, p-0"]);
        assert!(aims("{ component: mlflow, count: 3 }").is_empty(), "more than there are");
        assert!(aims("{ selector: 'tier=y' }").is_empty());
    }

    #[test]
    fn a_share_is_rounded_up_and_never_none_of_some() {
        assert_eq!(PodShare::Percent(1).of(10), Some(1));
        assert_eq!(PodShare::Percent(50).of(3), Some(2));
        assert_eq!(PodShare::Percent(100).of(0), None);
        assert_eq!(PodShare::Count(2).of(1), None);
    }

    #[test]
    fn what_says_nothing_or_too_much_is_refused() {
        for (text, said) in [
            ("{ component: mlflow, count: 1, percent: 50 }", "`count` and `percent` cannot both"),
            ("{ component: mlflow, selector: 'a=b' }", "exactly one of `component` and `selector`"),
            ("{ count: 1 }", "exactly one of `component` and `selector`"),
            ("{ component: mlflow, percent: 101 }", "from 1 to 100, not 101"),
            ("{ component: mlflow, count: 0 }", "would hit nothing"),
            ("{ selector: 'a in (b)' }", "`a in (b)` is no selector"),
            ("{ selector: 'a!=b' }", "is no selector"),
            ("{ component: mlflow, cuont: 1 }", "did you mean `count`?"),
        ] {
            let problems = kill(text).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(said), "{text}: {problems:?}");
        }
    }

    #[test]
    fn a_pod_is_another_if_something_else_made_it() {
        let receipt = |uid: &str, owner: Option<&str>| {
            Receipt(json!({ "pods": [{ "name": "a", "uid": uid, "owner": owner }], "grace_seconds": 0 }))
        };
        let still = |now| kill("{ component: mlflow }").unwrap().still(&receipt("1", Some("set")), now).is_ok();
        assert!(still(receipt("1", Some("set"))));
        assert!(still(receipt("2", Some("set"))), "it was replaced by what had made it");
        assert!(!still(receipt("2", Some("other"))) && !still(receipt("2", None)));
    }

    #[test]
    fn a_pod_that_is_deleted_runs_until_its_containers_have_ended() {
        let pod = |deleted: bool, state: &str| -> Pod {
            let mut pod = json!({ "metadata": { "name": "x" }, "status": { "containerStatuses": [
                { "name": "x", "image": "x", "imageID": "x", "ready": false, "restartCount": 0, "state": { state: {"exitCode": 0} } }] } });
            if deleted {
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            serde_json::from_value(pod).unwrap()
        };
        assert!(runs(&pod(false, "running")) && runs(&pod(false, "terminated")), "the cluster starts it again");
        assert!(runs(&pod(true, "running")));
        assert!(!runs(&pod(true, "terminated")));
    }
}
