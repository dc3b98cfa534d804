//! Re-points the database of a protection, after its artifacts were moved to the bucket that the file names by now.

use super::{WorkPlace, platform};
use crate::client::Error;
use crate::model::Finding;
use crate::recovery::re_point::{RePointing, carry_out};
use crate::spec::Protection;

/// Re-points the live database.
///
/// # Errors
/// When it could not be done; the database is then as it was.
pub async fn re_point(protection: &Protection, act: &RePointing) -> Result<Finding, Error> {
    carry_out(&platform(&WorkPlace::live(protection))?, act).await
}
