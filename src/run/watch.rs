//! The watch: every probe on its own fixed ticks of the monotonic clock, and the heartbeat of the harness.
//!
//! A slow answer never delays the next tick, because each question is a task of its own. What could not be asked
//! in time is *unasked*, which widens a band and is never outage.

use super::scribe::Scribe;
use crate::clock::{self, Moment};
use crate::model::{Answer, Answered, Fact, Watch};
use crate::probe::Question;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

const BEAT: Duration = Duration::from_millis(100);
/// A heartbeat later than this is a stall: more than the scheduler's usual unpunctuality.
const STALL: Duration = Duration::from_millis(250);

/// The answers so far, for the run's own decisions; judgement reads the timeline.
#[derive(Debug, Default)]
pub struct Board {
    answers: Mutex<Vec<Vec<Answered>>>,
}

impl Board {
    /// Are there, at the end of each probe's answers, at least `streak` good ones in a row over `stable`, all asked
    /// at `from` or later?
    pub fn steady(&self, from: Moment, streak: usize, stable: Duration) -> bool {
        self.count(|answers| {
            let good = answers.iter().rev().take_while(|a| a.answer == Answer::Served && a.asked >= from).count();
            good >= streak && answers[answers.len() - good].asked.plus(stable) <= answers[answers.len() - 1].ended
        })
    }

    /// Has any probe failed `streak` times in a row, asked at `from` or later?
    pub fn down(&self, from: Moment, streak: usize) -> bool {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().any(|answers| {
            answers.iter().rev().take_while(|a| matches!(a.answer, Answer::Failed(_)) && a.ended >= from).count()
                >= streak
        })
    }

    /// The answers of each probe that were asked at `from` or later.
    pub fn since(&self, from: Moment) -> Vec<Vec<Answered>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().map(|answers| answers.iter().filter(|a| a.asked >= from).cloned().collect()).collect()
    }

    fn count(&self, each: impl Fn(&[Answered]) -> bool) -> bool {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        !answers.is_empty() && answers.iter().all(|answers| each(answers))
    }

    fn add(&self, answered: Answered) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let of = &mut answers[answered.probe];
        let at = of.partition_point(|a| a.asked <= answered.asked);
        of.insert(at, answered);
    }
}

/// Probes at work; dropping it ends them.
pub struct Watching {
    /// Their answers so far.
    pub board: Arc<Board>,
    _tasks: JoinSet<()>,
}

/// How often our own way to the doors has failed so far.
pub type Stumbles = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Sets the probes going: each with its question and its times.
pub fn begin(scribe: &Scribe, questions: Vec<(Watch, Arc<dyn Question>)>, stumbles: &Stumbles) -> Watching {
    let board = Arc::new(Board { answers: Mutex::new(vec![vec![]; questions.len()]) });
    let mut tasks = JoinSet::new();
    for (probe, (watch, question)) in questions.into_iter().enumerate() {
        tasks.spawn(ticks(probe, watch, question, Arc::clone(stumbles), scribe.clone(), Arc::clone(&board)));
    }
    tasks.spawn(heartbeat(scribe.clone()));
    Watching { board, _tasks: tasks }
}

async fn ticks(
    probe: usize,
    watch: Watch,
    question: Arc<dyn Question>,
    stumbles: Stumbles,
    scribe: Scribe,
    board: Arc<Board>,
) {
    let clock = scribe.clock();
    let mut due = clock.now().plus(watch.every.0);
    let mut asking = JoinSet::new();
    loop {
        tokio::time::sleep_until(clock.instant(due)).await;
        while asking.try_join_next().is_some() {}
        let asked = clock.now();
        if asked > due.plus(watch.every.0) {
            let answered = Answered { probe, due, asked, ended: asked, answer: Answer::Unasked };
            board.add(answered.clone());
            scribe.tell(Fact::Answered(answered));
        } else {
            let (question, stumbles) = (Arc::clone(&question), Arc::clone(&stumbles));
            let (scribe, board) = (scribe.clone(), Arc::clone(&board));
            asking.spawn(async move {
                let (asked, stumbled) = (scribe.clock().now(), stumbles());
                let answer = match tokio::time::timeout(watch.timeout.0, question.ask()).await {
                    Ok(Ok(())) => Answer::Served,
                    _ if stumbles() != stumbled => Answer::Unasked, // it was our own way that failed
                    Ok(Err(reason)) => Answer::Failed(reason),
                    Err(_) => Answer::Failed(format!("no answer within {}", watch.timeout)),
                };
                let answered = Answered { probe, due, asked, ended: scribe.clock().now(), answer };
                board.add(answered.clone());
                scribe.tell(Fact::Answered(answered));
            });
        }
        due = due.plus(watch.every.0);
    }
}

async fn heartbeat(scribe: Scribe) {
    let clock = scribe.clock();
    let (mut last, mut slept) = (clock.now(), clock::suspended());
    loop {
        tokio::time::sleep(BEAT).await;
        let (now, sleeping) = (clock.now(), clock::suspended());
        if now > last.plus(STALL) || sleeping > slept + STALL {
            scribe.tell(Fact::Stalled { from: last, to: now });
        }
        (last, slept) = (now, sleeping);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::{Depth, Line, Span};
    use crate::run::Watcher;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Nobody;

    impl Watcher for Nobody {
        fn line(&self, _: &Line) {}
        fn progress(&self, _: &str) {}
    }

    /// Fails always; the first two times because our own way to it failed.
    struct Behind(Arc<AtomicU64>, AtomicU64);

    #[async_trait::async_trait]
    impl Question for Behind {
        async fn ask(&self) -> Result<(), String> {
            if self.1.fetch_add(1, Ordering::SeqCst) < 2 {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
            Err("refused".to_owned())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_on_our_own_way_was_never_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (scribe, _) = Scribe::begin(folder.path(), Clock::start(), Arc::new(Nobody)).unwrap();
        let one = Watch { depth: Depth::Read, every: Span::seconds(1), timeout: Span::seconds(1) };
        let stumbled = Arc::<AtomicU64>::default();
        let question = Arc::new(Behind(Arc::clone(&stumbled), AtomicU64::new(0)));
        let watching = begin(&scribe, vec![(one, question)], &(Arc::new(move || stumbled.load(Ordering::SeqCst)) as _));
        tokio::time::sleep(Duration::from_millis(4500)).await;
        let answers: Vec<_> = watching.board.since(Moment::default())[0].iter().map(|a| a.answer.clone()).collect();
        let failed = Answer::Failed("refused".to_owned());
        assert_eq!(answers, [Answer::Unasked, Answer::Unasked, failed.clone(), failed]);
    }
}
