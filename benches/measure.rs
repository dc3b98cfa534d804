//! How long judging takes and how much memory: a timeline of a million facts, most of them answers and marks.
//!
//! Memory is that of a process of its own (this bench, started again) which does what `lifeboat report` does and
//! nothing else: it reads the timeline from disk, judges it, and says the most it ever held.

#![allow(clippy::disallowed_methods)] // reads the clock itself
#![allow(missing_docs)] // of what the macros make

use criterion::{Criterion, criterion_group};
use lifeboat::clock::Moment;
use lifeboat::measure::measure;
use lifeboat::model::ledger::Operation;
use lifeboat::model::{
    Answer, Answered, Depth, Expected, Fact, Finding, Line, Mark, MarkState, Objectives, Part, Period, Phase, Span,
    Terms, Watch,
};
use lifeboat::store::{Timeline, read_timeline};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const FACTS: u64 = 1_000_000;
/// Tells this program that it is the process whose memory is measured: the run's folder.
const FOLDER: &str = "LIFEBOAT_BENCH_FOLDER";

fn terms() -> Terms {
    let watch = |depth| Watch { depth, every: Period::milliseconds(100), timeout: Period::seconds(1) };
    Terms {
        drill: "bench".into(),
        scenario: "bench".into(),
        about: String::new(),
        requirements: vec![],
        expected: Expected::Met,
        environment: "simulated".into(),
        objectives: Objectives { rto: Some(Span::seconds(120)), rpo: Some(Span::seconds(10)), at: Some(Depth::Read) },
        probes: vec![watch(Depth::Read), watch(Depth::Write)],
        checks: vec!["smoke".into()],
        runbook: vec![],
        stable: Span::seconds(5),
        streak: 3,
        recovery: Span::seconds(600),
        workload: true,
    }
}

/// Six facts per tick of 100 ms; the fault takes effect at a third and the service is back 60 s later.
fn timeline() -> Vec<Line> {
    let mut facts = vec![];
    let plan = String::new();
    facts.push((0, Fact::Began { run: "bench".into(), version: "0".into(), plan, terms: Box::new(terms()) }));
    let ticks = FACTS / 6;
    let onset = ticks / 3;
    for tick in 0..ticks {
        let at = tick * 100_000_000;
        if tick == onset {
            facts.push((at, Fact::Phase(Phase::Disaster)));
            facts.push((at, Fact::Injecting { fault: 0 }));
            facts.push((at, Fact::Confirmed { fault: 0, finding: Finding::met() }));
        }
        let down = tick > onset && tick < onset + 600;
        for probe in 0..2 {
            let answer = if down { Answer::Failed("connection refused".into()) } else { Answer::Served };
            let (asked, ended) = (Moment(at), Moment(at + 5_000_000));
            facts.push((at, Fact::Answered(Answered { probe, due: asked, asked, ended, answer })));
        }
        let (number, subject, value) = (tick + 1, format!("run {tick}"), format!("{tick}"));
        let mark = Mark { number, subject, operation: Operation::Create, parts: vec![Part::Row], value, at: None };
        facts.push((at, Fact::Sending(mark)));
        facts.push((at, Fact::Acknowledged { mark: number, at: Some(format!("{tick:032x}")) }));
        let state = if tick + 50 > onset && tick < onset { MarkState::Lost } else { MarkState::Survived };
        facts.push((at, Fact::MarkState { mark: number, state }));
        facts.push((at, Fact::Note("tick".into())));
    }
    facts.push((ticks * 100_000_000, Fact::Ended));
    let wall = jiff::Timestamp::UNIX_EPOCH;
    facts.into_iter().map(|(at, fact)| Line::new(Moment(at), wall, fact)).collect()
}

fn bench(criterion: &mut Criterion) {
    let lines = timeline();
    let mut group = criterion.benchmark_group("measure");
    group.sample_size(10);
    group.bench_function("a million facts", |bencher| bencher.iter(|| measure(black_box(&lines))));
    group.finish();
}

/// Reads and judges as `lifeboat report` does.
fn judge(folder: &Path) {
    let begin = Instant::now();
    let lines = read_timeline(folder).expect("a timeline");
    let read = begin.elapsed().as_secs_f64();
    let report = measure(&lines);
    let judged = begin.elapsed().as_secs_f64() - read;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map_or("not known here", str::trim);
    println!("{} facts read in {read:.2} s, judged in {judged:.2} s, at most {peak} of memory", lines.len());
    black_box(report);
}

/// The same from disk, in a process of its own.
fn memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut timeline = Timeline::create(folder.path()).expect("a timeline");
    timeline.append(&mut self::timeline()).expect("a disk");
    let mut own = Command::new(std::env::current_exe().expect("this program"));
    assert!(own.env(FOLDER, folder.path()).status().expect("this program").success());
}

criterion_group!(benches, bench);

fn main() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return judge(folder.as_ref());
    }
    memory();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
