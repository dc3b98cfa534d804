//! The server's clock beside the run's: what one showed while the other was read.
//!
//! Apart because it is the one place where a moment of the run becomes a time of the server's, by which the log is dated.
//! The answer lies between question and answer on the run's clock; the error is that long. Of a few readings the one with
//! the smallest error counts: what was committed within it before the onset is not replayed.

use super::{bounded, connect, micros, timestamp};
use crate::client::{Error, postgres};
use crate::clock::{Clock, Deadline, Moment};
use crate::environment::Sql;
use jiff::Timestamp;
use std::time::Duration;

/// So often is it read.
const READINGS: usize = 5;

/// One reading of the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// When the server had answered.
    pub answered: Moment,
    /// What its clock showed at that moment or before it.
    pub server: Timestamp,
}

impl ClockReading {
    /// Asks the server.
    pub async fn take(sql: &dyn Sql, clock: Clock) -> Result<Self, Error> {
        let client = connect(sql, "postgres").await?;
        let query = format!("SELECT {}", micros("clock_timestamp()"));
        let mut readings = vec![];
        for _ in 0..READINGS {
            let begun = clock.now();
            let asked = postgres::one(&client, &query);
            let row = bounded(Deadline::within(super::ANSWER), "ask the server's clock", asked).await?;
            let answered = clock.now();
            readings.push((answered.0 - begun.0, Self { answered, server: timestamp(row.get(0))? }));
        }
        let best = readings.into_iter().min_by_key(|(error, _)| *error);
        best.map(|(_, reading)| reading).ok_or_else(|| Error::new("the server's clock", "it was not read"))
    }

    /// The earliest time that the server's clock can have shown at this moment.
    pub fn earliest(&self, moment: Moment) -> Result<Timestamp, Error> {
        let (answered, moment) = (Duration::from_nanos(self.answered.0), Duration::from_nanos(moment.0));
        let at = if moment < answered {
            self.server.checked_sub(answered.saturating_sub(moment))
        } else {
            self.server.checked_add(moment.saturating_sub(answered))
        };
        let at = at.map_err(|e| Error::caused_by("a moment on the server's clock", e))?;
        timestamp(at.as_microsecond()) // no finer than the log's own times
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_never_taken_for_a_later_time_of_the_servers() {
        let at = |text: &str| format!("2026-11-28T{text}Z").parse::<Timestamp>().unwrap();
        let reading = ClockReading { answered: Moment::at(10.5), server: at("01:00:00.400") };
        assert_eq!(reading.earliest(Moment::at(12.5)).unwrap(), at("01:00:02.400"));
        assert_eq!(reading.earliest(Moment::at(10.0)).unwrap(), at("00:59:59.900"), "before it was read");
        assert_eq!(reading.earliest(Moment(12_500_000_999)).unwrap(), at("01:00:02.400"), "whole microseconds");
    }
}
