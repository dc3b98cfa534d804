//! What a guard is told: what is about to be done, and which identity an act ends.
//!
//! Apart because the run asks and only a standing platform answers with more than yes.

use serde::{Deserialize, Serialize};

/// What is about to be done to a platform. Harm needs its owner's token, repair the identity alone: withdrawing the token
/// stops the harm and not the healing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Something is written for the drill, and nothing was struck yet: every part must speak.
    Plant,
    /// A fault is injected. What an earlier fault of the run silenced need not speak.
    Strike,
    /// What was struck is repaired or undone.
    Mend,
}

/// What has an identity that an act of the run can end: another takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// The platform's database, by its oid: it is dropped, or restored.
    Database,
    /// The database server with all its databases: its disk is taken.
    Server,
    /// The platform's namespace with all that is in it.
    Namespace,
}
