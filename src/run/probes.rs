//! The probes at work: each asks at fixed ticks of the monotonic clock. Also the heartbeat of the harness.
//!
//! A slow answer never delays the next tick, because each question is a task of its own. A question that could not be
//! asked in time is *unasked*. That widens the band and never counts as outage.

use super::recorder::Recorder;
use crate::clock::{self, Moment};
use crate::model::{Answer, Answered, Fact, Watch};
use crate::probe::Question;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// From one heartbeat to the next.
const BEAT: Duration = Duration::from_millis(100);
/// A heartbeat that comes later than this is a stall; the scheduler's usual delays are shorter.
const STALL: Duration = Duration::from_millis(250);

/// The answers so far, for decisions during the run. The report is measured from the timeline.
#[derive(Debug, Default)]
pub struct ProbeState {
    answers: Mutex<Vec<Vec<Answered>>>,
}

impl ProbeState {
    /// Is every probe served, and has it been for some time? Each must end with at least `streak` good answers in a row
    /// that span `stable` and were all asked at `from` or later.
    pub fn steady(&self, from: Moment, streak: usize, stable: Duration) -> bool {
        self.count(|answers| {
            let good = answers.iter().rev().take_while(|a| a.answer == Answer::Served && a.asked >= from).count();
            good >= streak && answers[answers.len() - good].asked.plus(stable) <= answers[answers.len() - 1].ended
        })
    }

    /// Have the last `streak` answers of any probe failed, all of them ended at `from` or later?
    pub fn down(&self, from: Moment, streak: usize) -> bool {
        let answers = self.answers.lock();
        answers.iter().any(|answers| {
            answers.iter().rev().take_while(|a| matches!(a.answer, Answer::Failed(_)) && a.ended >= from).count()
                >= streak
        })
    }

    /// The answers of each probe that were asked at `from` or later.
    pub fn since(&self, from: Moment) -> Vec<Vec<Answered>> {
        let answers = self.answers.lock();
        answers.iter().map(|answers| answers.iter().filter(|a| a.asked >= from).cloned().collect()).collect()
    }

    fn count(&self, each: impl Fn(&[Answered]) -> bool) -> bool {
        let answers = self.answers.lock();
        !answers.is_empty() && answers.iter().all(|answers| each(answers))
    }

    fn add(&self, answered: Answered) {
        let mut answers = self.answers.lock();
        let of = &mut answers[answered.probe];
        let at = of.partition_point(|a| a.asked <= answered.asked);
        of.insert(at, answered);
    }
}

/// Probes that are asking; dropping this ends them.
pub struct ActiveProbes {
    /// Their answers so far.
    pub state: Arc<ProbeState>,
    _tasks: JoinSet<()>,
}

/// Counts how often Lifeboat's own connection to the endpoints has failed so far.
pub type TunnelFailures = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Starts the probes, each with its question and its times.
pub fn begin(
    recorder: &Recorder,
    questions: Vec<(Watch, Arc<dyn Question>)>,
    tunnel_failures: &TunnelFailures,
) -> ActiveProbes {
    let state = Arc::new(ProbeState { answers: Mutex::new(vec![vec![]; questions.len()]) });
    let mut tasks = JoinSet::new();
    for (probe, (watch, question)) in questions.into_iter().enumerate() {
        tasks.spawn(ticks(probe, watch, question, Arc::clone(tunnel_failures), recorder.clone(), Arc::clone(&state)));
    }
    tasks.spawn(heartbeat(recorder.clone()));
    ActiveProbes { state, _tasks: tasks }
}

async fn ticks(
    probe: usize,
    watch: Watch,
    question: Arc<dyn Question>,
    tunnel_failures: TunnelFailures,
    recorder: Recorder,
    state: Arc<ProbeState>,
) {
    let clock = recorder.clock();
    let mut due = clock.now().plus(watch.every.0);
    let mut asking = JoinSet::new();
    loop {
        tokio::time::sleep_until(clock.instant(due)).await;
        while asking.try_join_next().is_some() {}
        let asked = clock.now();
        if asked > due.plus(watch.every.0) {
            let answered = Answered { probe, due, asked, ended: asked, answer: Answer::Unasked };
            state.add(answered.clone());
            recorder.append(Fact::Answered(answered));
        } else {
            let (question, tunnel_failures) = (Arc::clone(&question), Arc::clone(&tunnel_failures));
            let (recorder, state) = (recorder.clone(), Arc::clone(&state));
            asking.spawn(async move {
                let (asked, failures_before) = (recorder.clock().now(), tunnel_failures());
                let answer = match tokio::time::timeout(watch.timeout.0, question.ask()).await {
                    Ok(Ok(())) => Answer::Served,
                    _ if tunnel_failures() != failures_before => Answer::Unasked, // our own connection failed
                    Ok(Err(reason)) => Answer::Failed(reason),
                    Err(_) => Answer::Failed(format!("no answer within {}", watch.timeout)),
                };
                let answered = Answered { probe, due, asked, ended: recorder.clock().now(), answer };
                state.add(answered.clone());
                recorder.append(Fact::Answered(answered));
            });
        }
        due = due.plus(watch.every.0);
    }
}

async fn heartbeat(recorder: Recorder) {
    let clock = recorder.clock();
    let (mut last, mut slept) = (clock.now(), clock::suspended());
    loop {
        tokio::time::sleep(BEAT).await;
        let (now, sleeping) = (clock.now(), clock::suspended());
        if now > last.plus(STALL) || sleeping > slept + STALL {
            recorder.append(Fact::Stalled { from: last, to: now });
        }
        (last, slept) = (now, sleeping);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::{Depth, Line, Period};
    use crate::run::Observer;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct NoObserver;

    impl Observer for NoObserver {
        fn line(&self, _: &Line) {}
        fn progress(&self, _: &str) {}
    }

    /// Fails always; the first two times because our own connection to it failed.
    struct BrokenTunnel(Arc<AtomicU64>, AtomicU64);

    #[async_trait::async_trait]
    impl Question for BrokenTunnel {
        async fn ask(&self) -> Result<(), String> {
            if self.1.fetch_add(1, Ordering::SeqCst) < 2 {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
            Err("refused".to_owned())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_failed_by_our_own_connection_is_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, _) = Recorder::begin(folder.path(), Clock::start(), Arc::new(NoObserver)).unwrap();
        let one = Watch { depth: Depth::Read, every: Period::seconds(1), timeout: Period::seconds(1) };
        let failures_before = Arc::<AtomicU64>::default();
        let question = Arc::new(BrokenTunnel(Arc::clone(&failures_before), AtomicU64::new(0)));
        let active_probes =
            begin(&recorder, vec![(one, question)], &(Arc::new(move || failures_before.load(Ordering::SeqCst)) as _));
        tokio::time::sleep(Duration::from_millis(4500)).await;
        let answers: Vec<_> =
            active_probes.state.since(Moment::default())[0].iter().map(|a| a.answer.clone()).collect();
        let failed = Answer::Failed("refused".to_owned());
        assert_eq!(answers, [Answer::Unasked, Answer::Unasked, failed.clone(), failed]);
    }
}
