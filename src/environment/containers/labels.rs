//! The labels and receipts by which all that was made for a run is found again.
//!
//! Apart because what carries no label of the run belongs to somebody else and is never touched.

use crate::client::containers::ContainerEngine;
use crate::client::process::ProcessIdentity;
use crate::model::Receipt;
use serde_json::json;
use std::collections::HashMap;

/// The label with the run's name.
pub const RUN: &str = "dev.lifeboat.run";
/// The label with the component's name.
pub const COMPONENT: &str = "dev.lifeboat.component";
/// The label of a volume that tells it from those that had its name before and will have it after. The time of its
/// making does not: Docker 20.10 tells another one as soon as the volume is mounted anew.
pub const DISK: &str = "dev.lifeboat.disk";
/// The label with the id of the process that made it.
const OWNER: &str = "dev.lifeboat.owner";
/// The label with the start of that process, in seconds since 1970: ids are used again.
const OWNER_START: &str = "dev.lifeboat.owner-start";

/// The labels of all that is made for a run.
pub fn labels(run: &str) -> HashMap<String, String> {
    let own = std::process::id();
    let start = ProcessIdentity::of(own).map_or(0, |identity| identity.start);
    [(RUN, run.to_owned()), (OWNER, own.to_string()), (OWNER_START, start.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// A filter for lists: only what belongs to the run.
pub fn of_run(run: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{RUN}={run}")])])
}

/// A receipt for a thing on an engine.
pub fn receipt(engine: &ContainerEngine, kind: &str, name: &str) -> Receipt {
    Receipt(json!({ kind: name, "engine": engine.address }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn everything_says_whose_it_is() {
        let labels = labels("some-run");
        assert_eq!(labels[RUN], "some-run");
        let identity =
            ProcessIdentity { pid: labels[OWNER].parse().unwrap(), start: labels[OWNER_START].parse().unwrap() };
        assert!(identity.lives(), "{labels:?}");
    }
}
