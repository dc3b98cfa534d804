//! What a container may take of the processors, and how often it wanted more.

use crate::client::Error;
use crate::client::containers::{ContainerEngine, ask};
use crate::environment::CpuUse;
use futures::TryStreamExt;
use testcontainers::bollard::models::{ContainerUpdateBody, HostConfig};
use testcontainers::bollard::query_parameters::StatsOptionsBuilder;

/// The length of a period, in microseconds: the kernel's own default.
const PERIOD: i64 = 100_000;
/// No limit. Zero would leave the limit as it was.
const UNLIMITED: i64 = -1;

/// What a container may take, and how often it was held back.
pub async fn cpu(engine: &ContainerEngine, container: &str) -> Result<CpuUse, Error> {
    let what = format!("cannot see the processors of `{container}`");
    let found = engine.inspect(container).await?.ok_or_else(|| Error::new(&what, "its container is gone"))?;
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let mut stats = std::pin::pin!(engine.docker.stats(container, Some(options)));
    let stats = ask(&what, stats.try_next()).await?;
    let throttling = stats.and_then(|stats| stats.cpu_stats?.throttling_data).unwrap_or_default();
    let throttled = throttling.throttled_periods.unwrap_or(0);
    Ok(CpuUse { limit: found.host_config.as_ref().and_then(limit), throttled })
}

/// Sets or takes away what a container may take.
pub async fn throttle(engine: &ContainerEngine, container: &str, limit: Option<u64>) -> Result<(), Error> {
    let what = format!("cannot limit the processors of `{container}`");
    let quota = limit.map(|limit| i64::try_from(limit).map(|limit| limit.saturating_mul(PERIOD / 1000))).transpose();
    let quota = quota.map_err(|e| Error::caused_by(&what, e))?.unwrap_or(UNLIMITED);
    // The engine's other way to say it, one number of processors, cannot be taken back, and the two do not mix.
    let update =
        ContainerUpdateBody { cpu_period: Some(PERIOD), cpu_quota: Some(quota), ..ContainerUpdateBody::default() };
    ask(what, engine.docker.update_container(container, update)).await
}

/// Thousandths of a processor, as the engine keeps them in either of its two ways.
fn limit(config: &HostConfig) -> Option<u64> {
    let positive = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).filter(|n| *n > 0);
    let period = positive(config.cpu_period).or(positive(Some(PERIOD)))?;
    let quota = positive(config.cpu_quota).map(|quota| quota.saturating_mul(1000) / period);
    quota.or(positive(config.nano_cpus).map(|nano| nano / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_however_the_engine_keeps_it() {
        let of = |quota, period, nano| {
            limit(&HostConfig { cpu_quota: quota, cpu_period: period, nano_cpus: nano, ..HostConfig::default() })
        };
        assert_eq!(of(Some(10_000), Some(100_000), Some(0)), Some(100));
        assert_eq!(of(Some(10_000), Some(0), None), Some(100), "the kernel's period where none is said");
        assert_eq!(of(Some(0), Some(0), Some(1_500_000_000)), Some(1500));
        assert_eq!(of(Some(UNLIMITED), Some(100_000), Some(0)), None);
        assert_eq!(of(None, None, None), None);
    }
}
