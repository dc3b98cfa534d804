//! A component's container and volumes taken away; `start` makes them anew under the same names.
//!
//! Each is told by what identifies it for good: a container by its id, a volume, whose name is used again, by a label
//! that no other has. What does not carry the run's label is not ours and is never touched.

use super::component::ComponentContainer;
use super::labels::{DISK, RUN};
use crate::client::Error;
use crate::client::containers::{ask, settle, status};
use std::collections::HashMap;
use testcontainers::bollard::models::Volume;
use testcontainers::bollard::query_parameters::{RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder};

impl ComponentContainer {
    /// What identifies its container, whether it runs or not.
    pub async fn id(&self) -> Result<Option<String>, Error> {
        Ok(self.engine.inspect(&self.container).await?.and_then(|found| found.id))
    }

    /// Removes this container of it, if it is still there; named volumes stay.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        let Some(found) = self.engine.inspect(id).await? else { return Ok(()) };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        self.ours(&labels, &self.container)?;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        settle(self.cannot("remove"), &[404, 409], self.engine.docker.remove_container(id, Some(options))).await?;
        // 409: it is being removed already
        self.until("remove", |seen| seen.is_none_or(|seen| seen.id != id)).await
    }

    /// What identifies each of its volumes that is there.
    pub async fn disks(&self) -> Result<Vec<String>, Error> {
        let mut disks = vec![];
        for name in self.volumes() {
            disks.extend(self.volume(&name).await?.as_ref().map(identity));
        }
        Ok(disks)
    }

    /// Removes these volumes, and its container, which holds them.
    pub async fn lose(&self, disks: &[String]) -> Result<(), Error> {
        for name in self.volumes() {
            let Some(volume) = self.volume(&name).await? else { continue };
            if !disks.contains(&identity(&volume)) {
                continue; // a new one in its place
            }
            self.ours(&volume.labels, &name)?;
            if let Some(id) = self.id().await? {
                self.remove(&id).await?;
            }
            let options = RemoveVolumeOptionsBuilder::new().force(true).build();
            let call = self.engine.docker.remove_volume(&name, Some(options));
            settle(format!("cannot remove the volume `{name}`"), &[404], call).await?;
        }
        Ok(())
    }

    async fn volume(&self, name: &str) -> Result<Option<Volume>, Error> {
        let look = async {
            match self.engine.docker.inspect_volume(name).await {
                Err(error) if status(&error) == Some(404) => Ok(None),
                answer => answer.map(Some),
            }
        };
        ask(format!("cannot look at the volume `{name}`"), look).await
    }

    fn ours(&self, labels: &HashMap<String, String>, name: &str) -> Result<(), Error> {
        if labels.get(RUN) == Some(&self.run) {
            return Ok(());
        }
        Err(Error::new(self.cannot("remove"), format!("`{name}` lacks the label {RUN} of this run, so it stays")))
    }
}

fn identity(volume: &Volume) -> String {
    let mark = volume.labels.get(DISK).map_or("", String::as_str);
    format!("{}@{mark}", volume.name)
}
