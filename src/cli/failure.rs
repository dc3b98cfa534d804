//! Why a command came to nothing, and the one place that prints it and chooses the exit code.

use super::exit;
use super::talk_writer::say;
use crate::client::Error;
use crate::outside::plain;
use crate::spec::Wrong;

/// Why a command came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Files that cannot be used as they are.
    Wrong(Wrong),
    /// What was asked for cannot be done; and what to do about it.
    Usage(String, Option<String>),
    /// The harness failed.
    Error(Error),
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Says once what went wrong, and answers the exit code for it.
pub(super) fn complain(failure: &Failure) -> u8 {
    let (code, text, hint) = match failure {
        Failure::Wrong(wrong) => {
            say(&plain(&wrong.to_string()));
            return exit::USAGE;
        }
        Failure::Usage(text, hint) => (exit::USAGE, text.clone(), hint.as_ref()),
        Failure::Error(error) => (exit::FAILED, format!("{}: {}", error.what, error.why), error.hint.as_ref()),
    };
    say(&format!("error: {}", plain(&text)));
    if let Some(hint) = hint {
        say(&format!("hint: {hint}"));
    }
    code
}
