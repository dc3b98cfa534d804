//! The powers over a platform in a cluster.

use super::component::{KubernetesComponent, POLL};
use super::platform::KubernetesPlatform;
use super::settings::NodeSwitches;
use super::signals::{self, Signal};
use crate::client::kubernetes::{NamespaceClient, ask, exec, pods};
use crate::client::process::{COMPONENT, RUN, SWITCH};
use crate::client::{Error, Running, postgres, shell, until_none};
use crate::environment::tools::Tools;
use crate::environment::{Cluster, Components, Exec, Nodes, Objects, Power, Sql, stack};
use crate::model::Finding;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::DynamicObject;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How long pods may take to end in good order: the longest grace period of the manifests, and what the cluster takes.
const STOP: Duration = Duration::from_mins(1);
/// How long the cluster may take to report a container that serves already.
const TOLD: Duration = Duration::from_secs(15);

impl KubernetesPlatform {
    /// The running instance of a component, with its pod.
    async fn running(&self, component: &KubernetesComponent) -> Result<Option<(Pod, String)>, Error> {
        let Some(pod) = component.pod().await? else { return Ok(None) };
        let ended = self.ended.lock();
        let instance = component.instance(&pod).filter(|instance| !ended.contains(instance));
        Ok(instance.map(|instance| (pod, instance)))
    }

    /// Waits until the cluster reports the instance that serves: its clients see it sooner than its API.
    async fn told(&self, component: &KubernetesComponent) -> Result<(), Error> {
        let unknown = || async { Ok::<_, Error>(self.running(component).await?.is_none().then_some(())) };
        until_none(TOLD, POLL, unknown).await.map(drop) // it serves: that the cluster is late is no error
    }

    /// Sends a signal to the instance in a pod. If the connection to the cluster fails, nobody knows whether the signal
    /// arrived: then it is sent once more, if that same instance still runs.
    async fn signal(
        &self,
        component: &KubernetesComponent,
        pod: &Pod,
        instance: &str,
        signal: Signal,
    ) -> Result<(), Error> {
        let name = pod.name_any();
        let Err(error) = signals::send(component, &name, signal).await else { return Ok(()) };
        let runs = self.running(component).await?.is_some_and(|(_, now)| now == instance);
        match signal {
            _ if runs => signals::send(component, &name, signal).await,
            Signal::Kill => Ok(()), // it has ended, and that is all that was asked
            _ => Err(error),
        }
    }

    async fn seen(&self, component: &KubernetesComponent) -> Result<Finding, Error> {
        let name = component.name;
        let Some((pod, _)) = self.running(component).await? else {
            return Ok(Finding::missed(format!("`{name}` does not run: {}", component.described().await)));
        };
        let _turn = self.signals.lock().await;
        if signals::frozen(component, &pod.name_any()).await? {
            return Ok(Finding::missed(format!("`{name}` is frozen")));
        }
        if component.ready(&pod) {
            return Ok(Finding::met());
        }
        Ok(Finding::missed(format!("`{name}` is not ready: {}", component.state(&pod))))
    }
}

#[async_trait]
impl Components for KubernetesPlatform {
    async fn instance(&self, component: &str) -> Result<Option<String>, Error> {
        Ok(self.running(self.component(component)?).await?.map(|(_, instance)| instance))
    }

    async fn kill(&self, component: &str) -> Result<(), Error> {
        let component = self.component(component)?;
        let _turn = self.signals.lock().await;
        let Some((pod, instance)) = self.running(component).await? else { return Ok(()) };
        self.signal(component, &pod, &instance, Signal::Kill).await?;
        self.ended.lock().insert(instance);
        Ok(())
    }

    async fn stop(&self, component: &str) -> Result<(), Error> {
        let component = self.component(component)?;
        if component.wanted().await?.is_some_and(|wanted| wanted > 0) {
            component.scale(0).await?;
        }
        component.gone(STOP).await
    }

    async fn start(&self, component: &str) -> Result<(), Error> {
        let known = self.component(component)?;
        let cannot = |why: &str| Error::new(format!("cannot start `{component}`"), why);
        match known.wanted().await? {
            None => return Err(cannot("its workload is gone").hint("restore the platform's namespace first")),
            Some(0) => known.scale(known.replicas).await?,
            Some(_) => {
                let _turn = self.signals.lock().await;
                if let Some((pod, _)) = self.running(known).await?
                    && signals::frozen(known, &pod.name_any()).await.unwrap_or(false)
                {
                    return Err(cannot("it is frozen").hint("resume it"));
                }
            }
        }
        self.served(component).await?;
        self.told(known).await
    }

    async fn pause(&self, component: &str) -> Result<(), Error> {
        let known = self.component(component)?;
        let _turn = self.signals.lock().await;
        let Some((pod, instance)) = self.running(known).await? else {
            return Err(Error::new(format!("cannot pause `{component}`"), "it does not run"));
        };
        self.signal(known, &pod, &instance, Signal::Freeze).await
    }

    async fn resume(&self, component: &str) -> Result<(), Error> {
        let component = self.component(component)?;
        let _turn = self.signals.lock().await;
        for pod in component.pods().await?.iter().filter(|pod| component.instance(pod).is_some()) {
            signals::send(component, &pod.name_any(), Signal::Resume).await?;
        }
        Ok(())
    }

    async fn alive(&self, component: &str) -> Finding {
        let seen = async { self.seen(self.component(component)?).await };
        seen.await.unwrap_or_else(|error| Finding::unknown(error.to_string()))
    }
}

#[async_trait]
impl Exec for KubernetesPlatform {
    async fn exec(&self, component: &str, command: &[&str]) -> Result<Running, Error> {
        let known = self.component(component)?;
        let Some((pod, _)) = self.running(known).await? else {
            return Err(Error::new(format!("cannot run a command in `{component}`"), "it does not run"));
        };
        exec::start(&known.api(), &pod.name_any(), known.name, command).await
    }
}

#[async_trait]
impl Sql for KubernetesPlatform {
    async fn connect(&self, database: &str) -> Result<tokio_postgres::Client, Error> {
        postgres::connect(&self.superuser(database)).await
    }

    /// Those of this machine, if they have the server's version: to send the bytes through the cluster's API costs more
    /// than the dump itself. Else those in the server's container, where its socket asks for no password.
    async fn tool(&self, name: &str, args: &[&str]) -> Result<Running, Error> {
        if let (Some(bin), Some(passfile)) = (self.tools.folder(self).await, self.endpoints.passfile.clone()) {
            let address = self.address("postgres");
            let (host, port, run) = (address.ip().to_string(), address.port(), self.run_context.run.clone());
            return Tools { bin, host, port, passfile, run }.start(name, args);
        }
        let user = format!("PGUSER={}", stack::DATABASE);
        let database = format!("PGDATABASE={}", stack::DATABASE);
        let server = ["env", "PGHOST=/var/run/postgresql", &user, &database, "PGCONNECT_TIMEOUT=10", name];
        self.exec("postgres", &[&server, args].concat()).await
    }
}

impl Objects for KubernetesPlatform {
    fn s3(&self) -> &aws_sdk_s3::Client {
        &self.s3
    }
}

#[async_trait]
impl Cluster for KubernetesPlatform {
    fn namespace(&self) -> &NamespaceClient {
        &self.namespace
    }

    fn manifests(&self) -> &[DynamicObject] {
        &self.manifests
    }

    fn logs(&self) -> PathBuf {
        self.run_context.folder.join("logs")
    }

    async fn creating_job(&self, name: &str) -> Result<(), Error> {
        // What is in a namespace of the run's own goes with it.
        let Some(standing) = &self.standing else { return Ok(()) };
        let job = json!({ "name": name, "namespace": self.namespace.name, "cluster": self.uid });
        standing.creating(json!({ "job": job })).await
    }

    fn carried(&self) -> BTreeMap<String, String> {
        self.carried.lock().clone()
    }
}

impl KubernetesPlatform {
    /// Remembers the nodes that carry the platform's pods. Where it may not be known nothing is remembered, and then no
    /// node may be deleted.
    pub(super) async fn remember_nodes(&self) {
        let nodes = self.namespace.everywhere::<Node>();
        let Ok(pods) = pods::list(&self.namespace, "").await else { return };
        let carriers = pods::nodes_of(&pods);
        let Ok(all) = ask("cannot list the nodes", nodes.list(&ListParams::default())).await else { return };
        let carrying = all.iter().map(|node| (node.name_any(), node.uid().unwrap_or_default()));
        self.carried.lock().extend(carrying.filter(|(name, _)| carriers.contains(name)));
    }
}

#[async_trait]
impl Nodes for KubernetesPlatform {
    async fn power_off(&self, node: &str) -> Result<(), Error> {
        self.switch(node, |switches| &switches.power_off).await
    }

    async fn power_on(&self, node: &str) -> Result<(), Error> {
        self.switch(node, |switches| &switches.power_on).await
    }

    async fn cut_off(&self, node: &str) -> Result<(), Error> {
        self.switch(node, |switches| &switches.cut_off).await
    }

    async fn connect(&self, node: &str) -> Result<(), Error> {
        self.switch(node, |switches| &switches.connect).await
    }
}

impl KubernetesPlatform {
    async fn switch(&self, node: &str, which: impl Fn(&NodeSwitches) -> &String + Send) -> Result<(), Error> {
        let switches = self.switches.as_ref().ok_or_else(|| Power::Nodes.lacking())?;
        let run = &self.run_context.run;
        let variables = [("LIFEBOAT_NODE", node), (RUN, run.as_str()), (COMPONENT, SWITCH)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.into()));
        shell::run(which(switches), &variables, &self.run_context.folder.join("logs/nodes.log")).await
    }
}
