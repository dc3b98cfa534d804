//! The networks of a platform, and cutting them.
//!
//! One network leads to this machine's ports; on it containers do not see each other. Components that talk share a
//! network of their own for that, which leads nowhere else. So two of them can be cut off from each other while
//! clients outside still reach both, and no port of this machine changes.

use super::container_spec::inner_port;
use super::labels::{labels, receipt};
use crate::client::Error;
use crate::client::containers::{ContainerEngine, ask, exec, settle};
use crate::environment::Journal;
use crate::environment::stack::COMPONENTS;
use crate::model::Finding;
use std::collections::HashMap;
use testcontainers::bollard::models::{
    EndpointSettings, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
};

/// Who talks to whom: the client first.
const PAIRS: [(&str, &str); 2] = [("mlflow", "postgres"), ("mlflow", "s3")];

/// The name of a run's network to this machine; the alphabet makes it the way out where an engine asks the alphabet.
pub fn front(run: &str) -> String {
    format!("{run}-front")
}

/// Makes a run's networks.
pub async fn create(engine: &ContainerEngine, run: &str, journal: &dyn Journal) -> Result<(), Error> {
    let apart = HashMap::from([("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned())]);
    let front = NetworkCreateRequest { name: front(run), options: Some(apart), ..NetworkCreateRequest::default() };
    let pairs = PAIRS.iter().map(|pair| NetworkCreateRequest {
        name: pair_name(run, *pair),
        internal: Some(true),
        ..NetworkCreateRequest::default()
    });
    for network in [front].into_iter().chain(pairs) {
        let what = format!("cannot make the network `{}`", network.name);
        journal.creating(receipt(engine, "network", &network.name)).await?;
        let network = NetworkCreateRequest { driver: Some("bridge".into()), labels: Some(labels(run)), ..network };
        let hint = "are there many networks already? `docker network prune` removes those that nobody uses";
        ask(what, engine.docker.create_network(network)).await.map_err(|error| error.hint(hint))?;
    }
    Ok(())
}

/// Connects a component's container to all whom it talks to.
pub async fn join(engine: &ContainerEngine, run: &str, component: &str) -> Result<(), Error> {
    for pair in PAIRS.into_iter().filter(|pair| pair.0 == component || pair.1 == component) {
        connect(engine, run, pair, component).await?;
    }
    Ok(())
}

/// Cuts two components off from each other.
pub async fn cut(engine: &ContainerEngine, run: &str, one: &str, other: &str) -> Result<(), Error> {
    let pair = pair(one, other)?;
    let network = pair_name(run, pair);
    if !connected(engine, run, pair).await? {
        return Ok(());
    }
    let request = NetworkDisconnectRequest { container: format!("{run}-{}", pair.0), force: Some(true) };
    ask(format!("cannot cut `{one}` off from `{other}`"), engine.docker.disconnect_network(&network, request)).await
}

/// Connects them again.
pub async fn mend(engine: &ContainerEngine, run: &str, one: &str, other: &str) -> Result<(), Error> {
    let pair = pair(one, other)?;
    if connected(engine, run, pair).await? { Ok(()) } else { connect(engine, run, pair, pair.0).await }
}

/// Does one reach the other's port, by name? Asked from inside of `one`.
pub async fn reaches(engine: &ContainerEngine, run: &str, one: &str, other: &str) -> Finding {
    for component in [one, other] {
        if let Err(error) = known(component) {
            return Finding::unknown(error.to_string());
        }
    }
    // Small images have no bash, but then they have busybox's nc.
    let script = "if command -v bash >/dev/null; then exec timeout 2 bash -c '</dev/tcp/'$0'/'$1; \
        else exec timeout 2 nc -z -w 1 $0 $1; fi";
    let port = inner_port(other).to_string();
    let command = ["sh", "-c", script, other, &port];
    let asked = async { exec(engine, &format!("{run}-{one}"), &command, &[]).await?.finish().await };
    match asked.await {
        Ok((ended, _)) if ended.success() => Finding::met(),
        Ok((ended, _)) if ended.code == Some(124) => Finding::missed(format!("`{one}` gets no answer from `{other}`")),
        Ok((ended, _)) => Finding::missed(format!("`{one}` does not reach `{other}`: {ended}")),
        Err(error) => Finding::unknown(error.to_string()),
    }
}

async fn connect(engine: &ContainerEngine, run: &str, pair: (&str, &str), component: &str) -> Result<(), Error> {
    let endpoint = EndpointSettings { aliases: Some(vec![component.to_owned()]), ..EndpointSettings::default() };
    let container = format!("{run}-{component}");
    let request = NetworkConnectRequest { container, endpoint_config: Some(endpoint) };
    let what = format!("cannot connect `{}` with `{}`", pair.0, pair.1);
    // 403: it is connected already
    settle(what, &[403], engine.docker.connect_network(&pair_name(run, pair), request)).await
}

/// Is the client on the network that it shares with its server?
async fn connected(engine: &ContainerEngine, run: &str, pair: (&str, &str)) -> Result<bool, Error> {
    let container = format!("{run}-{}", pair.0);
    let gone = || Error::new(format!("cannot change the network of `{}`", pair.0), "its container is gone");
    let found = engine.inspect(&container).await?.ok_or_else(gone)?;
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    Ok(networks.contains_key(&pair_name(run, pair)))
}

fn pair(one: &str, other: &str) -> Result<(&'static str, &'static str), Error> {
    known(one)?;
    known(other)?;
    let found = PAIRS.into_iter().find(|pair| *pair == (one, other) || *pair == (other, one));
    found.ok_or_else(|| Error::new(format!("the network between `{one}` and `{other}`"), "they never talk"))
}

fn known(component: &str) -> Result<(), Error> {
    let why = || format!("known: {}", COMPONENTS.join(", "));
    let there = COMPONENTS.contains(&component).then_some(());
    there.ok_or_else(|| Error::new(format!("no component `{component}`"), why()))
}

fn pair_name(run: &str, pair: (&str, &str)) -> String {
    format!("{run}-{}-{}", pair.0, pair.1)
}
