//! Marks: the numbered writes of a workload, and their states after the recovery.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a write: a mark is acknowledged when all its parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// In the database.
    Row,
    /// In the database too, written after the row by a request of its own: a run's params and metrics.
    Data,
    /// In the object store.
    Object,
}

/// What a write does to its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Creates it.
    Create,
    /// Gives an earlier one a new value.
    Overwrite,
    /// Deletes an earlier one.
    Delete,
}

/// One numbered write. It is on disk, outside the blast radius, before it is sent to the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its number, from 1, in the order of sending.
    pub number: u64,
    /// What it writes to. Several marks have the same subject if later ones overwrite or delete it.
    pub subject: String,
    /// What it does to the subject.
    pub operation: Operation,
    /// Its parts.
    pub parts: Vec<Part>,
    /// The value that is written, and must be read back.
    pub value: String,
    /// The id of the subject (of a run in MLflow), known once it has been created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl Mark {
    /// Its name in reports; no two marks have the same.
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

/// The state of an acknowledged mark when it is read back after the recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MarkState {
    /// It is there as written, or a later mark replaced or deleted it.
    Survived,
    /// It is not there.
    Lost,
    /// The row is there without its object, or the object without its row.
    Half,
    /// It is there with a content that no mark wrote.
    Corrupted,
    /// A delete is undone: this mark is lost, and what it deleted is there again.
    Resurrected,
    /// It could not be read back.
    Unread,
}
