//! The live platform in a cluster: created in order, found again, removed.
//!
//! Not here: what is done to its components, and the other powers.

use super::access::Access;
use super::component::{KubernetesComponent, POLL, components};
use super::create::{create, ready};
use super::folder::{folder, make_folder};
use super::helper::KubernetesHelper;
use super::identity::Ways;
use super::lock::PlatformIdentity;
use super::manifests::PlatformManifests;
use super::names::labels;
use super::settings::{Kubernetes, NodeSwitches};
use super::standing::{self, StandingPlatform};
use super::{cleanup, extra, logs, secrets};
use crate::client::kubernetes::{NamespaceClient, cluster_uid};
use crate::client::{Error, s3, until};
use crate::environment::helper::HelperVolumes;
use crate::environment::own_key::OwnKey;
use crate::environment::stack::{self, Secrets};
use crate::environment::tools;
use crate::environment::{
    Act, BucketPolicies, Cluster, Components, Disks, Endpoints, Exec, Identity, Journal, Nodes, Objects, Platform,
    Power, RunContext, Sql, Volumes,
};
use crate::model::Receipt;
use async_trait::async_trait;
use kube::Client;
use kube::core::DynamicObject;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Config;

/// A platform in a cluster.
pub struct KubernetesPlatform {
    pub(super) run_context: RunContext,
    pub(super) namespace: NamespaceClient,
    pub(super) uid: String,
    pub(super) components: [KubernetesComponent; 3],
    pub(super) secrets: Secrets,
    pub(super) s3: aws_sdk_s3::Client,
    own_key: OwnKey,
    /// Of a throw-away platform.
    pub(super) volumes: Option<HelperVolumes>,
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
    /// The nodes that carried the platform when it was struck, with their UIDs.
    pub(super) carried: Mutex<BTreeMap<String, String>>,
    /// What is known of it where it is a standing one.
    pub(super) standing: Option<StandingPlatform>,
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
        let (image, labels) = (settings.images.of("postgres"), labels(&run_context.run));
        let helper = Arc::new(KubernetesHelper::new(this.components[0].clone(), image, labels, within));
        this.volumes = Some(HelperVolumes::new(helper, journal.clone(), run_context.folder.join("logs")));
        make_folder(&run_context.run, &this.secrets.passfile(&this.address("postgres").ip().to_string()))?;
        if this.access.services {
            this.keep_addresses();
        }
        let bucket = async {
            this.served("s3").await?;
            stack::create_bucket(&this.endpoints.s3.clone().unwrap_or_default(), &this.secrets).await
        };
        tokio::try_join!(this.served("postgres"), bucket)?;
        stack::allow_replication(&this.superuser("postgres")).await?;
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
        let mut this = Self::find(run_context, settings).await?;
        journal.creating(Receipt(json!({ "folder": folder(&run_context.run) }))).await?;
        make_folder(&run_context.run, &this.secrets.passfile(&this.address("postgres").ip().to_string()))?;
        for component in &mut this.components {
            let found = component.wanted().await?.and_then(|wanted| u16::try_from(wanted).ok());
            component.replicas = found.unwrap_or(component.replicas);
        }
        this.own_key.read_policy().await;
        if let Some(standing) = this.standing.take() {
            let standing = standing.used(&this.namespace.client, &run_context.run, Some(journal)).await;
            standing.found(&this.components.iter().map(|it| (it.name.to_owned(), it.replicas)).collect()).await?;
            this.standing = Some(standing);
        }
        Ok(this)
    }

    /// Finds a standing platform that a dead run used, to repair it or to put back what that run changed.
    pub async fn find_again(
        run_context: &RunContext,
        settings: &Kubernetes,
        receipts: &[Receipt],
        journal: Option<Arc<dyn Journal>>,
    ) -> Result<Self, Error> {
        let mut this = Self::find(run_context, settings).await?;
        this.guards(receipts)?;
        // A run that did not come so far, or found another at work, has changed nothing.
        let Some(replicas) = standing::replicas(receipts) else { return Ok(this) };
        // A restore's tools read the password from there; the run that made it may have removed it.
        make_folder(&run_context.run, &this.secrets.passfile(&this.address("postgres").ip().to_string()))?;
        for component in &mut this.components {
            component.replicas = replicas.get(component.name).copied().unwrap_or(component.replicas);
        }
        if let Some(standing) = this.standing.take() {
            this.standing = Some(standing.used_again(&this.namespace.client, &run_context.run, journal).await);
        }
        Ok(this)
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
        let standing = settings.attach.as_ref().map(|attach| StandingPlatform::new(attach, &uid));
        Self {
            components,
            s3: s3::client(&endpoint, &secrets.root.access, &secrets.root.secret),
            own_key: OwnKey::new(&endpoint, &secrets),
            volumes: None,
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
            carried: Mutex::default(),
            standing,
        }
    }

    /// Reads from the receipts of a dead run what it ended; refuses if they name another cluster.
    pub fn guards(&self, receipts: &[Receipt]) -> Result<(), Error> {
        if let Some(standing) = &self.standing {
            standing.recall(receipts);
        }
        let other = cleanup::named(receipts).into_iter().find(|(_, cluster)| *cluster != self.uid);
        other.map_or(Ok(()), |(name, _)| Err(cleanup::elsewhere(&name)))
    }

    /// What it is found to be, for the survey; nothing of a throw-away one.
    pub async fn identity(&self) -> Result<PlatformIdentity, Error> {
        match &self.standing {
            Some(standing) => standing.look(&self.ways()).await,
            None => Ok(PlatformIdentity::default()),
        }
    }

    fn ways(&self) -> Ways<'_> {
        Ways { namespace: &self.namespace, sql: self, objects: self }
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
        self.served_within(name, self.patience).await
    }

    /// As [`Self::served`], within another time.
    pub(super) async fn served_within(&self, name: &str, within: Duration) -> Result<(), Error> {
        let Err(late) = until(within, POLL / 2, || self.serves(name)).await else { return Ok(()) };
        let why = late.reason.map_or_else(|| "no answer".to_owned(), |error| error.to_string());
        let state = self.component(name)?.described().await;
        let why = format!("it does not serve within {} s ({why}); {state}", within.as_secs());
        Err(Error::new(format!("cannot start `{name}`"), why))
    }

    /// How its superuser connects to a database.
    pub(super) fn superuser(&self, database: &str) -> Config {
        let address = self.address("postgres");
        self.secrets.config(&address.ip().to_string(), address.port(), database)
    }

    async fn serves(&self, name: &str) -> Result<(), Error> {
        let address = self.address(name);
        match name {
            "postgres" => stack::postgres_serves(&self.superuser("postgres")).await,
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

#[async_trait]
impl Platform for KubernetesPlatform {
    fn run(&self) -> Option<&str> {
        Some(&self.run_context.run)
    }
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    async fn guard(&self, act: Act) -> Result<(), Error> {
        if let Some(standing) = &self.standing {
            standing.guard(&self.ways(), act).await?;
        }
        if act == Act::Strike {
            self.remember_nodes().await;
        }
        Ok(())
    }

    async fn ends(&self, identity: Identity) -> Result<(), Error> {
        match &self.standing {
            Some(standing) => standing.ends(identity).await,
            None => Ok(()),
        }
    }

    fn news(&self) -> Vec<String> {
        self.standing.as_ref().map(StandingPlatform::news).unwrap_or_default()
    }

    fn standing(&self) -> bool {
        self.standing.is_some()
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

    fn volumes(&self) -> Result<&dyn Volumes, Error> {
        self.volumes.as_ref().map(|volumes| volumes as _).ok_or_else(|| Power::Volumes.lacking())
    }

    fn sql(&self) -> Result<&dyn Sql, Error> {
        Ok(self)
    }

    fn objects(&self) -> Result<&dyn Objects, Error> {
        Ok(self)
    }

    fn policies(&self) -> Result<&dyn BucketPolicies, Error> {
        Ok(&self.own_key)
    }

    fn cluster(&self) -> Result<&dyn Cluster, Error> {
        Ok(self)
    }

    fn nodes(&self) -> Result<&dyn Nodes, Error> {
        if self.switches.is_some() { Ok(self) } else { Err(Power::Nodes.lacking()) }
    }

    fn kept(&self) -> Option<String> {
        (self.keep && self.standing.is_none())
            .then(|| format!("{}, namespace {}", self.endpoints.stay_up(), self.components[0].namespace))
    }

    async fn remove(&self) -> Vec<String> {
        logs::keep(&self.components, &self.run_context.folder.join("logs")).await;
        let run = &self.run_context.run;
        let Some(standing) = &self.standing else {
            let [platform, store, _] = &self.components;
            let names = [&store.namespace, &platform.namespace].into_iter();
            let receipts: Vec<_> =
                names.map(|name| Receipt(json!({ "namespace": name, "cluster": self.uid }))).collect();
            return cleanup::remove(&self.namespace.client, run, &receipts).await;
        };
        let mut left = self.put_back().await;
        // Of a standing platform nothing is ours but the folder on this machine and the marks on nodes.
        left.extend(cleanup::remove(&self.namespace.client, run, &[]).await);
        standing.release().await;
        left
    }
}
