//! The sealed configuration in a point, beside what an engine backs up.
//!
//! Apart from the engines because none of them can read it: it goes into a point as it is. Not here: how it is sealed and
//! opened.

use crate::repository::{NewFile, StoredPoint};

/// The name of the sealed configuration in a point. It comes before all that engines put there.
pub const CONFIGURATION: &str = "configuration/sealed.age";
/// The tag of points that have one, so that a list of points tells.
const TAG: &str = "configuration";

/// A configuration that only its recipients can read.
#[derive(Debug, Clone)]
pub struct SealedConfiguration(pub Vec<u8>);

impl SealedConfiguration {
    /// The file of a point, if there is one.
    pub fn file(sealed: Option<&Self>) -> Option<NewFile> {
        sealed.map(|Self(bytes)| NewFile::bytes(CONFIGURATION, bytes.clone()))
    }

    /// The tags of a point of this name.
    pub fn tags(sealed: Option<&Self>, name: &str) -> Vec<String> {
        std::iter::once(name).chain(sealed.map(|_| TAG)).map(ToOwned::to_owned).collect()
    }

    /// Has a stored point one?
    pub fn is_in(point: &StoredPoint) -> bool {
        point.tags.iter().skip(1).any(|tag| tag == TAG)
    }
}
