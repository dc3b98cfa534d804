//! The one error of the harness: what was tried, why it did not work, and what to do about it.
//!
//! Apart because every room returns it. Whoever acts on an error asks for its kind; its texts are for people only, so
//! what others say comes into them without secrets and control characters.

use crate::outside::clean;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

/// The sort of an error, for code that acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorKind {
    /// The other side answered that there is no such thing.
    NotFound,
    /// Nothing listens at the address.
    ConnectionRefused,
    /// The other side ended the connection while it was in use.
    ConnectionReset,
    /// The connection ended before the answer.
    ConnectionClosed,
    /// There was no answer in time.
    TimedOut,
    /// No way leads to the address.
    HostUnreachable,
    /// The name has no address.
    NameNotResolved,
    /// The reader of a pipe went away.
    BrokenPipe,
    /// The system does not let us.
    PermissionDenied,
    /// Another program uses the port.
    AddressInUse,
    /// A server that has just ended still holds its lock file.
    Locked,
    /// Any other.
    #[default]
    Other,
}

/// Something in the world did not work. It is a result of the drill only when somebody judges it.
#[derive(Debug, Clone)]
pub struct Error {
    /// What was tried, with the names in backticks.
    pub what: String,
    /// Why it did not work.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Its sort.
    pub kind: ErrorKind,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `what` did not work because of `why`.
    pub fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        let (what, why) = (clean(&what.into()), clean(&why.to_string()));
        Self { what, why, hint: None, kind: ErrorKind::Other, source: None }
    }

    /// `what` did not work because of another error, which is kept; its kind is found in the chain of causes.
    pub fn caused_by(what: impl Into<String>, source: impl StdError + Send + Sync + 'static) -> Self {
        let (why, kind) = (clean(&chain(&source)), kind_of(&source));
        Self { what: clean(&what.into()), why, hint: None, kind, source: Some(Arc::new(source)) }
    }

    /// The same, of another kind.
    #[must_use]
    pub fn kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The whole chain of an error's causes in one line.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The sort of an error, as the innermost cause that has one tells.
fn kind_of(error: &(dyn StdError + 'static)) -> ErrorKind {
    causes(error).filter_map(known).last().unwrap_or_default()
}

fn known(cause: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return Some(error.kind).filter(|kind| *kind != ErrorKind::Other);
    }
    if let Some(error) = cause.downcast_ref::<reqwest::Error>() {
        return error.is_timeout().then_some(ErrorKind::TimedOut);
    }
    // The HTTP client's crates keep the types of these two to themselves.
    match cause.to_string().as_str() {
        "dns error" => return Some(ErrorKind::NameNotResolved),
        "connection closed before message completed" => return Some(ErrorKind::ConnectionClosed),
        _ => {}
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(ErrorKind::ConnectionRefused),
        io::ErrorKind::ConnectionReset => Some(ErrorKind::ConnectionReset),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => Some(ErrorKind::ConnectionClosed),
        io::ErrorKind::TimedOut => Some(ErrorKind::TimedOut),
        io::ErrorKind::HostUnreachable => Some(ErrorKind::HostUnreachable),
        io::ErrorKind::BrokenPipe => Some(ErrorKind::BrokenPipe),
        io::ErrorKind::PermissionDenied => Some(ErrorKind::PermissionDenied),
        io::ErrorKind::AddrInUse => Some(ErrorKind::AddressInUse),
        _ => None,
    }
}

/// The error and its causes, the outermost first.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_and_the_source_are_those_of_the_cause() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let inner = Error::caused_by("connect", refused);
        let outer = Error::caused_by("list buckets", inner);
        assert_eq!(outer.kind, ErrorKind::ConnectionRefused);
        assert!(outer.source().is_some_and(<dyn StdError>::is::<Error>));
        assert_eq!(outer.to_string(), "list buckets: connect: connection refused");
    }
}
