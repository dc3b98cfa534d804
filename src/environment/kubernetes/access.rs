//! The endpoints of the platform: the services' own addresses, or ports of this machine forwarded through the cluster's API.
//!
//! A forwarded port recovers by itself: each connection looks for a ready pod again, any of them, as a service does. If
//! there is none, that is the platform's outage. If the API or the forwarding fails, that is our tunnel's failure, and it
//! is counted: an answer that failed meanwhile says nothing about the platform.

use super::component::{KubernetesComponent, POLL};
use super::names::{MLFLOW_PORT, POSTGRES_PORT, S3_PORT};
use super::settings::AccessMode;
use crate::client::kubernetes::{ask, found, refusal, retry};
use crate::client::{Error, ports, until};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::Portforwarder;
use kube::{Api, ResourceExt};
use rand::seq::IteratorRandom;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a service's address may take to answer from here. It answers later than its pods, because each change of
/// endpoints has to reach every proxy first.
const REACHED: Duration = Duration::from_secs(5);
/// How long a connection waits for the cluster to forward it.
const FORWARD: Duration = Duration::from_secs(5);
/// A connection that waits longer for the cluster counts as a failure of our tunnel; probes wait longer.
const SLOW: Duration = Duration::from_secs(1);
const WHAT: &str = "cannot forward a port";

/// The access to the components, in their order.
pub struct Access {
    /// Where each component answers.
    pub addresses: [SocketAddr; 3],
    /// Are these the services' own addresses?
    pub services: bool,
    tunnel_failures: Arc<AtomicU64>,
    /// Ends the listeners when it is dropped.
    listeners: JoinSet<()>,
}

/// The port of a component's service.
pub fn port(component: &str) -> u16 {
    match component {
        "postgres" => POSTGRES_PORT,
        "s3" => S3_PORT,
        _ => MLFLOW_PORT,
    }
}

impl Access {
    /// Opens them. The first component must serve already: whether its address answers decides about `auto`.
    pub async fn open(components: &[KubernetesComponent; 3], way: AccessMode) -> Result<Self, Error> {
        let mut access = Self::none();
        if way != AccessMode::Forward {
            for (component, slot) in components.iter().zip(&mut access.addresses) {
                *slot = SocketAddr::new(address(component).await?, port(component.name));
            }
            if way == AccessMode::Service || answers(access.addresses[0], REACHED).await {
                return Ok(Self { services: true, ..access });
            }
        }
        for (component, slot) in components.iter().zip(&mut access.addresses) {
            let listener = listen()?;
            *slot = listener.local_addr().map_err(|e| Error::caused_by(WHAT, e))?;
            access.listeners.spawn(serve(listener, component.clone(), Arc::clone(&access.tunnel_failures)));
        }
        Ok(access)
    }

    /// Endpoints that lead nowhere, for a platform of which too little is left.
    pub fn none() -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);
        Self { addresses: [nowhere; 3], services: false, tunnel_failures: Arc::default(), listeners: JoinSet::new() }
    }

    /// How often our own tunnel has failed.
    pub fn tunnel_failures(&self) -> u64 {
        self.tunnel_failures.load(Ordering::SeqCst)
    }
}

/// The address of a component's service.
async fn address(component: &KubernetesComponent) -> Result<IpAddr, Error> {
    let (name, what) = (component.name, format!("cannot read the service `{}`", component.name));
    let services: Api<Service> = Api::namespaced(component.client.clone(), &component.namespace);
    let service = retry(&what, || services.get(name)).await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    address.parse().map_err(|_| Error::new(what, format!("`{address}` is no address")).hint("say `access: forward`"))
}

/// Does an address accept connections, now or within this time?
async fn answers(address: SocketAddr, within: Duration) -> bool {
    until(within, POLL, || TcpStream::connect(address)).await.is_ok()
}

fn listen() -> Result<TcpListener, Error> {
    let listener = ports::listen()?;
    let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    listener.map_err(|e| Error::caused_by(WHAT, e))
}

async fn serve(listener: TcpListener, component: KubernetesComponent, tunnel_failures: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((connection, _)) = accepted {
                connections.spawn(relay(connection, component.clone(), Arc::clone(&tunnel_failures)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Relays one connection to a ready pod; if there is none, the connection ends.
async fn relay(mut connection: TcpStream, component: KubernetesComponent, tunnel_failures: Arc<AtomicU64>) {
    let tunnel_failed = || tunnel_failures.fetch_add(1, Ordering::SeqCst);
    let mut forward = Box::pin(ForwardedPort::to(&component));
    let forward = match timeout(SLOW, &mut forward).await {
        Ok(forward) => forward,
        Err(_) => {
            tunnel_failed(); // now, because a probe gives up and reads the count before this has failed
            forward.await
        }
    };
    let ended = match forward {
        Ok(Some(forward)) => forward.relay(&mut connection, &component).await,
        other => other.map(drop),
    };
    if ended.is_err() {
        tunnel_failed();
    }
}

/// A port of a pod, forwarded. Its errors are our own tunnel's.
struct ForwardedPort {
    pod: String,
    forwarder: Portforwarder,
}

impl ForwardedPort {
    /// To one of the ready pods of a component; nothing where none is ready.
    async fn to(component: &KubernetesComponent) -> Result<Option<Self>, Error> {
        let Some(pod) = any_ready(component, &component.look().await?) else { return Ok(None) };
        let api = component.api();
        let error = match timeout(FORWARD, api.portforward(&pod, &[port(component.name)])).await {
            Ok(Ok(forwarder)) => return Ok(Some(Self { pod, forwarder })),
            Ok(Err(error)) => refusal(WHAT, &error),
            Err(_) => Error::new(WHAT, "no answer in time"),
        };
        blame(component, &pod, error).await.map(|()| None)
    }

    async fn relay(mut self, connection: &mut TcpStream, component: &KubernetesComponent) -> Result<(), Error> {
        let port = port(component.name);
        let streams = self.forwarder.take_stream(port).zip(self.forwarder.take_error(port));
        let (mut stream, refusal) = streams.ok_or_else(|| Error::new(WHAT, "the cluster gave it no stream"))?;
        tokio::select! {
            // An end on either side is the client's or the platform's own.
            _ = tokio::io::copy_bidirectional(connection, &mut stream) => {}
            // A message says that nothing listens there any more: the platform's outage. No message says nothing.
            () = async { if refusal.await.is_none() { std::future::pending::<()>().await } } => return Ok(()),
        }
        drop(stream);
        match timeout(FORWARD, self.forwarder.join()).await {
            // Kube does not export the type of this error.
            Ok(Err(error)) if error.to_string().contains("WebSocket") => {
                blame(component, &self.pod, Error::new(WHAT, error)).await
            }
            _ => Ok(()),
        }
    }
}

/// Any of the ready pods, as a service does: always the same one would hide the others.
fn any_ready(component: &KubernetesComponent, pods: &[Pod]) -> Option<String> {
    pods.iter().filter(|pod| component.ready(pod)).choose(&mut rand::rng()).map(ResourceExt::name_any)
}

/// Whose failure is it? The platform's if the pod is no longer ready, else our tunnel's.
async fn blame(component: &KubernetesComponent, pod: &str, error: Error) -> Result<(), Error> {
    let api = component.api();
    let now = ask("cannot read a pod", async { found(api.get(pod).await) }).await?;
    if now.is_some_and(|pod| component.ready(&pod)) { Err(error) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::kubernetes::WorkloadKind;
    use serde_json::json;
    use std::collections::BTreeSet;
    use tokio::time::sleep;

    #[tokio::test]
    async fn an_address_that_answers_a_moment_later_is_taken() {
        let address = listen().unwrap().local_addr().unwrap(); // and closed again
        assert!(!answers(address, POLL * 2).await);
        let later = tokio::spawn(async move {
            sleep(POLL * 2).await;
            TcpListener::bind(address).await.unwrap()
        });
        assert!(answers(address, REACHED).await);
        drop(later.await.unwrap());
    }

    #[tokio::test]
    async fn a_connection_goes_to_any_pod_that_is_ready() {
        let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let (name, workload) = ("mlflow", WorkloadKind::Deployment);
        let component = KubernetesComponent { name, workload, replicas: 3, namespace: "ns".into(), client };
        let pod = |pod: &str, phase: &str, ready: bool| -> Pod {
            let container = json!({ "name": name, "ready": ready, "image": "", "imageID": "", "restartCount": 0 });
            let status = json!({ "phase": phase, "containerStatuses": [container] });
            serde_json::from_value(json!({ "metadata": { "name": pod }, "status": status })).unwrap()
        };
        let pods = [pod("a", "Running", true), pod("b", "Running", false), pod("c", "Failed", true)];
        assert_eq!(any_ready(&component, &pods).as_deref(), Some("a"));
        assert_eq!(any_ready(&component, &pods[1..]), None);
        let pods = [&pods[..], &[pod("d", "Running", true)]].concat();
        // By chance alone one of two is missed once in 2^63.
        let chosen: BTreeSet<_> = (0..64).filter_map(|_| any_ready(&component, &pods)).collect();
        assert_eq!(chosen, BTreeSet::from(["a".to_owned(), "d".to_owned()]));
    }
}
