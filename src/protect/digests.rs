//! The digests of a point: what every table holds, read in the snapshot of its backup, so that whoever restores it can
//! compare.
//!
//! Apart from the engine because it must not grade itself: the check `contents` reads and compares.

use crate::check::contents;
use crate::engine::{Readings, SnapshotReader};
use crate::environment::Platform;
use crate::model::Planted;
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;

/// The names of the digests, and of why there are none, among what was read in a snapshot.
const DIGESTS: &str = "digests";
const NO_DIGESTS: &str = "no digests";

/// Reads the digests.
pub(super) struct DigestReader(pub Arc<dyn Platform>);

#[async_trait]
impl SnapshotReader for DigestReader {
    async fn read(&self, snapshot: &str) -> Readings {
        let (name, read) = match contents::read_digests(&*self.0, snapshot).await {
            Ok(digests) => (DIGESTS, digests),
            Err(error) => (NO_DIGESTS, Planted(json!(error.to_string()))),
        };
        Readings::from([(name.to_owned(), read)])
    }
}

/// The digests of a point, or why it has none.
pub(super) fn of_point(readings: &mut Readings) -> Result<Planted, String> {
    let none = || match readings.get(NO_DIGESTS) {
        Some(Planted(why)) => why.as_str().unwrap_or_default().to_owned(),
        None => "the point has no digests of its rows, so they were only counted".to_owned(),
    };
    let why = none();
    readings.remove(DIGESTS).ok_or(why)
}
