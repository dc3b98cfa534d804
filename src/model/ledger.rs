//! Marks: the numbered writes of a workload, and what became of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a write: a mark is acknowledged when all its parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// In the database.
    Row,
    /// In the object store.
    Object,
}

/// What a write did to its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Made it.
    Create,
    /// Gave an earlier one a new value.
    Overwrite,
    /// Took an earlier one away.
    Delete,
}

/// One numbered write. It is on disk, outside the blast radius, before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its number, from 1, in the order of sending.
    pub number: u64,
    /// What it writes to: several marks share a subject when later ones overwrite or delete it.
    pub subject: String,
    /// What it does to the subject.
    pub operation: Operation,
    /// Its parts.
    pub parts: Vec<Part>,
    /// The value written: what must be read back.
    pub value: String,
    /// Where the subject lies, known once it has been created (a run's id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl Mark {
    /// The name that a report gives it; no two marks share one.
    pub fn name(&self) -> String {
        let verb = match self.operation {
            Operation::Create => "",
            Operation::Overwrite => "overwrite of ",
            Operation::Delete => "delete of ",
        };
        match &self.at {
            Some(at) => format!("{verb}{} ({at}), mark {}", self.subject, self.number),
            None => format!("{verb}{}, mark {}", self.subject, self.number),
        }
    }
}

/// What became of an acknowledged mark, seen from outside after the recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MarkState {
    /// There as written, or rightly replaced or removed by a later mark.
    Survived,
    /// Not there.
    Lost,
    /// A row without its object or an object without its row.
    Half,
    /// There, with another content than any mark wrote.
    Corrupted,
    /// A delete that was undone: the mark is lost, and what it deleted is back.
    Resurrected,
    /// It could not be read back.
    Unread,
}
