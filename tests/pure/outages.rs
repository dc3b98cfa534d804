//! Random outages on a paused clock: probes of the program itself watch a service whose true state is known, with relapses,
//! hangs, hangs on every second question, slow and half answers, stalls and suspends. The band must hold the truth, and no
//! verdict may be better or worse than it. Apart from `truth.rs`, which does the same in real time and so only 200 times.
use async_trait::async_trait;
use lifeboat::clock::{Clock, Moment};
use lifeboat::measure::measure;
use lifeboat::model::report::Report;
use lifeboat::model::{
    Depth, Expected, Fact, Finding, Line, Objectives, Period, Phase, Receipt, Span, Terms, Verdict, Watch,
};
use lifeboat::probe::Question;
use lifeboat::run::{ActiveProbes, Observer, Recorder, watch};
use lifeboat::store::read_timeline;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{advance, sleep};

const RUNS: u64 = 1000;
const EVERY_MS: u32 = 250;
const EVERY: f64 = EVERY_MS as f64 / 1000.0;
const BASELINE: Duration = Duration::from_secs(3);
const LIMIT_S: u32 = 14;
const LIMIT: f64 = LIMIT_S as f64;

/// How a service that is down answers.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Refuses,
    Hangs,
    HangsOnEverySecond,
    IsSlowAndWrong,
}

/// When a service is down, in seconds after the onset, on the clock of the world, which goes on while a machine is
/// suspended.
#[derive(Debug, Clone)]
struct World {
    /// When the fault was injected: a stalled harness does it later.
    onset: Arc<OnceLock<f64>>,
    down: Vec<(f64, f64)>,
    manner: Manner,
    timeout_ms: u32,
    /// The machine is suspended once: when, and for how long.
    sleep: Option<(f64, f64)>,
    /// The harness is stalled once: when, and for how long.
    stall: Option<(f64, f64)>,
}

impl World {
    fn draw(rng: &mut StdRng, healthy: bool) -> Self {
        let manners = [Manner::Refuses, Manner::Hangs, Manner::HangsOnEverySecond, Manner::IsSlowAndWrong];
        let mut down = vec![];
        if !healthy {
            let seen = 3.2 * EVERY; // what is shorter may hide where a tick was late
            down.push((0.0, rng.random_range(seen..8.0)));
            while rng.random_bool(0.4) && down.len() < 4 {
                let from = down[down.len() - 1].1 + rng.random_range(0.1..4.0);
                down.push((from, from + rng.random_range(seen..3.0)));
            }
        }
        let once = |rng: &mut StdRng, odds, to| {
            rng.random_bool(odds).then(|| (rng.random_range(0.5..12.0), rng.random_range(0.4..to)))
        };
        Self {
            onset: Arc::default(),
            down,
            manner: manners[rng.random_range(0..manners.len())],
            timeout_ms: rng.random_range(300..4000),
            sleep: once(rng, 0.15, 600.0),
            stall: once(rng, 0.25, 2.0),
        }
    }

    fn timeout(&self) -> f64 {
        f64::from(self.timeout_ms) / 1000.0
    }

    /// The world's time at a time of the run's clock.
    fn time(&self, run: f64) -> f64 {
        run + self.sleep.filter(|(at, _)| run >= *at).map_or(0.0, |(_, length)| length)
    }

    fn is_down(&self, world: f64) -> bool {
        let Some(world) = self.onset.get().map(|onset| world - onset) else { return false };
        self.down.iter().any(|(from, to)| (*from..*to).contains(&world))
    }
}

struct Service {
    world: World,
    clock: Clock,
    asked: AtomicU64,
    seed: u64,
}

#[async_trait]
impl Question for Service {
    async fn ask(&self) -> Result<(), String> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut rng = StdRng::seed_from_u64(self.seed ^ (number << 20));
        if !self.world.is_down(self.world.time(self.clock.now().seconds())) {
            let slow = if rng.random_bool(0.05) { 0.24 * self.world.timeout() } else { 0.01 };
            sleep(Duration::from_secs_f64(slow)).await;
            return Ok(());
        }
        match self.world.manner {
            Manner::Refuses => Err("refused".into()),
            Manner::HangsOnEverySecond if number.is_multiple_of(2) => Ok(()),
            Manner::Hangs | Manner::HangsOnEverySecond => std::future::pending().await,
            Manner::IsSlowAndWrong => {
                sleep(Duration::from_secs_f64(rng.random_range(0.0..self.world.timeout()))).await;
                Err("half an answer".into())
            }
        }
    }
}

struct NoObserver;

impl Observer for NoObserver {
    fn line(&self, _: &Line) {}
    fn progress(&self, _: &str) {}
}

fn terms(world: &World) -> Terms {
    let milliseconds = |ms: u32| Period::milliseconds(ms.into());
    Terms {
        drill: "sample".into(),
        scenario: "sample".into(),
        about: String::new(),
        requirements: vec![],
        expected: Expected::Met,
        environment: "somewhere".into(),
        objectives: Objectives { rto: Some(Span::seconds(6)), rpo: None, at: Some(Depth::Read) },
        probes: vec![Watch {
            depth: Depth::Read,
            every: milliseconds(EVERY_MS),
            timeout: milliseconds(world.timeout_ms),
        }],
        checks: vec![],
        runbook: vec![],
        stable: Span::seconds(1),
        streak: 3,
        recovery: Span::seconds(LIMIT_S.into()),
        workload: false,
    }
}

/// Waits until the service is back, as a run does; false when the limit comes first.
async fn wait_until_back(probes: &ActiveProbes, clock: Clock, from: Moment, limit: f64, terms: &Terms) -> bool {
    while clock.now().seconds() < limit {
        if probes.state.back(from, clock.now(), terms.rule()) {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}

/// One run, and when watching ended, in seconds of the world after the onset.
async fn rehearse(world: World, seed: u64, folder: &std::path::Path) -> (Report, f64) {
    let (recorder, writer) = Recorder::begin(folder, Clock::start(), Arc::new(NoObserver)).unwrap();
    let (clock, terms) = (recorder.clock(), terms(&world));
    let text = || String::new();
    recorder.append(Fact::Began { run: text(), version: text(), plan: text(), terms: Box::new(terms.clone()) });
    let service = Service { world: world.clone(), clock, asked: AtomicU64::new(0), seed };
    let mut probes = watch(&recorder, vec![(terms.probes[0], Arc::new(service))], &(Arc::new(|| 0_u64) as _));
    let (events, events_world) = (recorder.clone(), world.clone());
    let disturbances = tokio::spawn(async move { disturb(&events, &events_world).await });
    sleep(BASELINE).await;
    let receipt = Receipt(serde_json::Value::Null);
    recorder.append(Fact::Intended { fault: 0, kind: "kill".into(), receipt });
    recorder.append(Fact::Injecting { fault: 0 });
    sleep(Duration::from_millis(10)).await;
    let onset = *world.onset.get_or_init(|| world.time(clock.now().seconds()));
    recorder.append(Fact::Injected { fault: 0, error: None });
    sleep(Duration::from_millis(10)).await;
    recorder.append(Fact::Confirmed { fault: 0, finding: Finding::met() });
    let confirmed = clock.now();
    let limit = confirmed.seconds() + LIMIT;
    wait_until_back(&probes, clock, confirmed, limit, &terms).await;
    recorder.append(Fact::Phase(Phase::Verify));
    sleep(Duration::from_millis(seed % 5 * 700)).await; // checks take their time
    let proof = 3.0 * EVERY + world.timeout() + 1.0;
    wait_until_back(&probes, clock, confirmed, clock.now().seconds() + proof, &terms).await;
    let end = world.time(clock.now().seconds()) - onset;
    probes.close().await;
    disturbances.abort();
    recorder.append(Fact::Phase(Phase::Teardown));
    recorder.append_durable(Fact::Ended).await.unwrap();
    drop((probes, recorder));
    let _ = disturbances.await;
    writer.await.unwrap();
    (measure(&read_timeline(folder).unwrap()), end)
}

/// The harness is stalled, and the machine suspended. Tests cannot suspend a machine, so its fact is written here, as the
/// heartbeat writes it.
async fn disturb(recorder: &Recorder, world: &World) {
    let until = |at: f64| Duration::from_secs_f64((at - recorder.clock().now().seconds()).max(0.0));
    let mut events: Vec<_> =
        world.stall.iter().map(|it| (*it, false)).chain(world.sleep.iter().map(|it| (*it, true))).collect();
    events.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
    for ((at, length), suspend) in events {
        sleep(until(at)).await;
        if suspend {
            let now = recorder.clock().now();
            let suspended = Span(Duration::from_secs_f64(length));
            recorder.append(Fact::Stalled { from: Moment::at(at.min(now.seconds())), to: now, suspended });
        } else {
            advance(Duration::from_secs_f64(length)).await;
        }
    }
}

fn judged(report: &Report, what: &str) -> Verdict {
    report.judgements.iter().find(|judgement| judgement.what == what).unwrap().verdict
}

/// What contradicts the truth; none if nothing does.
fn lie(world: &World, report: &Report, end: f64) -> Option<String> {
    let rta = &report.measurements.rta[&Depth::Read];
    let (recovered, verdict) = (judged(report, "recovered"), rta.verdict.unwrap());
    // Every second question is served all the time: the last one that hangs may be two intervals before the end.
    let fuzzy = if matches!(world.manner, Manner::HangsOnEverySecond) { 2.0 * EVERY } else { 0.02 };
    // What began so late that no question could show it is nobody's to see.
    let hidden = end - 2.0 * EVERY - 0.05;
    let seen: Vec<_> = world.down.iter().filter(|(from, _)| *from < hidden).collect();
    let late = world.down.iter().any(|(from, _)| (hidden..=end).contains(from));
    let (truth, back) = match seen.last() {
        Some((_, to)) => (*to, *to <= end + fuzzy),
        None => (0.0, true),
    };
    // Back only just before the end: no question may have shown it any more.
    let late = late || (back && truth > end - 2.0 * EVERY - fuzzy);
    if rta.low.is_some_and(|low| low > truth + 0.02) && !late {
        return Some(format!("too low an end: truth {truth:.2}"));
    }
    if rta.high.is_some_and(|high| back && high < truth - fuzzy) {
        return Some(format!("too high an end: truth {truth:.2}"));
    }
    match (verdict, recovered) {
        (Verdict::Met, _) if truth > 6.0 + fuzzy || !back => Some(format!("met: truth {truth:.2}, back {back}")),
        (Verdict::Missed, _) if truth < 5.98 && back && !late => Some(format!("missed: truth {truth:.2}")),
        (_, Verdict::Met) if !back => Some("recovered, and it was not".into()),
        (_, Verdict::Missed) if back && !late && truth < LIMIT => Some("not recovered, and it was".into()),
        _ => None,
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn rehearse_all(healthy: bool, look: impl Fn(&World, &Report, f64) -> Option<String>) {
    let mut lies = vec![];
    for seed in 0..RUNS {
        let world = World::draw(&mut StdRng::seed_from_u64(seed), healthy);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let folder = folder();
        let (report, end) = runtime.block_on(rehearse(world.clone(), seed, folder.path()));
        if let Some(lie) = look(&world, &report, end) {
            let rta = &report.measurements.rta[&Depth::Read];
            lies.push(format!("run {seed}: {lie}: {rta:?}, ended at {end:.2}, {world:?}"));
        }
    }
    assert!(lies.is_empty(), "{} of {RUNS}:\n{}", lies.len(), lies[..lies.len().min(5)].join("\n"));
}

#[test]
fn the_band_holds_the_truth_of_every_outage_and_no_verdict_is_too_good() {
    rehearse_all(false, lie);
}

#[test]
fn a_healthy_service_is_no_false_alarm() {
    rehearse_all(true, |world, report, _| {
        let verdict = report.measurements.rta[&Depth::Read].verdict.unwrap();
        let disturbed = world.stall.is_some() || world.sleep.is_some();
        let fine = |verdict| verdict == Verdict::Met || (disturbed && verdict == Verdict::Unknown);
        (!fine(verdict) || !fine(judged(report, "recovered"))).then(|| "a false alarm".into())
    });
}
