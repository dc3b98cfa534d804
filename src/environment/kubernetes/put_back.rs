//! Puts back what a run changed of a standing platform: how many pods its components have. Then it has to serve.
//!
//! Apart from what is known of a standing platform because it acts on the components.

use super::component::KubernetesComponent;
use super::platform::KubernetesPlatform;
use crate::client::Error;
use crate::environment::{Act, Platform};
use std::time::Duration;

/// How long a component that was put back may take until it serves.
const SERVED: Duration = Duration::from_mins(2);

impl KubernetesPlatform {
    /// Puts back what the run changed, unless another run has the platform; answers what is not as it was.
    pub(super) async fn put_back(&self) -> Vec<String> {
        let Some(standing) = self.standing.as_ref().filter(|standing| standing.touched()) else { return vec![] };
        if let Some(error) = standing.in_use() {
            return vec![error.to_string()];
        }
        if let Err(error) = self.guard(Act::Mend).await {
            return vec![format!("what the run changed of the platform: {error}")];
        }
        let (mut left, mut changed) = (vec![], standing.struck());
        for component in &self.components {
            match put_back(component).await {
                Ok(scaled) => changed |= scaled,
                Err(error) => left.push(error.to_string()),
            }
        }
        // Without its database MLflow cannot serve, however long one waits.
        let database = self.identity().await.ok().and_then(|seen| seen.fingerprints[4].clone());
        if changed && database.is_none() {
            left.push("the platform's database is gone, or does not answer".into());
            return left;
        }
        for component in self.components.iter().filter(|component| changed && component.replicas > 0) {
            let served = self.served_within(component.name, SERVED).await;
            left.extend(served.err().map(|error| error.to_string()));
        }
        left
    }
}

/// Gives a component as many pods as were found; was it given others?
async fn put_back(component: &KubernetesComponent) -> Result<bool, Error> {
    match component.wanted().await? {
        None => Err(Error::new(format!("`{}`", component.name), "its workload is gone")),
        Some(wanted) if wanted == i32::from(component.replicas) => Ok(false),
        Some(_) => component.scale(component.replicas).await.map(|()| true),
    }
}
