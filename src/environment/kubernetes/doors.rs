//! Where clients knock: the services' own addresses, or ports of this machine forwarded through the cluster's API.
//!
//! A forwarded port mends itself, because each connection looks for a ready pod anew. Where there is none, that is the
//! platform's outage; where the API or the forwarding fails, it is ours, and counted: an answer that failed
//! meanwhile says nothing of the platform.

use super::client::{ask, insist};
use super::manifests::{MLFLOW_PORT, POSTGRES_PORT, S3_PORT};
use super::pods::Component;
use super::settings::Way;
use crate::client::Trouble;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long finding out may take whether a service's address can be reached from here.
const KNOCK: Duration = Duration::from_secs(2);
/// How long a connection waits for the cluster to forward it.
const FORWARD: Duration = Duration::from_secs(5);

/// The doors to the components, in their order.
pub struct Doors {
    /// Where each component answers.
    pub addresses: [SocketAddr; 3],
    /// Are these the services' own addresses?
    pub services: bool,
    stumbles: Arc<AtomicU64>,
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

impl Doors {
    /// Opens them. The first component must serve already: whether its address answers decides about `auto`.
    pub async fn open(components: &[Component; 3], way: Way) -> Result<Self, Trouble> {
        let mut doors = Self::none();
        if way != Way::Forward {
            for (component, door) in components.iter().zip(&mut doors.addresses) {
                *door = SocketAddr::new(address(component).await?, port(component.name));
            }
            let knocked = timeout(KNOCK, TcpStream::connect(doors.addresses[0])).await;
            if way == Way::Service || knocked.is_ok_and(|knocked| knocked.is_ok()) {
                return Ok(Self { services: true, ..doors });
            }
        }
        for (component, door) in components.iter().zip(&mut doors.addresses) {
            let listener = listen().await?;
            *door = listener.local_addr().map_err(|e| Trouble::new("cannot forward a port", e))?;
            doors.listeners.spawn(serve(listener, component.clone(), Arc::clone(&doors.stumbles)));
        }
        Ok(doors)
    }

    /// None that lead anywhere: for a platform of which too little is left.
    pub fn none() -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);
        Self { addresses: [nowhere; 3], services: false, stumbles: Arc::default(), listeners: JoinSet::new() }
    }

    /// How often our own way has failed.
    pub fn stumbles(&self) -> u64 {
        self.stumbles.load(Ordering::SeqCst)
    }
}

/// The address of a component's service.
async fn address(component: &Component) -> Result<IpAddr, Trouble> {
    let (name, what) = (component.name, format!("cannot read the service `{}`", component.name));
    let services: Api<Service> = Api::namespaced(component.client.clone(), &component.namespace);
    let service = insist(&what, || services.get(name)).await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    address.parse().map_err(|_| Trouble::new(what, format!("`{address}` is no address")).hint("say `doors: forward`"))
}

async fn listen() -> Result<TcpListener, Trouble> {
    for _ in 0..100 {
        // Below what the system hands out to clients, so that the port is nobody's by chance.
        let port = rand::random_range(10_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return Ok(listener);
        }
    }
    Err(Trouble::new("cannot forward a port", "no port of this machine is free"))
}

async fn serve(listener: TcpListener, component: Component, stumbles: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((connection, _)) = accepted {
                let (component, stumbles) = (component.clone(), Arc::clone(&stumbles));
                connections.spawn(async move {
                    if carry(connection, &component).await.is_err() {
                        stumbles.fetch_add(1, Ordering::SeqCst);
                    }
                });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection to a ready pod. An error is our own; where no pod is ready, the connection just ends.
async fn carry(mut connection: TcpStream, component: &Component) -> Result<(), Trouble> {
    let pods = component.pods().await?;
    let Some(pod) = pods.iter().find(|pod| component.ready(pod)).map(ResourceExt::name_any) else { return Ok(()) };
    let (api, port) = (component.api(), port(component.name));
    let what = || format!("cannot forward a port to pod `{pod}`");
    let forwarded = timeout(FORWARD, api.portforward(&pod, &[port])).await;
    let mut forwarder = match forwarded {
        Ok(Ok(forwarder)) => forwarder,
        Ok(Err(error)) => return blame(component, &pod, super::client::trouble(what(), &error)).await,
        Err(_) => return blame(component, &pod, Trouble::new(what(), "no answer in time")).await,
    };
    let (Some(mut stream), Some(refusal)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
        return Err(Trouble::new(what(), "the cluster gave it no stream"));
    };
    tokio::select! {
        // What ends on either side is the clients' or the platform's own business.
        _ = tokio::io::copy_bidirectional(&mut connection, &mut stream) => {}
        // A message says that nothing listens there, or no longer: the platform's outage. None says nothing.
        () = async { if refusal.await.is_none() { std::future::pending::<()>().await } } => return Ok(()),
    }
    drop(stream);
    match timeout(FORWARD, forwarder.join()).await {
        // The crate keeps the type of this error to itself.
        Ok(Err(error)) if error.to_string().contains("WebSocket") => {
            blame(component, &pod, Trouble::new(what(), error)).await
        }
        _ => Ok(()),
    }
}

/// The platform's outage if the pod is no longer ready; else ours.
async fn blame(component: &Component, pod: &str, trouble: Trouble) -> Result<(), Trouble> {
    let api = component.api();
    let now = ask("cannot read a pod", async { super::client::found(api.get(pod).await) }).await?;
    if now.is_some_and(|pod| component.ready(&pod)) { Err(trouble) } else { Ok(()) }
}
