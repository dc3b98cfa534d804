//! How Lifeboat talks to the world: MLflow, PostgreSQL, S3, processes. No judgement here.

pub mod canary;
pub mod mlflow;
pub mod postgres;
pub mod process;
mod running;
pub mod s3;
pub mod shell;
pub mod versions;

pub use running::{Ended, Running};

use std::fmt;

/// Something in the world did not work: what, and why. Not an error of the drill until somebody judges it.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Trouble {
    /// What was tried, with the thing's name in backticks.
    pub what: String,
    /// Why it did not work.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Trouble {
    /// `what` did not work because of `why`.
    pub fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string(), hint: None }
    }

    /// The same, with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// The whole chain of an error's causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
