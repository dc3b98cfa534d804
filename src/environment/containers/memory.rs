//! What a container takes of memory, what it may take, and whether the kernel has killed in it for want of it.

use crate::client::Error;
use crate::client::containers::{ContainerEngine, ask};
use crate::clock;
use crate::environment::MemoryUse;
use futures::TryStreamExt;
use std::collections::HashMap;
use testcontainers::bollard::models::{ContainerMemoryStats, ContainerUpdateBody};
use testcontainers::bollard::query_parameters::{EventsOptionsBuilder, StatsOptionsBuilder};

/// No limit, as the kernel writes it for control groups of the first version. Docker 20.10 has no word of its own for
/// that in a change: zero leaves the limit as it was, and anything below zero is refused as too little.
const UNLIMITED: i64 = i64::MAX - 4095;

/// What a container takes and may take.
pub async fn memory(engine: &ContainerEngine, container: &str) -> Result<MemoryUse, Error> {
    let what = format!("cannot see the memory of `{container}`");
    let state = engine.inspect(container).await?.ok_or_else(|| Error::new(&what, "its container is gone"))?;
    let limit = state.host_config.and_then(|config| config.memory).filter(|bytes| (1..UNLIMITED).contains(bytes));
    let ended_by_it = state.state.and_then(|state| state.oom_killed).unwrap_or(false);
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let mut stats = std::pin::pin!(engine.docker.stats(container, Some(options)));
    let stats = ask(&what, stats.try_next()).await?;
    let used = stats.and_then(|stats| stats.memory_stats).map_or(0, used);
    let killed = ended_by_it || killed(engine, container, &what).await?;
    Ok(MemoryUse { used, limit: limit.and_then(|bytes| u64::try_from(bytes).ok()), killed })
}

/// Sets or takes away what a container may take.
pub async fn limit(engine: &ContainerEngine, container: &str, bytes: Option<u64>) -> Result<(), Error> {
    let what = format!("cannot limit the memory of `{container}`");
    let bytes = bytes.map(i64::try_from).transpose().map_err(|e| Error::caused_by(&what, e))?.unwrap_or(UNLIMITED);
    // Both at once and the same: no swap. One alone is refused as soon as it crosses what the other was before.
    let update =
        ContainerUpdateBody { memory: Some(bytes), memory_swap: Some(bytes), ..ContainerUpdateBody::default() };
    ask(what, engine.docker.update_container(container, update)).await
}

/// What it takes without the cache of files, which the kernel gives up when memory is short.
fn used(stats: ContainerMemoryStats) -> u64 {
    let parts = stats.stats.unwrap_or_default();
    let cache = ["total_inactive_file", "inactive_file"].iter().find_map(|name| parts.get(*name)).copied();
    stats.usage.unwrap_or(0).saturating_sub(cache.unwrap_or(0))
}

/// Has the kernel killed in this container, as far as the engine remembers? A container's own state tells only of its
/// last end, and nothing of a child that was killed while its parent lived on.
async fn killed(engine: &ContainerEngine, container: &str, what: &str) -> Result<bool, Error> {
    let wanted = [("container", container), ("event", "oom")];
    let filters: HashMap<String, Vec<String>> =
        wanted.into_iter().map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).collect();
    // Up to now, or the engine would wait for more.
    let now = clock::wall();
    let now = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
    let options = EventsOptionsBuilder::new().since("0").until(&now).filters(&filters).build();
    let events = ask(what, engine.docker.events(Some(options)).try_collect::<Vec<_>>()).await?;
    Ok(!events.is_empty())
}
