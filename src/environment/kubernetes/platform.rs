//! The live platform in a cluster: created in order, found again, removed.
//!
//! Not here: what is done to its components, and the other powers.

use super::access::Access;
use super::component::{KubernetesComponent, NO_POD, POLL};
use super::folder::{folder, make_folder};
use super::manifests::PlatformManifests;
use super::names::labels;
use super::settings::{Attach, Kubernetes, NodeSwitches};
use super::{cleanup, extra, lock, logs, secrets};
use crate::client::kubernetes::{NamespaceClient, WorkloadKind, cluster_uid, made, retry};
use crate::client::{Error, s3, until, until_none};
use crate::environment::stack::{self, Secrets};
use crate::environment::tools;
use crate::environment::{
    Cluster, Components, Disks, Endpoints, Exec, Journal, Nodes, Objects, Platform, Power, RunContext, Sql,
};
use crate::model::Receipt;
use async_trait::async_trait;
use kube::api::PostParams;
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::ApiResource;
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// After so many looks at a workload without a pod, and then from time to time, it is asked whether the cluster refuses
/// to create one. That is 5 s, then 2 s.
const REFUSED: (u32, u32) = (50, 20);

/// A platform in a cluster.
pub struct KubernetesPlatform {
    pub(super) run_context: RunContext,
    pub(super) namespace: NamespaceClient,
    pub(super) uid: String,
    pub(super) components: [KubernetesComponent; 3],
    pub(super) secrets: Secrets,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) manifests: Vec<DynamicObject>,
    pub(super) switches: Option<NodeSwitches>,
    /// The instances that have ended; the cluster may call them running for another second.
    pub(super) ended: Mutex<BTreeSet<String>>,
    /// Only one command at a time sends signals or looks for them: two would freeze or end each other.
    pub(super) signals: tokio::sync::Mutex<()>,
    /// This machine's client tools for the platform's database server.
    pub(super) tools: tools::ToolFolder,
    pub(super) endpoints: Endpoints,
    access: Access,
    patience: Duration,
    keep: bool,
    attach: Option<Attach>,
    /// Where a standing platform records that the database server's disk is taken, and which jobs are created in it.
    pub(super) journal: Option<Arc<dyn Journal>>,
    /// Was that disk taken?
    new_server: AtomicBool,
}

/// The components of a run's platform, in the order of the stack.
pub fn components(client: &Client, run: &str, settings: &Kubernetes) -> [KubernetesComponent; 3] {
    let component = |name, workload, replicas, namespace| KubernetesComponent {
        name,
        workload,
        replicas,
        namespace,
        client: client.clone(),
    };
    let [platform, store] = settings.namespaces(run);
    [
        component("postgres", WorkloadKind::StatefulSet, 1, platform.clone()),
        component("s3", WorkloadKind::StatefulSet, 1, store),
        component("mlflow", WorkloadKind::Deployment, settings.mlflow.replicas, platform),
    ]
}

impl KubernetesPlatform {
    /// Creates a platform; what was created before a failure is left to `cleanup`.
    pub async fn provision(
        run_context: &RunContext,
        settings: &Kubernetes,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, Error> {
        let client = settings.client().await?;
        let uid = cluster_uid(&client).await?;
        let secrets = Secrets::random();
        let parts = PlatformManifests { run: &run_context.run, settings, secrets: &secrets };
        let (mut platform, store) = (parts.platform()?, parts.store()?);
        platform.extend(extra::objects(&parts, &settings.namespaces(&run_context.run)[0])?);
        for namespace in settings.namespaces(&run_context.run) {
            let receipt = json!({ "namespace": namespace, "cluster": uid, "context": settings.context });
            journal.creating(Receipt(receipt)).await?;
        }
        let passfile = folder(&run_context.run).join("passfile");
        journal.creating(Receipt(json!({ "folder": folder(&run_context.run) }))).await?;
        journal.progress("creating the platform's pods");
        tokio::try_join!(create(&client, &store), create(&client, &platform))?;

        let components = components(&client, &run_context.run, settings);
        let [postgres, store, _] = &components;
        let within = settings.ready_within.0;
        tokio::try_join!(ready(postgres, within), ready(store, within))?;
        let access = Access::open(&components, settings.access).await?;
        let mut this = Self::over(run_context, settings, client, uid, secrets, access, passfile);
        this.manifests = platform;
        make_folder(&run_context.run, &this.secrets.passfile(&this.address("postgres").ip().to_string()))?;
        if this.access.services {
            this.keep_addresses();
        }
        let bucket = async {
            this.served("s3").await?;
            stack::create_bucket(&this.endpoints.s3.clone().unwrap_or_default(), &this.secrets).await
        };
        tokio::try_join!(this.served("postgres"), bucket)?;
        journal.progress("waiting for MLflow, which makes its tables");
        this.served("mlflow").await?;
        Ok(this)
    }

    /// Finds a run's platform, or what is left of it; creates nothing.
    pub async fn find(run_context: &RunContext, settings: &Kubernetes) -> Result<Self, Error> {
        let client = settings.client().await?;
        let uid = cluster_uid(&client).await?;
        // If its secrets are gone, nothing can connect with the random ones.
        let secrets =
            secrets::read(&client, settings.namespaces(&run_context.run)).await?.unwrap_or_else(Secrets::random);
        let components = components(&client, &run_context.run, settings);
        let access = Access::open(&components, settings.access).await;
        let access = access.or_else(|_| Ok::<_, Error>(Access::none()))?; // a service may be gone with its namespace
        let parts = PlatformManifests { run: &run_context.run, settings, secrets: &secrets };
        // Only its owner has the manifests of a standing platform.
        let mut manifests = if settings.attach.is_none() { parts.platform()? } else { vec![] };
        // The files of `extra` may be gone by now, and nothing recreates what they added.
        manifests.extend(extra::objects(&parts, &settings.namespaces(&run_context.run)[0]).unwrap_or_default());
        let passfile = folder(&run_context.run).join("passfile");
        let this = Self::over(run_context, settings, client, uid, secrets, access, passfile);
        Ok(Self { manifests, ..this })
    }

    /// Attaches to a standing platform, whichever it is: `guard` says whether it may be touched.
    pub async fn attach(
        run_context: &RunContext,
        settings: &Kubernetes,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, Error> {
        let this = Self::find(run_context, settings).await?;
        journal.creating(Receipt(json!({ "folder": folder(&run_context.run) }))).await?;
        make_folder(&run_context.run, &this.secrets.passfile(&this.address("postgres").ip().to_string()))?;
        Ok(Self { journal: Some(journal), ..this })
    }

    fn over(
        run_context: &RunContext,
        settings: &Kubernetes,
        client: Client,
        uid: String,
        secrets: Secrets,
        access: Access,
        passfile: PathBuf,
    ) -> Self {
        let [postgres, store, mlflow] = access.addresses;
        let endpoint = format!("http://{store}");
        let endpoints = Endpoints {
            mlflow: Some(format!("http://{mlflow}")),
            postgres: Some(format!("postgresql://{0}@{postgres}/{0}", stack::DATABASE)),
            s3: Some(endpoint.clone()),
            bucket: Some(stack::BUCKET.into()),
            passfile: Some(passfile),
        };
        let [name, _] = settings.namespaces(&run_context.run);
        let components = components(&client, &run_context.run, settings);
        let namespace = NamespaceClient { client, name, labels: labels(&run_context.run) };
        Self {
            components,
            s3: s3::client(&endpoint, &secrets.root.access, &secrets.root.secret),
            run_context: run_context.clone(),
            namespace,
            uid,
            secrets,
            manifests: vec![],
            switches: settings.nodes.clone(),
            ended: Mutex::default(),
            signals: tokio::sync::Mutex::default(),
            tools: tools::ToolFolder::default(),
            access,
            endpoints,
            patience: settings.ready_within.0,
            keep: settings.keep,
            attach: settings.attach.clone(),
            journal: None,
            new_server: AtomicBool::default(),
        }
    }

    /// Records, before the act, that the disk of a component is taken: the database server that follows has another
    /// identifier, and on a standing platform the guard must know why.
    pub(super) async fn taking_disk(&self, component: &str) -> Result<(), Error> {
        if component != "postgres" {
            return Ok(());
        }
        if let Some(journal) = &self.journal {
            journal.creating(Receipt(json!({ "disk": component, "cluster": self.uid }))).await?;
        }
        self.new_server.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Reads from the receipts of a dead run what it took; refuses if they name another cluster.
    pub fn guards(&self, receipts: &[Receipt]) -> Result<(), Error> {
        if receipts.iter().any(|receipt| receipt.0["disk"] == "postgres" && receipt.0["cluster"] == self.uid) {
            self.new_server.store(true, Ordering::SeqCst);
        }
        let other = cleanup::named(receipts).into_iter().find(|(_, cluster)| *cluster != self.uid);
        other.map_or(Ok(()), |(name, _)| Err(cleanup::elsewhere(&name)))
    }

    /// What it is found to be, for the identity lock.
    pub async fn identity(&self) -> Result<lock::PlatformIdentity, Error> {
        lock::look(&self.namespace, self, Objects::bucket(self)).await
    }

    /// A component by its name.
    pub(super) fn component(&self, name: &str) -> Result<&KubernetesComponent, Error> {
        let known = || Error::new(format!("no component `{name}`"), format!("known: {}", stack::COMPONENTS.join(", ")));
        self.components.iter().find(|component| component.name == name).ok_or_else(known)
    }

    /// Where a component answers.
    pub(super) fn address(&self, component: &str) -> SocketAddr {
        let index = self.components.iter().position(|known| known.name == component).unwrap_or_default();
        self.access.addresses[index]
    }

    /// Waits until a component serves its clients through its endpoint.
    pub(super) async fn served(&self, name: &str) -> Result<(), Error> {
        let Err(late) = until(self.patience, POLL / 2, || self.serves(name)).await else { return Ok(()) };
        let why = late.reason.map_or_else(|| "no answer".to_owned(), |error| error.to_string());
        let state = self.component(name)?.described().await;
        let why = format!("it does not serve within {} s ({why}); {state}", self.patience.as_secs());
        Err(Error::new(format!("cannot start `{name}`"), why))
    }

    async fn serves(&self, name: &str) -> Result<(), Error> {
        let address = self.address(name);
        match name {
            "postgres" => {
                let config = self.secrets.config(&address.ip().to_string(), address.port(), "postgres");
                stack::postgres_serves(&config).await
            }
            "s3" => stack::s3_serves(&self.s3).await,
            _ => stack::mlflow_serves(&format!("http://{address}")).await,
        }
    }

    /// Pins the services' addresses, so that a recreated namespace has the endpoints that clients know.
    fn keep_addresses(&mut self) {
        let addresses: Vec<_> =
            self.components.iter().map(|known| (known.name, self.address(known.name).ip())).collect();
        for object in &mut self.manifests {
            let service = object.types.as_ref().is_some_and(|types| types.kind == "Service");
            let address = addresses.iter().find(|(name, _)| object.metadata.name.as_deref() == Some(name));
            if let Some((_, address)) = address.filter(|_| service) {
                object.data["spec"]["clusterIP"] = json!(address);
            }
        }
    }
}

/// Creates objects in their order.
async fn create(client: &Client, objects: &[DynamicObject]) -> Result<(), Error> {
    for object in objects {
        let types = object.types.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(types);
        let resource = kind.map(|kind| ApiResource::from_gvk(&kind));
        let resource = resource.map_err(|e| Error::caused_by("a manifest of the platform", e))?;
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let what = format!("cannot create the {} `{name}`", resource.kind.to_lowercase());
        retry(what, || async { made(api.create(&PostParams::default(), object).await) }).await?;
    }
    Ok(())
}

/// Waits until the cluster calls a component's first pod ready. What will never come is reported early: an image that is
/// not there, a pod that the cluster refuses to create.
async fn ready(component: &KubernetesComponent, within: Duration) -> Result<(), Error> {
    let what = format!("cannot start `{}`", component.name);
    let (first, then) = REFUSED;
    let looks = AtomicU32::new(0);
    let look = || async {
        let pod = component.pod().await?;
        if pod.as_ref().is_some_and(|pod| component.ready(pod)) {
            return Ok(None);
        }
        let state = pod.as_ref().map_or_else(|| NO_POD.to_owned(), |pod| component.state(pod));
        if ["ImagePull", "InvalidImage"].iter().any(|sign| state.contains(sign)) {
            return Err(Error::new(&what, state).hint("name images that the nodes can have, in `images`"));
        }
        let looks = looks.fetch_add(1, Ordering::Relaxed);
        if pod.is_none()
            && looks >= first
            && (looks - first).is_multiple_of(then)
            && let Some(why) = component.refused().await
        {
            return Err(Error::new(&what, why));
        }
        Ok(Some(()))
    };
    if until_none(within, POLL / 2, look).await?.is_ok() {
        return Ok(());
    }
    let why = format!("not ready within {} s: {}", within.as_secs(), component.described().await);
    Err(Error::new(what, why))
}

#[async_trait]
impl Platform for KubernetesPlatform {
    fn run(&self) -> Option<&str> {
        Some(&self.run_context.run)
    }
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    async fn guard(&self) -> Result<(), Error> {
        let Some(attach) = &self.attach else { return Ok(()) };
        let what = format!("namespace `{}` must not be touched", attach.namespace);
        let seen = self.identity().await.map_err(|error| Error::caused_by(&what, error))?;
        let renewed = self.new_server.load(Ordering::SeqCst).then(|| lock::with_new_server(attach, &seen));
        let differences = lock::differences(renewed.as_ref().unwrap_or(attach), &seen, false);
        if differences.is_empty() { Ok(()) } else { Err(Error::new(what, differences.join("; "))) }
    }

    fn shared(&self) -> bool {
        self.attach.is_some()
    }

    fn tunnel_failures(&self) -> u64 {
        self.access.tunnel_failures()
    }

    fn components(&self) -> Result<&dyn Components, Error> {
        Ok(self)
    }

    fn exec(&self) -> Result<&dyn Exec, Error> {
        Ok(self)
    }

    fn disks(&self) -> Result<&dyn Disks, Error> {
        Ok(self)
    }

    fn sql(&self) -> Result<&dyn Sql, Error> {
        Ok(self)
    }

    fn objects(&self) -> Result<&dyn Objects, Error> {
        Ok(self)
    }

    fn cluster(&self) -> Result<&dyn Cluster, Error> {
        Ok(self)
    }

    fn nodes(&self) -> Result<&dyn Nodes, Error> {
        if self.switches.is_some() { Ok(self) } else { Err(Power::Nodes.lacking()) }
    }

    fn kept(&self) -> Option<String> {
        self.keep.then(|| format!("{}, namespace {}", self.endpoints.stay_up(), self.components[0].namespace))
    }

    async fn remove(&self) -> Vec<String> {
        logs::keep(&self.components, &self.run_context.folder.join("logs")).await;
        let run = &self.run_context.run;
        // Of a standing platform nothing is ours but the folder on this machine.
        let [platform, store, _] = &self.components;
        let names = [&store.namespace, &platform.namespace].into_iter().filter(|_| self.attach.is_none());
        let receipts: Vec<_> = names.map(|name| Receipt(json!({ "namespace": name, "cluster": self.uid }))).collect();
        cleanup::remove(&self.namespace.client, run, &receipts).await
    }
}
