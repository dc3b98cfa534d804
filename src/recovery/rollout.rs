//! The steps that change a component's pods: replace all of them, or change their number.

use super::{Step, StepContext};
use crate::client::kubernetes::{self, NamespaceClient, WorkloadResource, of_component, pods};
use crate::client::{Error, until};
use crate::environment::{Permission, Power};
use crate::kind::Kind;
use crate::model::{Finding, Span};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// The pause between two looks at the cluster.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// `rollout-restart: { component: mlflow }`
pub const RESTART: Kind<dyn Step> = Kind {
    name: "rollout-restart",
    about: "Replaces a component's pods in the order its workload prescribes, and waits until the new ones are ready.",
    example: "rollout-restart: { component: mlflow }",
    schema: |g| g.subschema_for::<RolloutRestart>(),
    parse: |n, p| read::<RolloutRestart>(n, p).map(|k| Box::new(k) as _),
};

/// `scale: { component: mlflow, replicas: 2 }`
pub const SCALE: Kind<dyn Step> = Kind {
    name: "scale",
    about: "Gives a component another number of pods, and waits until they are ready; none at all stops it.",
    example: "scale: { component: mlflow, replicas: 2 }",
    schema: |g| g.subschema_for::<Scale>(),
    parse: |n, p| read::<Scale>(n, p).map(|k| Box::new(k) as _),
};

/// Replaces a component's pods.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RolloutRestart {
    /// The component.
    component: String,
    /// How long to wait; 2 minutes by default.
    #[serde(default = "two_minutes")]
    within: Span,
}

/// Gives a component another number of pods.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Scale {
    /// The component.
    component: String,
    /// How many pods it is to have.
    replicas: u32,
    /// How long to wait; 2 minutes by default.
    #[serde(default = "two_minutes")]
    within: Span,
}

/// How long a rollout is waited for by default.
pub(super) fn two_minutes() -> Span {
    Span::seconds(120)
}

/// Reading and changing what runs a component's pods.
fn permissions() -> Vec<Permission> {
    let verbs = ["get", "list", "patch"];
    let of = |resource| verbs.map(|verb| Permission::within(verb, "apps", resource));
    [of("deployments"), of("statefulsets")].concat()
}

#[async_trait]
impl Step for RolloutRestart {
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn permissions(&self) -> Vec<Permission> {
        permissions()
    }
    fn component(&self) -> Option<&str> {
        Some(&self.component)
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let restarted = async {
            let workload = WorkloadResource::of(context.platform.cluster()?.namespace(), &self.component).await?;
            workload.restart().await?;
            rolled_out(&workload, self.within).await
        };
        finding(restarted.await)
    }
}

#[async_trait]
impl Step for Scale {
    fn needs(&self) -> &'static [Power] {
        &[Power::Cluster]
    }
    fn permissions(&self) -> Vec<Permission> {
        [permissions(), vec![Permission::within("list", "", "pods")]].concat()
    }
    fn component(&self) -> Option<&str> {
        Some(&self.component)
    }
    async fn carry_out(&self, context: &StepContext<'_>) -> Finding {
        let scaled = async {
            let namespace = context.platform.cluster()?.namespace();
            let workload = WorkloadResource::of(namespace, &self.component).await?;
            let before = workload.read().await?.data.pointer("/spec/replicas").map(ToString::to_string);
            context.record("scale", &self.component, before).await?;
            workload.patch(json!({ "spec": { "replicas": self.replicas } })).await?;
            rolled_out(&workload, self.within).await?;
            if self.replicas == 0 { no_pod_left(namespace, &self.component, self.within).await } else { Ok(()) }
        };
        finding(scaled.await)
    }
}

/// Waits until the rollout of a workload is over.
pub(super) async fn rolled_out(workload: &WorkloadResource, within: Span) -> Result<(), Error> {
    let look = || async {
        let now = workload.read().await.map_err(|error| error.to_string())?;
        kubernetes::rolled_out(&now)
    };
    until(within.0, LOOK, look).await.map_err(|late| Error::new(workload.to_string(), late))
}

/// Waits until a component has no pod. Its workload counts a pod as gone already when it is told to end.
async fn no_pod_left(namespace: &NamespaceClient, component: &str, within: Span) -> Result<(), Error> {
    let look = || async {
        let pods = pods::list(namespace, &of_component(component)).await.map_err(|e| e.to_string())?;
        if pods.is_empty() { Ok(()) } else { Err(format!("{} pods have not ended", pods.len())) }
    };
    until(within.0, LOOK, look).await.map_err(|late| Error::new(format!("`{component}`"), late))
}

/// Met, or missed for the error's reason.
pub(super) fn finding(done: Result<(), Error>) -> Finding {
    done.map_or_else(|error| Finding::missed(error.to_string()), |()| Finding::met())
}
