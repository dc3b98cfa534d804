//! What tests may need beside processes, a container engine and a cluster; and what of a run is in them.
//!
//! Without one its tests say so, in one line past the capture of tests' output, and pass; `require` in
//! `LIFEBOAT_TEST_CONTAINERS` or `LIFEBOAT_TEST_CLUSTER` makes them fail instead.
#![allow(dead_code)] // each test takes what it needs

pub use crate::skips::skipped;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Once;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};

/// The container engine, if one answers.
pub async fn engine() -> Option<Docker> {
    let asked = async {
        let docker = testcontainers::core::client::docker_client_instance().await.map_err(|e| e.to_string())?;
        docker.version().await.map_err(|e| e.to_string())?;
        Ok::<_, String>(docker)
    };
    match asked.await {
        Ok(docker) => Some(docker),
        Err(why) => {
            let what = format!("the tests on containers: no engine answers ({why}); make engine-up");
            skip("LIFEBOAT_TEST_CONTAINERS", &what);
            None
        }
    }
}

/// The test cluster's kubeconfig, if there is one.
pub fn kubeconfig() -> Option<PathBuf> {
    let named = std::env::var_os("LIFEBOAT_TEST_KUBECONFIG").filter(|v| !v.is_empty()).map(PathBuf::from);
    if named.is_none() {
        let why = "the tests on a cluster: LIFEBOAT_TEST_KUBECONFIG is not set; make cluster-up, then set it to what \
                   `tests/cluster/cluster kubeconfig` says";
        skip("LIFEBOAT_TEST_CLUSTER", why);
    }
    named
}

/// The test cluster, if there is one.
pub async fn cluster() -> Option<Client> {
    let config = Kubeconfig::read_from(kubeconfig()?).unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    Some(Client::try_from(config).unwrap())
}

/// What turns the test cluster's nodes off and on, if there is such a thing: `… kill NODE`, `up`, `cut` and `heal`.
pub fn switch() -> Option<String> {
    let switch = std::env::var("LIFEBOAT_TEST_NODES").ok().filter(|switch| !switch.is_empty());
    if switch.is_none() {
        let why = "the loss of nodes: LIFEBOAT_TEST_NODES does not say what turns one off; for the cluster of \
                   make cluster-up it is `env -u LIFEBOAT_TEST_KUBECONFIG tests/cluster/cluster node`";
        skip("LIFEBOAT_TEST_CLUSTER", why);
    }
    switch
}

fn skip(variable: &str, what: &str) {
    static ONCE: Once = Once::new();
    assert!(std::env::var(variable).as_deref() != Ok("require"), "{what}");
    ONCE.call_once(|| skipped(what));
}

/// What of a run is on the engine: containers, networks, volumes.
pub async fn on_engine(docker: &Docker, run: &str) -> Vec<String> {
    let filters = HashMap::from([("label", vec![format!("dev.lifeboat.run={run}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await.unwrap();
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let networks = docker.list_networks(Some(options)).await.unwrap();
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let volumes = docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default();
    let containers = containers.into_iter().map(|it| format!("{:?}", it.names));
    let networks = networks.into_iter().map(|it| format!("{:?}", it.name));
    containers.chain(networks).chain(volumes.into_iter().map(|it| it.name)).collect()
}

/// What of a run is in the cluster: namespaces and disks.
pub async fn in_cluster(client: &Client, run: &str) -> Vec<String> {
    let (namespaces, volumes): (Api<Namespace>, Api<PersistentVolume>) =
        (Api::all(client.clone()), Api::all(client.clone()));
    let (run, all) = (run.to_ascii_lowercase(), ListParams::default());
    let claimed = |volume: &PersistentVolume| {
        let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        claim.and_then(|claim| claim.namespace.as_ref()).is_some_and(|namespace| namespace.contains(&run))
    };
    let namespaces = namespaces.list(&all).await.unwrap().items;
    let volumes = volumes.list(&all).await.unwrap().items;
    let namespaces = namespaces.into_iter().map(|it| it.name_any()).filter(|name| name.contains(&run));
    namespaces.chain(volumes.iter().filter(|it| claimed(it)).map(ResourceExt::name_any)).collect()
}
