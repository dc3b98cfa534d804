//! How long a repository waits: for its place, for other writers, and before it takes a writer for dead.

use std::time::Duration;

/// How long is waited for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long one request to the place is tried again.
    pub request: Duration,
    /// How often the one who writes shows that it lives.
    pub beat: Duration,
    /// For how long it shows nothing before it is taken for dead. Both sides measure it, each by its own clock.
    pub dead: Duration,
    /// How long is waited for one that lives.
    pub turn: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_mins(2),
            beat: Duration::from_secs(10),
            dead: Duration::from_mins(1),
            turn: Duration::from_mins(2),
        }
    }
}
