//! Waits for something outside: asks again and again until the answer is yes or the time is over.
//!
//! Apart because every loop that waits needs the same three things: an end, a pause, and the reason why it is not so
//! yet. Kube's `await_condition` is not used: it knows no reason, needs the right to watch, and ends at the first error
//! of the API, which a disaster is sure to bring.

use crate::model::Span;
use std::fmt;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The time is over, and what was waited for is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue<R> {
    /// How long it was waited for.
    pub within: Duration,
    /// The last reason why it was not there yet; none if the first question was never answered.
    pub reason: Option<R>,
}

impl<R: fmt::Display> fmt::Display for Overdue<R> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "not within {}: ", Span(self.within))?;
        match &self.reason {
            Some(reason) => reason.fmt(f),
            None => f.write_str("no answer"),
        }
    }
}

/// Asks, with a pause of `every` after each answer, until the answer is `Ok`; an `Err` is the reason to go on waiting.
/// A question that is not answered when `within` is over is dropped. What must end the waiting early is an `Ok` too:
/// let `T` be a `Result`.
pub async fn until<T, R, F>(within: Duration, every: Duration, mut ask: impl FnMut() -> F) -> Result<T, Overdue<R>>
where
    F: Future<Output = Result<T, R>>,
{
    let mut reason = None;
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(why) => reason = Some(why),
            }
            sleep(every).await;
        }
    };
    let answer = timeout(within, asking).await.ok();
    answer.ok_or(Overdue { within, reason })
}

/// As [`until`], for a look that answers what is still in the way: `None` ends the waiting, and so does an error.
pub async fn until_none<R, E, F>(
    within: Duration,
    every: Duration,
    mut look: impl FnMut() -> F,
) -> Result<Result<(), Overdue<R>>, E>
where
    F: Future<Output = Result<Option<R>, E>>,
{
    let looked = until(within, every, || {
        let look = look();
        async {
            match look.await {
                Ok(None) => Ok(Ok(())),
                Ok(Some(reason)) => Err(reason),
                Err(error) => Ok(Err(error)),
            }
        }
    });
    match looked.await {
        Ok(ended) => ended.map(Ok),
        Err(late) => Ok(Err(late)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TENTH: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn the_last_reason_is_told_when_the_time_is_over() {
        let mut asked = 0;
        let ask = || {
            asked += 1;
            std::future::ready(Err::<(), _>(format!("asked {asked}")))
        };
        let late = until(Duration::from_millis(250), TENTH, ask).await;
        assert_eq!(late.map_err(|late| late.to_string()), Err("not within 250ms: asked 3".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_waiting_and_one_that_hangs_does_not_hold_it() {
        assert_eq!(until(SECOND, TENTH, || async { Ok::<_, String>(7) }).await, Ok(7));
        let hangs = until::<(), String, _>(SECOND, TENTH, std::future::pending).await;
        assert_eq!(hangs.map_err(|late| late.to_string()), Err("not within 1s: no answer".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_in_the_way_and_an_error_end_the_waiting() {
        assert_eq!(until_none(SECOND, TENTH, || async { Ok::<Option<u8>, String>(None) }).await, Ok(Ok(())));
        assert_eq!(until_none(SECOND, TENTH, || async { Err::<Option<u8>, _>("broken") }).await, Err("broken"));
        let late = until_none(SECOND, TENTH, || async { Ok::<_, String>(Some(7)) }).await;
        assert_eq!(late, Ok(Err(Overdue { within: SECOND, reason: Some(7) })));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_at_least_once() {
        assert_eq!(until(Duration::ZERO, TENTH, || async { Ok::<_, String>(7) }).await, Ok(7));
    }
}
