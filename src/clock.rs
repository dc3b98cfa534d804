//! The only reader of clocks: one monotonic clock, with wall time beside it and never subtracted.
//!
//! Apart from the rest so that every number of a report can be traced to one place; a lint (`.clippy.toml`) allows
//! nobody else to read one. It reads tokio's clock, which is the operating system's monotonic clock, except in tests
//! that pause it and get exact times. Not here: waiting and judgement.
#![allow(clippy::disallowed_methods)]

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// A moment on a run's monotonic clock: nanoseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Seconds since the run began.
    #[allow(clippy::cast_precision_loss)] // 2^53 ns are 104 days
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The moment `seconds` after the run began; for tests and for simulated histories.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn at(seconds: f64) -> Self {
        Self((seconds * 1e9).round() as u64)
    }

    /// Seconds from `earlier` to here; negative if `earlier` is later.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap)]
    pub fn since(self, earlier: Self) -> f64 {
        (self.0 as i64).wrapping_sub(earlier.0 as i64) as f64 / 1e9
    }

    /// This moment, `by` later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(by)))
    }
}

/// One run's clock. Cheap to copy; all copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts a run's clock: this is its moment zero.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now, on the monotonic clock.
    pub fn now(&self) -> Moment {
        Moment(nanoseconds(self.origin.elapsed()))
    }

    /// The instant that `tokio::time::sleep_until` takes for `moment`.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.origin + Duration::from_nanos(moment.0)
    }
}

/// When somebody stops waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that is `time` from now.
    pub fn within(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Whether it is over.
    pub fn passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// How much time is left; zero when it is over.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The instant that `tokio::time::sleep_until` and `timeout_at` take for it.
    pub fn instant(self) -> Instant {
        self.0
    }
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has been since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Seconds since the start.
    pub fn seconds(self) -> f64 {
        self.elapsed().as_secs_f64()
    }

    /// Seconds since the start; starts again.
    pub fn lap(&mut self) -> f64 {
        let begun = std::mem::replace(self, Self::start());
        self.0.saturating_duration_since(begun.0).as_secs_f64()
    }
}

/// Wall time, for people and file names; nothing is computed from it.
pub fn wall() -> Timestamp {
    Timestamp::now()
}

/// Milliseconds since 1970, as MLflow wants its start times.
pub fn unix_milliseconds() -> i64 {
    wall().as_millisecond()
}

/// How long the machine has been suspended since it booted: the boot clock ahead of the monotonic one.
/// A jump between two readings means that nobody could have asked anything in between.
#[cfg(target_os = "linux")]
pub fn suspended() -> Duration {
    let monotonic = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(monotonic)
}

/// How long this process has been at work on any core since it began; its children's work is not in it.
pub fn worked() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(id: ClockId) -> Duration {
    let t = clock_gettime(id);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Elsewhere the two clocks cannot be compared; the heartbeat alone tells of a stall.
#[cfg(not(target_os = "linux"))]
pub fn suspended() -> Duration {
    Duration::ZERO
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_gives_exact_times() {
        let clock = Clock::start();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(clock.now(), Moment::at(1.5));
        assert!((Moment::at(1.0).since(clock.now()) + 0.5).abs() < 1e-9, "earlier minus later is negative");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_passes_and_a_lap_starts_again() {
        let (deadline, mut stopwatch) = (Deadline::within(Duration::from_secs(2)), Stopwatch::start());
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!((deadline.passed(), deadline.left()), (false, Duration::from_millis(500)));
        assert!((stopwatch.lap() - 1.5).abs() < 1e-9);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((deadline.passed(), deadline.left()), (true, Duration::ZERO));
        assert!((stopwatch.lap() - 1.0).abs() < 1e-9);
    }
}
