//! The restored copy takes the place of the live data directory: the server is ended, the two are swapped, and it is
//! started. If it does not start, what was there before is in its place again.
//!
//! Apart from the restore because here clients are cut off; before it nothing that they see is touched.

use crate::client::Error;
use crate::clock::Stopwatch;
use crate::environment::Platform;

/// Swaps, and starts the server; answers the seconds that each part took.
pub async fn swap_in(platform: &dyn Platform, component: &str) -> Result<Vec<(String, f64)>, Error> {
    let (components, volumes) = (platform.components()?, platform.volumes()?);
    let before = volumes.volume(component).await?;
    let (mut stopwatch, mut laps) = (Stopwatch::start(), vec![]);
    let mut lap = |name: &str| laps.push((name.to_owned(), stopwatch.lap()));
    let started = async {
        components.stop(component).await?;
        lap("stop");
        volumes.swap(component).await?;
        lap("swap");
        components.start(component).await?;
        lap("start");
        Ok::<_, Error>(())
    };
    if let Err(error) = started.await {
        let back = async {
            components.stop(component).await?;
            volumes.put_back(component).await?;
            if before.running { components.start(component).await } else { Ok(()) }
        };
        return Err(match back.await {
            Ok(()) => error,
            Err(other) => error.hint(format!("what was in its place is not back either: {other}")),
        });
    }
    volumes.settle(component).await?;
    Ok(laps)
}

/// Undoes or ends what an earlier attempt was killed in, so that a new one can begin.
pub async fn clear(platform: &dyn Platform, component: &str) -> Result<(), Error> {
    let (components, volumes) = (platform.components()?, platform.volumes()?);
    let state = volumes.volume(component).await?;
    if state.before {
        components.stop(component).await?;
        return volumes.put_back(component).await;
    }
    // Nothing was there before it, so there is nothing to go back to.
    if state.swapped { volumes.settle(component).await } else { Ok(()) }
}
