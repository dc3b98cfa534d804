//! The environment `kubernetes`: a platform in two namespaces of a cluster, one for MLflow and PostgreSQL and one for
//! the object store, which outlives the platform's, as a cloud's bucket would. The platform is a throw-away one, or a
//! standing one that its owner has opted in.
//!
//! It is created from the files of `deploy/platform`, so that a standing platform made from them is the same.

mod access;
mod cleanup;
mod component;
mod create;
mod disks;
mod events;
mod extra;
mod folder;
mod helper;
mod identity;
mod lease;
mod lock;
mod logs;
mod manifests;
mod names;
mod permissions;
mod platform;
mod powers;
mod put_back;
mod secrets;
mod settings;
mod signals;
mod standing;
mod survey;

use super::{Act, Environment, Inventory, Journal, Permission, Platform, Power, RunContext, Survey};
use crate::client::Error;
use crate::kind::Kind;
use crate::model::Receipt;
use crate::node::{Problem, read};
use async_trait::async_trait;
use settings::Kubernetes;
use std::sync::Arc;

/// The kind.
pub const KIND: Kind<dyn Environment> = Kind {
    name: "kubernetes",
    about: "A throw-away platform in a Kubernetes cluster, or a standing one that carries a drill token.",
    example: "kubernetes: { images: built, mlflow: { replicas: 1, toleration: 5s }, access: auto }",
    schema: |g| g.subschema_for::<Kubernetes>(),
    parse: |n, p| {
        let settings = read::<Kubernetes>(n, p)?;
        // A platform is removed without these files.
        p.extend(extra::problems(&settings, n));
        if settings.attach.is_some() && settings.keep {
            let problem = Problem::new(n.get("keep").unwrap_or(n), "a standing platform stays in any case");
            p.push(problem.hint("leave `keep` out"));
        }
        Some(Box::new(settings) as _)
    },
};

#[async_trait]
impl Environment for Kubernetes {
    fn powers(&self) -> Vec<Power> {
        use Power::{Cluster, Components, Disks, Exec, Mlflow, Objects, Policies, Sql, Volumes};
        // No `Keys`: the store has its users from a secret, which it cannot write.
        let mut powers = vec![Components, Exec, Disks, Mlflow, Sql, Objects, Policies, Cluster];
        // How the claim of a standing platform is laid out, only its owner knows.
        powers.extend(self.attach.is_none().then_some(Volumes));
        powers.extend(self.nodes.as_ref().map(|_| Power::Nodes));
        powers
    }

    fn standing(&self) -> bool {
        self.attach.is_some()
    }

    fn inventory(&self) -> Inventory {
        survey::inventory(self)
    }

    async fn survey(&self, wanted: &[Permission]) -> Survey {
        survey::survey(self, wanted).await
    }

    async fn provision(&self, run: &RunContext, journal: Arc<dyn Journal>) -> Result<Arc<dyn Platform>, Error> {
        Ok(Arc::new(match self.attach {
            Some(_) => platform::KubernetesPlatform::attach(run, self, journal).await?,
            None => Box::pin(platform::KubernetesPlatform::provision(run, self, journal)).await?,
        }))
    }

    async fn open(
        &self,
        run: &RunContext,
        receipts: &[Receipt],
        journal: Arc<dyn Journal>,
    ) -> Result<Option<Arc<dyn Platform>>, Error> {
        if receipts.is_empty() {
            return Ok(None);
        }
        let platform = platform::KubernetesPlatform::find_again(run, self, receipts, Some(journal)).await?;
        platform.guard(Act::Mend).await?;
        Ok(Some(Arc::new(platform)))
    }

    async fn remove(&self, run: &RunContext, receipts: &[Receipt]) -> Vec<String> {
        if receipts.is_empty() {
            return vec![];
        }
        if self.attach.is_some() {
            return match platform::KubernetesPlatform::find_again(run, self, receipts, None).await {
                Ok(platform) => platform.remove().await,
                Err(error) => vec![format!("what the run changed of the platform: {error}")],
            };
        }
        match self.client().await {
            Ok(client) => cleanup::remove(&client, &run.run, receipts).await,
            Err(error) => cleanup::unreachable(receipts, &run.run, &error),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::node::parse;

    #[test]
    fn nothing_is_laid_beside_the_data_directory_of_a_standing_platform() {
        let standing = "attach: { namespace: a, store: b, token: t, fingerprints: { cluster: c, namespace: u1, \
                        store: u2, postgres: p, database: d, bucket: b } }";
        let powers = |settings: &str| {
            let text = format!("{{ images: built, {settings} }}");
            (KIND.parse)(&parse(&text).unwrap(), &mut vec![]).unwrap().powers()
        };
        assert!(powers("").contains(&Power::Volumes));
        assert!(!powers(standing).contains(&Power::Volumes) && powers(standing).contains(&Power::Disks));
    }
}
