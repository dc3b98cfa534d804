//! The truth of the RTA: a service of this test's own goes down and up at moments that it knows, and what is
//! measured from outside must contain them, every time.
//!
//! The watch runs in a process of its own (this test, started again), so that it can be stopped by SIGSTOP in the
//! middle while the service goes on. Both read the same monotonic clock.
use async_trait::async_trait;
use lifeboat::clock::{Clock, Moment, wall};
use lifeboat::measure::measure;
use lifeboat::model::report::Measurement;
use lifeboat::model::{Answer, Depth, Expected, Fact, Finding, Line, Objectives, Period, Phase, Span, Terms, Watch};
use lifeboat::probe::Question;
use lifeboat::run::{Observer, Recorder, watch};
use lifeboat::store::read_timeline;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const EVERY_MS: u64 = 50;
const TIMEOUT_MS: u64 = 300;
const EVERY: Duration = Duration::from_millis(EVERY_MS);
const TIMEOUT: Duration = Duration::from_millis(TIMEOUT_MS);
/// From reading our clock to the harness's own stamp, and the reverse: both sides read it a few instructions apart.
const SLACK: f64 = 0.002;
const SERVICES: usize = 25;
const RIGHT: &[u8] = b"right";

fn raw() -> f64 {
    let t = clock_gettime(ClockId::Monotonic);
    f64::from(i32::try_from(t.tv_nsec).unwrap()) / 1e9 + f64::from(i32::try_from(t.tv_sec).unwrap())
}

/// What is measured of one service.
struct Observed {
    rta: Measurement,
    /// Ticks that were not asked in time.
    unasked: u64,
    /// The latest tick, seconds after it was due: so much later may the next one have looked.
    latest: f64,
}

/// When a service is down: from, to, on the raw clock; the first begins with the onset.
#[derive(Debug, Clone)]
struct Truth {
    down: Vec<(f64, f64)>,
    manner: u8,
}

impl Truth {
    /// An outage of 0 to 2 s, in a third of the cases with relapses, which are long enough to be seen.
    fn draw(rng: &mut StdRng, onset: f64) -> Self {
        let seen = (EVERY + TIMEOUT).as_secs_f64() + 0.1;
        let onset = onset + rng.random_range(0.0..0.2);
        let mut down = vec![(onset, onset + if rng.random_bool(0.15) { 0.0 } else { rng.random_range(0.0..2.0) })];
        while rng.random_bool(0.33) && down.len() < 3 {
            let from = down[down.len() - 1].1 + rng.random_range(0.05..0.6);
            down.push((from, from + rng.random_range(seen..seen + 0.4)));
        }
        Self { down, manner: rng.random_range(0..4) }
    }

    fn seconds(&self) -> f64 {
        self.down[self.down.len() - 1].1 - self.down[0].0
    }
}

/// Serves until the test ends: right answers, now and then slow; while down refuses, hangs, lies, or sends a half.
fn serve(listener: TcpListener, truth: Truth, seed: u64) {
    thread::spawn(move || {
        let mut rng = StdRng::seed_from_u64(seed);
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let now = raw();
            let down = truth.down.iter().any(|(from, to)| *from <= now && now < *to);
            let slow = rng.random_bool(0.1).then(|| Duration::from_millis(rng.random_range(10..200)));
            let manner = truth.manner;
            thread::spawn(move || {
                if let Some(slow) = slow {
                    thread::sleep(slow);
                }
                let _ = match (down, manner) {
                    (false, _) => stream.write_all(RIGHT),
                    (true, 0) => Ok(()),
                    (true, 1) => stream.read(&mut [0; 1]).map(|_| ()), // hangs until the client gives up
                    (true, 2) => stream.write_all(b"wrong"),
                    (true, _) => stream.write_all(&RIGHT[..2]),
                };
            });
        }
    });
}

/// The harness's side: a question to a port.
struct Port(u16);

#[async_trait]
impl Question for Port {
    async fn ask(&self) -> Result<(), String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.0)).await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        let mut body = vec![];
        stream.read_to_end(&mut body).await.map_err(|e| e.to_string())?;
        if body == RIGHT { Ok(()) } else { Err(format!("{} wrong bytes", body.len())) }
    }
}

struct Nobody;

impl Observer for Nobody {
    fn line(&self, _: &Line) {}
    fn progress(&self, _: &str) {}
}

fn one() -> Watch {
    Watch { depth: Depth::Read, every: Period::milliseconds(EVERY_MS), timeout: Period::milliseconds(TIMEOUT_MS) }
}

/// Not a test: the harness process, which `rounds` starts.
#[test]
fn harness_process() {
    let Ok(ports) = std::env::var("TRUTH_PORTS") else { return };
    let folder = std::env::var("TRUTH_FOLDER").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = Clock::start();
        // The largest of a few: we may be put aside between the two readings, which makes one too small.
        let origin = (0..20).map(|_| raw() - clock.now().seconds()).fold(f64::MIN, f64::max);
        let (recorder, _) = Recorder::begin(Path::new(&folder), clock, Arc::new(Nobody)).unwrap();
        let questions = ports.split(',').map(|p| (one(), Arc::new(Port(p.parse().unwrap())) as Arc<dyn Question>));
        let mut watching = watch(&recorder, questions.collect(), &(Arc::new(|| 0_u64) as _));
        println!("origin {origin}");
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
        watching.close().await;
        recorder.append_durable(Fact::Ended).await.unwrap();
        println!("done");
    });
}

fn terms() -> Terms {
    Terms {
        drill: "truth".into(),
        scenario: "truth".into(),
        about: String::new(),
        requirements: vec![],
        expected: Expected::Met,
        environment: "test".into(),
        objectives: Objectives { rto: Some(Span::seconds(60)), rpo: None, at: Some(Depth::Read) },
        probes: vec![one()],
        checks: vec![],
        runbook: vec![],
        stable: Span::milliseconds(500),
        streak: 3,
        recovery: Span::seconds(60),
        workload: false,
    }
}

fn line(at: f64, fact: Fact) -> Line {
    Line::new(Moment::at(at), wall(), fact)
}

/// What is measured of one service: its own answers, with the onset where the truth has it.
fn measured(lines: &[Line], service: usize, truth: &Truth, origin: f64) -> Observed {
    let onset = truth.down[0].0 - origin;
    let mut own = vec![line(
        0.0,
        Fact::Began { run: "r".into(), version: "0".into(), plan: String::new(), terms: Box::new(terms()) },
    )];
    let mut rest = vec![
        line(onset, Fact::Injecting { fault: 0 }),
        line(onset, Fact::Confirmed { fault: 0, finding: Finding::met() }),
    ];
    for l in lines {
        let mut l = l.clone();
        match &mut l.fact {
            Fact::Answered(a) if a.probe == service => a.probe = 0,
            Fact::Stalled { .. } => {}
            _ => continue,
        }
        rest.push(l);
    }
    rest.sort_by_key(|l| l.at);
    let end = rest[rest.len() - 1].at.seconds();
    own.extend(rest);
    own.push(line(end, Fact::Phase(Phase::Teardown)));
    own.push(line(end, Fact::Ended));
    let late =
        own.iter().filter_map(|l| if let Fact::Answered(a) = &l.fact { Some(a.asked.since(a.due)) } else { None });
    let latest = late.fold(0.0, f64::max);
    let mut report = measure(&own);
    let rta = report.measurements.rta.remove(&Depth::Read).unwrap();
    Observed { rta, unasked: report.probes[0].unasked, latest }
}

fn start(ports: &[u16], folder: &Path) -> (Child, f64, BufReader<std::process::ChildStdout>) {
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "truth::harness_process", "--nocapture"])
        .env("TRUTH_PORTS", ports.join(","))
        .env("TRUTH_FOLDER", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    let origin = loop {
        text.clear();
        assert!(out.read_line(&mut text).unwrap() > 0, "the harness ended early");
        if let Some(origin) = text.split("origin ").nth(1) {
            break origin.trim().parse().unwrap();
        }
    };
    (child, origin, out)
}

/// Ends the harness process; its timeline is then on disk.
fn end(child: &mut Child, out: &mut impl Read) {
    child.stdin.take().unwrap().write_all(b"stop\n").unwrap();
    out.read_to_string(&mut String::new()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// One round: many services at once, watched by one harness, which is perhaps stopped for a second.
fn round(seed: u64, stop: bool) -> Vec<(Truth, Observed)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let onset = raw() + 1.5;
    let truths: Vec<_> = (0..SERVICES).map(|_| Truth::draw(&mut rng, onset)).collect();
    let listeners: Vec<_> = (0..SERVICES).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
    for (n, (listener, truth)) in listeners.into_iter().zip(&truths).enumerate() {
        serve(listener, truth.clone(), seed * 1000 + n as u64);
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut child, origin, mut out) = start(&ports, folder.path());
    let sleep_until = |moment: f64| thread::sleep(Duration::from_secs_f64((moment - raw()).max(0.0)));
    if stop {
        sleep_until(onset + rng.random_range(0.0..2.5));
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::STOP).unwrap();
        thread::sleep(Duration::from_secs(1));
        kill_process(pid, Signal::CONT).unwrap();
    }
    let last = truths.iter().map(|t| t.down[t.down.len() - 1].1).fold(0.0, f64::max);
    sleep_until(last.max(raw()) + 1.5);
    end(&mut child, &mut out);
    let lines = read_timeline(folder.path()).unwrap();
    truths.into_iter().enumerate().map(|(n, t)| (t.clone(), measured(&lines, n, &t, origin))).collect()
}

#[test]
fn the_band_contains_the_truth_in_two_hundred_random_outages() {
    let widest = (EVERY + TIMEOUT).as_secs_f64();
    let (mut count, mut widths, mut stopped_count) = (0, vec![], 0);
    for seed in 0..8 {
        let stop = seed % 2 == 1;
        for (truth, Observed { rta: m, unasked, latest }) in round(seed, stop) {
            let (real, low) = (truth.seconds(), m.low.unwrap_or_else(|| panic!("{truth:?}: {m:?}")));
            let high = m.high.unwrap_or_else(|| panic!("{truth:?}: {m:?}"));
            assert!(
                low - SLACK <= real && real <= high + SLACK,
                "seed {seed}: truth {real:.3} not in {low:.3}–{high:.3}: {truth:?}"
            );
            stopped_count += u32::from(stop);
            if unasked == 0 {
                widths.push(high - low);
                let allowed = widest + latest + SLACK;
                assert!(high - low <= allowed, "seed {seed}: {low:.4}–{high:.4} is wider than {allowed:.4}");
            }
            count += 1;
        }
    }
    widths.sort_by(f64::total_cmp);
    assert!(widths.len() >= 50, "too few outages were watched without a gap: {}", widths.len());
    println!(
        "{count} outages ({stopped_count} with the harness stopped for a second): the truth was in the band every time"
    );
    println!(
        "band where nothing was unasked: median {:.3} s, widest {:.3} s, interval + timeout {widest:.3} s",
        widths[widths.len() / 2],
        widths[widths.len() - 1]
    );
    assert_eq!(count, 200);
}

#[test]
fn every_tick_of_five_probes_is_accounted_for() {
    let listeners: Vec<_> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
    for (seed, listener) in (0..).zip(listeners) {
        serve(listener, Truth { down: vec![], manner: 0 }, seed);
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut child, _, mut out) = start(&ports, folder.path());
    thread::sleep(Duration::from_secs(5));
    end(&mut child, &mut out);
    let (mut due, mut late, mut unasked) = (vec![vec![]; ports.len()], vec![], 0);
    for line in read_timeline(folder.path()).unwrap() {
        let Fact::Answered(tick) = line.fact else { continue };
        due[tick.probe].push(tick.due);
        if tick.answer == Answer::Unasked {
            unasked += 1;
        } else {
            late.push(tick.asked.since(tick.due) * 1000.0);
        }
    }
    for mut due in due {
        due.sort_unstable();
        // Of the last ones some were still waiting for their answers.
        let ended = due[due.len() - 1].0 - 2 * u64::try_from(TIMEOUT.as_nanos()).unwrap();
        let expected: Vec<_> = (0..u32::MAX).map(|n| due[0].plus(EVERY * n)).take_while(|due| due.0 <= ended).collect();
        assert!(expected.len() > 20, "watched too shortly: {due:?}");
        assert_eq!(due[..expected.len()], expected, "a tick that was neither asked nor unasked, or was so twice");
    }
    late.sort_by(f64::total_cmp);
    let part = |percent: usize| late[(late.len() * percent).div_ceil(100) - 1];
    println!(
        "{} ticks of five probes every 50 ms: asked late by {:.2} ms (median), {:.2} ms (p99), {:.2} ms (latest); \
         {unasked} unasked",
        late.len(),
        part(50),
        part(99),
        part(100)
    );
}
