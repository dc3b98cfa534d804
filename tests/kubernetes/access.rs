//! The ways to the platform, and what becomes of them when the way to the cluster itself is cut.

use super::failures::{a_namespace_that_is_held_is_named, a_quota_is_told, an_interrupted_way_is_bridged};
use super::fixture::{Fixture, changed, environment, make_run, read_run, served};
use crate::services;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use kube::config::Kubeconfig;
use lifeboat::client::mlflow::Mlflow;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A way to the cluster's API that can be cut.
pub struct Relay {
    at: SocketAddr,
    to: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// To the API of the test cluster.
    pub async fn to_the_cluster() -> Self {
        let config = Kubeconfig::read_from(services::kubeconfig().unwrap()).unwrap();
        let api = config.clusters[0].cluster.as_ref().unwrap().server.clone().unwrap();
        let to = api.trim_start_matches("https://").trim_end_matches('/').parse().unwrap();
        Self::new("127.0.0.1:0", to).await
    }

    /// A kubeconfig that leads through it.
    pub fn kubeconfig(&self) -> tempfile::NamedTempFile {
        changed(|config| {
            config["clusters"][0]["cluster"]["server"] = json!(format!("https://{}", self.at));
            config["clusters"][0]["cluster"]["tls-server-name"] = json!(self.to.ip());
        })
    }

    async fn new(at: &str, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new(); // which end with this task
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    if let Ok(mut there) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                    }
                });
            }
        });
        Self { at, to, task }
    }

    pub async fn cut(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub async fn mend(self) -> Self {
        Self::new(&self.at.to_string(), self.to).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_ports_mend_themselves_and_what_the_cluster_refuses_is_told() {
    let Some(mut fixture) = Fixture::new("test-forward", "").await else { return };
    let mut relay = Relay::to_the_cluster().await;
    let kubeconfig = relay.kubeconfig();
    fixture.environment = environment(kubeconfig.path(), "access: forward");
    let platform = fixture.provision().await;
    let endpoint = platform.endpoints().mlflow.clone().unwrap();
    assert!(endpoint.starts_with("http://127.0.0.1:"), "{endpoint}");
    let mlflow = Mlflow::fresh(&endpoint, Duration::from_secs(3)).unwrap();
    let run = make_run(&mlflow).await;
    let before = platform.tunnel_failures();
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace());
    let of_mlflow = ListParams::default().labels("app.kubernetes.io/component=mlflow");
    pods.delete_collection(&DeleteParams::default().grace_period(0), &of_mlflow).await.unwrap();
    let step_context = platform.components().unwrap();
    step_context.start("mlflow").await.unwrap();
    println!("replaced and forwarded again after {:.1} s", served(&mlflow, &run).await);
    step_context.stop("mlflow").await.unwrap();
    assert!(read_run(&mlflow, &run).await.is_err());
    assert_eq!(platform.tunnel_failures(), before, "that was the platform's outage");
    step_context.start("mlflow").await.unwrap();
    relay.cut().await;
    assert!(read_run(&mlflow, &run).await.is_err());
    assert!(platform.tunnel_failures() > before, "that was ours");
    let relay = relay.mend().await;
    served(&mlflow, &run).await;

    let _relay = an_interrupted_way_is_bridged(&*platform, relay).await;
    a_quota_is_told(&fixture).await;
    a_namespace_that_is_held_is_named(&fixture, &*platform).await;
}
