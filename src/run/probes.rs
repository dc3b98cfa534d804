//! The probes at work: each asks at fixed ticks of the monotonic clock. Also the heartbeat of the harness.
//!
//! A slow answer never delays the next tick, because each question is a task of its own. A question that could not be
//! asked in time is *unasked*. That widens the band and never counts as outage.

use super::recorder::Recorder;
use crate::clock::{self, Clock, Moment};
use crate::measure::steady::{self, Objection};
use crate::measure::streak::{ProbeTick, TickOutcome, Watched};
use crate::model::{Answer, Answered, Fact, Span, StreakRule, Watch};
use crate::probe::Question;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// From one heartbeat to the next.
const BEAT: Duration = Duration::from_millis(100);
/// A heartbeat that comes later than this is a stall; the scheduler's usual delays are shorter.
const STALL: Duration = Duration::from_millis(250);
/// From one look at the open questions to the next, when watching ends.
const LOOK: Duration = Duration::from_millis(20);

/// What the probes have seen so far, for decisions during the run. The report is measured from the timeline, by the same
/// functions.
#[derive(Debug)]
pub struct ProbeState {
    probes: Mutex<Vec<(Watched, Option<String>)>>,
    watches: Vec<Watch>,
    /// The last heartbeat.
    beat: Mutex<Moment>,
}

impl ProbeState {
    fn new(watches: Vec<Watch>, now: Moment) -> Self {
        Self { probes: Mutex::new(vec![(Watched::default(), None); watches.len()]), watches, beat: Mutex::new(now) }
    }

    /// Is every probe served `now`, and has it been for as long as the rule asks, by questions of `from` or later? Not if
    /// the harness has just been stalled: then nobody knows.
    pub fn back(&self, from: Moment, now: Moment, rule: StreakRule) -> bool {
        let (probes, stalled) = (self.probes.lock(), self.stale(now));
        let back = |(watch, (watched, _)): (&Watch, &(Watched, Option<String>))| {
            watched.back(from, watch.every.as_seconds(), rule)
        };
        !stalled && !probes.is_empty() && self.watches.iter().zip(probes.iter()).all(back)
    }

    /// Is the last heartbeat so old that the harness must have been stalled?
    fn stale(&self, now: Moment) -> bool {
        now > self.beat.lock().plus(STALL)
    }

    /// Is every question answered that was asked before this moment?
    pub fn answered_until(&self, moment: Moment) -> bool {
        self.probes.lock().iter().all(|(watched, _)| watched.oldest_open().is_none_or(|open| open >= moment))
    }

    /// Has any probe detected an outage by answers that ended at `from` or later?
    pub fn down(&self, from: Moment, rule: StreakRule) -> bool {
        self.probes.lock().iter().any(|(watched, _)| watched.detected(from, rule).is_some())
    }

    /// Why the state is not steady between `from` and `now`; none if it is.
    pub fn objection(&self, from: Moment, now: Moment, rule: StreakRule) -> Option<String> {
        self.watches.iter().zip(self.probes.lock().iter()).find_map(|(watch, (watched, failure))| {
            let Objection { reason, failed } = steady::objection(*watch, watched, from, now, rule)?;
            let why = failure.as_ref().filter(|_| failed).map(|why| format!(": {why}")).unwrap_or_default();
            Some(reason + &why)
        })
    }

    fn asking(&self, probe: usize, asked: Moment) {
        self.probes.lock()[probe].0.asking(asked);
    }

    /// Adds an answer to a question that was open since `opened`, if it was.
    fn add(&self, answered: &Answered, opened: Option<Moment>) {
        let Answered { probe, due, asked, ended, answer } = answered;
        let outcome = match answer {
            Answer::Served => TickOutcome::Served,
            Answer::Failed(_) => TickOutcome::Failed,
            Answer::Unasked => TickOutcome::Unasked,
        };
        let (watched, failure) = &mut self.probes.lock()[*probe];
        if let Some(opened) = opened {
            watched.ended(opened);
        }
        watched.add(ProbeTick { due: *due, asked: *asked, ended: *ended, outcome });
        if let Answer::Failed(why) = answer {
            *failure = Some(why.clone());
        }
    }

    fn stalled(&self, from: Moment, to: Moment) {
        self.probes.lock().iter_mut().for_each(|(watched, _)| watched.stalled(from, to));
    }

    fn any_open(&self) -> bool {
        self.probes.lock().iter().any(|(watched, _)| watched.oldest_open().is_some())
    }
}

/// Probes that are asking; dropping this ends them.
pub struct ActiveProbes {
    /// Their answers so far.
    pub state: Arc<ProbeState>,
    closing: Arc<AtomicBool>,
    clock: Clock,
    tasks: JoinSet<()>,
}

impl ActiveProbes {
    /// Ends watching: no more questions, and the open ones are waited for. Each of them ends by its own timeout. A stall
    /// that has just ended is recorded first.
    pub async fn close(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        while self.state.any_open() || self.state.stale(self.clock.now()) {
            tokio::time::sleep(LOOK).await;
        }
        self.tasks.shutdown().await;
    }
}

/// Counts how often Lifeboat's own connection to the endpoints has failed so far.
pub type TunnelFailures = Arc<dyn Fn() -> u64 + Send + Sync>;

/// One probe at work.
#[derive(Clone)]
struct Asker {
    probe: usize,
    watch: Watch,
    question: Arc<dyn Question>,
    tunnel_failures: TunnelFailures,
    recorder: Recorder,
    state: Arc<ProbeState>,
    closing: Arc<AtomicBool>,
}

/// Starts the probes, each with its question and its times.
pub fn begin(
    recorder: &Recorder,
    questions: Vec<(Watch, Arc<dyn Question>)>,
    tunnel_failures: &TunnelFailures,
) -> ActiveProbes {
    let watches = questions.iter().map(|(watch, _)| *watch).collect();
    let state = Arc::new(ProbeState::new(watches, recorder.clock().now()));
    let closing = Arc::<AtomicBool>::default();
    let mut tasks = JoinSet::new();
    for (probe, (watch, question)) in questions.into_iter().enumerate() {
        let (tunnel_failures, recorder) = (Arc::clone(tunnel_failures), recorder.clone());
        let (state, closing) = (Arc::clone(&state), Arc::clone(&closing));
        tasks.spawn(Asker { probe, watch, question, tunnel_failures, recorder, state, closing }.ticks());
    }
    tasks.spawn(heartbeat(recorder.clone(), Arc::clone(&state)));
    ActiveProbes { state, closing, clock: recorder.clock(), tasks }
}

impl Asker {
    /// Asks at each tick until watching ends.
    async fn ticks(self) {
        let clock = self.recorder.clock();
        let mut due = clock.now().plus(self.watch.every.0);
        let mut asking = JoinSet::new();
        loop {
            tokio::time::sleep_until(clock.instant(due)).await;
            while asking.try_join_next().is_some() {}
            if self.closing.load(Ordering::SeqCst) {
                while asking.join_next().await.is_some() {}
                return;
            }
            let now = clock.now();
            if now > due.plus(self.watch.every.0) {
                self.record(due, now, Answer::Unasked, None);
            } else {
                self.state.asking(self.probe, now);
                asking.spawn(self.clone().ask(due, now));
            }
            due = due.plus(self.watch.every.0);
        }
    }

    /// Asks once; the question has been open since `opened`.
    async fn ask(self, due: Moment, opened: Moment) {
        let (asked, failures_before) = (self.recorder.clock().now(), (self.tunnel_failures)());
        let answer = match tokio::time::timeout(self.watch.timeout.0, self.question.ask()).await {
            Ok(Ok(())) => Answer::Served,
            _ if (self.tunnel_failures)() != failures_before => Answer::Unasked, // our own connection failed
            Ok(Err(reason)) => Answer::Failed(reason),
            Err(_) => Answer::Failed(format!("no answer within {}", self.watch.timeout)),
        };
        self.record(due, asked, answer, Some(opened));
    }

    fn record(&self, due: Moment, asked: Moment, answer: Answer, opened: Option<Moment>) {
        let ended = self.recorder.clock().now();
        let answered = Answered { probe: self.probe, due, asked, ended, answer };
        self.state.add(&answered, opened);
        self.recorder.append(Fact::Answered(answered));
    }
}

async fn heartbeat(recorder: Recorder, state: Arc<ProbeState>) {
    let clock = recorder.clock();
    let (mut last, mut slept) = (clock.now(), clock::suspended());
    loop {
        tokio::time::sleep(BEAT).await;
        let (now, sleeping) = (clock.now(), clock::suspended());
        let suspended = sleeping.saturating_sub(slept);
        if now > last.plus(STALL) || suspended > STALL {
            state.stalled(last, now);
            let suspended = if suspended > STALL { suspended } else { Duration::ZERO };
            recorder.append(Fact::Stalled { from: last, to: now, suspended: Span(suspended) });
        }
        *state.beat.lock() = now;
        (last, slept) = (now, sleeping);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Depth, Line, Period};
    use crate::run::Observer;
    use std::sync::atomic::AtomicU64;

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
        let probes = active_probes.state.probes.lock();
        let outcomes: Vec<_> = probes[0].0.ticks().iter().map(|tick| tick.outcome).collect();
        let (failed, unasked) = (TickOutcome::Failed, TickOutcome::Unasked);
        assert_eq!((outcomes, probes[0].1.as_deref()), (vec![unasked, unasked, failed, failed], Some("refused")));
    }
    /// Never answers.
    struct Silent;

    #[async_trait::async_trait]
    impl Question for Silent {
        async fn ask(&self) -> Result<(), String> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn watching_ends_when_the_last_open_question_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, _) = Recorder::begin(folder.path(), Clock::start(), Arc::new(NoObserver)).unwrap();
        let watch = Watch { depth: Depth::Read, every: Period::seconds(1), timeout: Period::seconds(4) };
        let mut active_probes = begin(&recorder, vec![(watch, Arc::new(Silent))], &(Arc::new(|| 0_u64) as _));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        active_probes.close().await;
        assert!((5.0..5.1).contains(&recorder.clock().now().seconds()), "asked at 1 s, given up at 5 s");
        let probes = active_probes.state.probes.lock();
        assert_eq!((probes[0].0.ticks().len(), probes[0].0.oldest_open()), (1, None));
    }
}
