//! The steps that change how a component's pods run: all of them anew, or another number of them.

use super::until::until;
use super::{Step, StepContext};
use crate::client::Error;
use crate::environment::cluster::{self, Workload};
use crate::environment::{Cluster, Permission, Power};
use crate::kind::Kind;
use crate::model::{Finding, Span};
use crate::node::read;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

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
    /// How long to wait; 2 minutes if nothing is said.
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
    /// How long to wait; 2 minutes if nothing is said.
    #[serde(default = "two_minutes")]
    within: Span,
}

/// How long a rollout is waited for if nothing is said.
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
            let workload = Workload::of(context.platform.cluster()?, &self.component).await?;
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
            let cluster = context.platform.cluster()?;
            let workload = Workload::of(cluster, &self.component).await?;
            workload.change(json!({ "spec": { "replicas": self.replicas } })).await?;
            rolled_out(&workload, self.within).await?;
            if self.replicas == 0 { nothing_left(cluster, &self.component, self.within).await } else { Ok(()) }
        };
        finding(scaled.await)
    }
}

/// Waits until all that was asked of the workload has happened.
pub(super) async fn rolled_out(workload: &Workload, within: Span) -> Result<(), Error> {
    let look = || async {
        let now = workload.look().await.map_err(|error| error.to_string())?;
        cluster::rolled_out(&now)
    };
    until(within, look).await.map_err(|why| Error::new(workload.to_string(), why))
}

/// A workload counts a pod as gone when it is told to go; whoever wants it stopped must see its end.
async fn nothing_left(cluster: &dyn Cluster, component: &str, within: Span) -> Result<(), Error> {
    let look = || async {
        let pods = cluster::pods(cluster, &cluster::of_component(component)).await.map_err(|e| e.to_string())?;
        if pods.is_empty() { Ok(()) } else { Err(format!("{} pods have not ended", pods.len())) }
    };
    until(within, look).await.map_err(|why| Error::new(format!("`{component}`"), why))
}

/// Met, or missed for the error's reason.
pub(super) fn finding(done: Result<(), Error>) -> Finding {
    done.map_or_else(|error| Finding::missed(error.to_string()), |()| Finding::met())
}
