//! Removing what a run left on its engine, with nothing but receipts and labels; its logs are fetched first.
//!
//! Apart because it must work when the process that made all this is dead. Gone already is success; what does not
//! carry the run's label is not ours and is never touched.

use super::labels::{COMPONENT, of_run};
use crate::client::Error;
use crate::client::containers::{ContainerEngine, ask, settle, write};
use crate::client::process::POLL;
use crate::environment::RunContext;
use crate::model::Receipt;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use testcontainers::bollard::models::ContainerSummary;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptionsBuilder,
};
use tokio::time::sleep;

/// What the receipts of a run can name on an engine.
const KINDS: [&str; 3] = ["container", "network", "volume"];

/// Removes what receipts name; answers what could not be removed.
pub async fn remove(run_context: &RunContext, receipts: &[Receipt]) -> Vec<String> {
    let mut named: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for receipt in receipts {
        let thing = KINDS.iter().find_map(|kind| Some(format!("{kind} `{}`", receipt.0[*kind].as_str()?)));
        if let Some((engine, thing)) = receipt.0["engine"].as_str().zip(thing) {
            named.entry(engine).or_default().push(thing);
        }
    }
    let mut left = vec![];
    for (address, things) in named {
        let removed = async { attempt(&ContainerEngine::at(address)?, run_context).await }.await;
        match removed {
            Ok(more) => left.extend(more),
            Err(error) => left.extend(things.iter().map(|thing| format!("{thing}: {error}"))),
        }
    }
    let files = receipts.iter().filter_map(|receipt| receipt.0["file"].as_str()).map(PathBuf::from);
    left.extend(files.filter(|file| *file == passfile(&run_context.run)).filter_map(|file| delete_file(&file)));
    left
}

/// Removes all that carries the run's label; answers what could not be removed.
pub async fn remove_labelled(engine: &ContainerEngine, run_context: &RunContext) -> Vec<String> {
    let removed = attempt(engine, run_context).await;
    let mut left = removed.unwrap_or_else(|error| vec![format!("what the run made on `{}`: {error}", engine.address)]);
    left.extend(delete_file(&passfile(&run_context.run)));
    left
}

/// The file with the database's password, for tools of this machine.
pub fn passfile(run: &str) -> PathBuf {
    crate::store::state().join(format!("{run}.passfile"))
}

fn delete_file(file: &Path) -> Option<String> {
    let error = fs::remove_file(file).err().filter(|error| error.kind() != ErrorKind::NotFound)?;
    Some(format!("file `{}`: {error}", file.display()))
}

async fn attempt(engine: &ContainerEngine, run_context: &RunContext) -> Result<Vec<String>, Error> {
    let mut left = vec![];
    for round in 0..3 {
        let found = found(engine, &run_context.run).await?;
        if found.is_empty() {
            return Ok(vec![]);
        }
        if round > 0 {
            sleep(POLL * 10).await; // the engine may still be at an earlier removal
        }
        join_all(found.containers.iter().map(|container| fetch(engine, container, &run_context.folder))).await;
        let removed = join_all(found.containers.iter().map(|it| remove_container(engine, name(it)))).await;
        left = removed.into_iter().flatten().collect();
        for network in &found.networks {
            let removed = settle(format!("network `{network}`"), &[404], engine.docker.remove_network(network)).await;
            left.extend(removed.err().map(|error| error.to_string()));
        }
        for volume in &found.volumes {
            let options = RemoveVolumeOptionsBuilder::new().force(true).build();
            let call = engine.docker.remove_volume(volume, Some(options));
            left.extend(settle(format!("volume `{volume}`"), &[404], call).await.err().map(|error| error.to_string()));
        }
    }
    let still = found(engine, &run_context.run).await?;
    if still.is_empty() {
        Ok(vec![])
    } else if left.is_empty() {
        Ok(still.names())
    } else {
        Ok(left)
    }
}

struct FoundOnEngine {
    containers: Vec<ContainerSummary>,
    networks: Vec<String>,
    volumes: Vec<String>,
}

impl FoundOnEngine {
    fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }

    fn names(&self) -> Vec<String> {
        let containers = self.containers.iter().map(|it| format!("container `{}`", name(it)));
        let networks = self.networks.iter().map(|name| format!("network `{name}`"));
        containers.chain(networks).chain(self.volumes.iter().map(|name| format!("volume `{name}`"))).collect()
    }
}

async fn found(engine: &ContainerEngine, run: &str) -> Result<FoundOnEngine, Error> {
    let (what, filters) = (format!("cannot list what the run `{run}` made"), of_run(run));
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = ask(&what, engine.docker.list_containers(Some(options))).await?;
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let networks = ask(&what, engine.docker.list_networks(Some(options))).await?;
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let volumes = ask(&what, engine.docker.list_volumes(Some(options))).await?.volumes.unwrap_or_default();
    Ok(FoundOnEngine {
        containers,
        networks: networks.into_iter().filter_map(|network| network.name).collect(),
        volumes: volumes.into_iter().map(|volume| volume.name).collect(),
    })
}

fn name(container: &ContainerSummary) -> &str {
    let name = container.names.as_ref().and_then(|names| names.first()).or(container.id.as_ref());
    name.map_or("", |name| name.trim_start_matches('/'))
}

async fn remove_container(engine: &ContainerEngine, name: &str) -> Option<String> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    // 409: it is being removed already, which the next look tells
    let call = engine.docker.remove_container(name, Some(options));
    settle(format!("container `{name}`"), &[404, 409], call).await.err().map(|error| error.to_string())
}

/// Writes a container's log to the run's folder. What cannot be had is not worth leaving anything behind.
async fn fetch(engine: &ContainerEngine, container: &ContainerSummary, folder: &Path) {
    let component = container.labels.as_ref().and_then(|labels| labels.get(COMPONENT));
    let Some(component) = component.filter(|component| !component.contains('/')) else { return };
    let logs = folder.join("logs");
    let file = crate::client::log::open(&logs.join(format!("{component}.log"))).and_then(|file| {
        file.set_len(0)?;
        Ok(file)
    });
    let Ok(mut file) = file else { return };
    write(engine, name(container), &mut file).await;
}
