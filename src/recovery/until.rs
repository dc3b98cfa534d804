//! Waiting for the world: asked again and again, with a deadline and the reason why it is not so yet.
//!
//! Apart because a step that its plan's deadline cuts off can no longer say what it waited for.

use crate::clock::Deadline;
use crate::model::Span;
use std::future::Future;
use std::time::Duration;
use tokio::time::{sleep, timeout_at};

const LOOK: Duration = Duration::from_millis(100);

/// Asks until the answer is no reason to go on waiting; the last reason, when the time is over.
pub async fn until<T, F: Future<Output = Result<T, String>>>(within: Span, ask: impl Fn() -> F) -> Result<T, String> {
    let end = Deadline::within(within.0);
    let mut reason = "it did not say how it is".to_owned();
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(why) => reason = why,
            }
            sleep(LOOK).await;
        }
    };
    let answer = timeout_at(end.instant(), asking).await;
    answer.map_err(|_| format!("not within {within}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn the_last_reason_is_told_when_the_time_is_over() {
        let asked = AtomicU32::new(0);
        let ask = || async { Err::<(), _>(format!("asked {}", asked.fetch_add(1, Ordering::Relaxed) + 1)) };
        assert_eq!(until(Span::milliseconds(250), ask).await, Err("not within 250ms: asked 3".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_waiting_and_one_that_hangs_does_not_hold_it() {
        assert_eq!(until(Span::seconds(1), || async { Ok(7) }).await, Ok(7));
        let hangs = until::<(), _>(Span::seconds(1), std::future::pending).await;
        assert_eq!(hangs, Err("not within 1s: it did not say how it is".into()));
    }
}
