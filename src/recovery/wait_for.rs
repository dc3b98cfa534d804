//! The step that waits until a component is alive, until an object of the cluster says that a condition holds, or until
//! so many backups were taken since the disaster began.
//!
//! A condition is the cluster's opinion only. A pod that is called ready and does not serve is not recovered: the probes
//! judge that.

use super::rollout::LOOK;
use super::{Step, StepContext};
use crate::client::kubernetes::{NamespaceClient, why};
use crate::client::{Error, until};
use crate::environment::{Components, Permission, Power};
use crate::kind::Kind;
use crate::model::{Finding, Span, Verdict};
use crate::node::read;
use async_trait::async_trait;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ApiResource, DynamicObject};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::num::NonZeroU32;

/// `wait-for: { healthy: mlflow, within: 30s }`
pub const KIND: Kind<dyn Step> = Kind {
    name: "wait-for",
    about: "Waits until a component is alive, a condition of the cluster holds, or backups were taken since the disaster.",
    example: "wait-for: { healthy: mlflow, within: 30s }",
    schema: |g| g.subschema_for::<WaitForFile>(),
    parse: |n, p| read::<WaitFor>(n, p).map(|k| Box::new(k) as _),
};

/// Waits until a component is alive (`healthy`), a condition holds (`condition` and `of`), or so many recovery points were
/// taken since the disaster (`points`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WaitFor")]
struct WaitForFile {
    /// The component.
    healthy: Option<String>,
    /// A condition as the cluster names it: `Available`, `Ready`, `Complete`. It does not prove that clients are
    /// served, which the probes judge, and right after a loss it may still be the old one.
    condition: Option<String>,
    /// Whose condition: `deployment/NAME`, `pod/NAME`, `job/NAME` or `node/NAME`.
    of: Option<String>,
    /// So many recovery points that were taken since the disaster began: the time until somebody notices, in which backups
    /// hold what the disaster left.
    #[schemars(range(min = 1))]
    points: Option<NonZeroU32>,
    /// How long to wait; 30 s by default.
    #[serde(default = "half_a_minute")]
    within: Span,
}

fn half_a_minute() -> Span {
    Span::seconds(30)
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "WaitForFile")]
struct WaitFor {
    what: Awaited,
    within: Span,
}

#[derive(Debug)]
enum Awaited {
    Healthy(String),
    Condition { condition: String, of: ConditionedObject, name: String },
    Points(NonZeroU32),
}

/// What can have conditions.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ConditionedObject {
    Deployment,
    Pod,
    Job,
    Node,
}

impl TryFrom<WaitForFile> for WaitFor {
    type Error = String;

    fn try_from(written: WaitForFile) -> Result<Self, String> {
        let what = match (written.healthy, written.condition, written.of, written.points) {
            (Some(component), None, None, None) => Awaited::Healthy(component),
            (None, None, None, Some(points)) => Awaited::Points(points),
            (None, Some(condition), Some(of), None) => {
                let wrong = || format!("`{of}` has no conditions; name a deployment/mlflow, pod/x, job/x or node/x");
                let (kind, name) = of.split_once('/').filter(|(_, name)| !name.is_empty()).ok_or_else(wrong)?;
                let name = name.to_owned();
                Awaited::Condition { condition, of: ConditionedObject::named(kind).ok_or_else(wrong)?, name }
            }
            _ => {
                return Err("exactly one of `healthy`, `points` and `condition` with `of` says what to wait for".into());
            }
        };
        Ok(Self { what, within: written.within })
    }
}

impl ConditionedObject {
    fn named(kind: &str) -> Option<Self> {
        match kind {
            "deployment" => Some(Self::Deployment),
            "pod" => Some(Self::Pod),
            "job" => Some(Self::Job),
            "node" => Some(Self::Node),
            _ => None,
        }
    }

    fn permission(self) -> Permission {
        match self {
            Self::Deployment => Permission::within("get", "apps", "deployments"),
            Self::Pod => Permission::within("get", "", "pods"),
            Self::Job => Permission::within("get", "batch", "jobs"),
            Self::Node => Permission::everywhere("get", "", "nodes"),
        }
    }

    fn api(self, namespace: &NamespaceClient) -> Api<DynamicObject> {
        let resource = match self {
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::Pod => ApiResource::erase::<Pod>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
            Self::Node => return Api::all_with(namespace.client.clone(), &ApiResource::erase::<Node>(&())),
        };
        namespace.dynamic(&resource)
    }
}

#[async_trait]
impl Step for WaitFor {
    fn needs(&self) -> &'static [Power] {
        match self.what {
            Awaited::Healthy(_) => &[Power::Components],
            Awaited::Condition { .. } => &[Power::Cluster],
            Awaited::Points(_) => &[],
        }
    }
    fn permissions(&self) -> Vec<Permission> {
        if let Awaited::Condition { of, .. } = self.what { vec![of.permission()] } else { vec![] }
    }
    fn component(&self) -> Option<&str> {
        if let Awaited::Healthy(component) = &self.what { Some(component) } else { None }
    }
    fn needs_points(&self) -> bool {
        matches!(self.what, Awaited::Points(_))
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let awaited = match &self.what {
            Awaited::Healthy(component) => match context.platform.components() {
                Ok(power) => until(self.within.0, LOOK, || alive(power, component)).await,
                Err(error) => return Finding::unknown(error.to_string()),
            },
            Awaited::Condition { condition, of, name } => {
                match context.platform.cluster().map(|cluster| of.api(cluster.namespace())) {
                    Ok(api) => until(self.within.0, LOOK, || holds(&api, name, condition)).await,
                    Err(error) => return Finding::unknown(error.to_string()),
                }
            }
            Awaited::Points(points) => until(self.within.0, LOOK, || taken(context, *points)).await,
        };
        let named = match &self.what {
            Awaited::Healthy(component) => format!("`{component}` is not alive"),
            Awaited::Condition { condition, name, .. } => format!("`{name}` is not {condition}"),
            Awaited::Points(points) => format!("{points} recovery points were not taken"),
        };
        awaited.map_or_else(|late| Finding::missed(Error::new(named, late).to_string()), |()| Finding::met())
    }
}

async fn alive(power: &dyn Components, component: &str) -> Result<(), String> {
    let alive = power.alive(component).await;
    if alive.verdict == Verdict::Met { Ok(()) } else { Err(alive.reason.unwrap_or_default()) }
}

async fn holds(api: &Api<DynamicObject>, name: &str, condition: &str) -> Result<(), String> {
    let object = api.get(name).await.map_err(|error| why(&error))?;
    said(&object, condition)
}

/// Were so many recovery points taken since the first fault began to strike?
async fn taken(context: &StepContext<'_>, points: NonZeroU32) -> Result<(), String> {
    let session = context.session.ok_or("the drill takes no backups")?;
    let all = session.points().await.map_err(|error| error.to_string())?;
    let since = all.iter().filter(|point| point.snapshot >= context.disaster.onset.injecting).count();
    if since >= points.get() as usize { Ok(()) } else { Err(format!("{since} so far")) }
}

/// Does it say that the condition holds?
fn said(object: &DynamicObject, condition: &str) -> Result<(), String> {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(it) = conditions.into_iter().flatten().find(|it| text(it, "type") == condition) else {
        return Err(format!("it does not mention {condition}"));
    };
    if text(it, "status") == "True" { Ok(()) } else { Err(format!("{} {}", text(it, "reason"), text(it, "message"))) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;
    use serde_json::json;

    #[test]
    fn exactly_one_thing_is_waited_for() {
        let wait = |text: &str| {
            let mut problems = vec![];
            let step = (KIND.parse)(&parse(text).unwrap(), &mut problems);
            step.map(|step| step.needs()).ok_or_else(|| problems.iter().map(ToString::to_string).collect::<String>())
        };
        assert_eq!(wait("{ healthy: mlflow }"), Ok(&[Power::Components][..]));
        assert_eq!(wait("{ points: 3 }"), Ok(&[][..]));
        assert_eq!(wait("{ condition: Available, of: deployment/mlflow }"), Ok(&[Power::Cluster][..]));
        for (text, said) in [
            ("{}", "exactly one of"),
            ("{ healthy: a, condition: Ready, of: pod/x }", "exactly one of"),
            ("{ condition: Ready }", "exactly one of"),
            ("{ healthy: a, points: 3 }", "exactly one of"),
            ("{ points: 0 }", "zero"),
            ("{ condition: Ready, of: mlflow }", "`mlflow` has no conditions"),
            ("{ condition: Ready, of: statefulset/x }", "has no conditions"),
        ] {
            assert!(wait(text).unwrap_err().contains(said), "{text}");
        }
    }

    #[test]
    fn a_condition_holds_when_the_object_says_so_itself() {
        let object = |status: &str| -> DynamicObject {
            let conditions = json!([{ "type": "Available", "status": status, "reason": "Few", "message": "too few" }]);
            serde_json::from_value(json!({ "metadata": {}, "status": { "conditions": conditions } })).unwrap()
        };
        assert_eq!(said(&object("True"), "Available"), Ok(()));
        assert_eq!(said(&object("False"), "Available"), Err("Few too few".into()));
        assert_eq!(said(&object("True"), "Ready"), Err("it does not mention Ready".into()));
    }
}
