//! What the harness itself costs: reading and planning a drill, a mark on disk, a probe's tick.
//!
//! Apart from the judging, which comes when all is over: these are paid while a drill runs, beside what it measures.

#![allow(clippy::disallowed_methods)] // reads the clock itself
#![allow(missing_docs)] // of what the macros make

use async_trait::async_trait;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use lifeboat::clock::Clock;
use lifeboat::model::ledger::Operation;
use lifeboat::model::{Depth, Fact, Line, Mark, Part, Period, Watch};
use lifeboat::probe::Question;
use lifeboat::run::{Observer, Recorder, watch};
use lifeboat::workload::Ledger;
use lifeboat::{node, plan, spec};
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const DRILL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/drills/database-drop.yaml");
/// Clients that write at the same time, whose marks share a sync.
const AT_ONCE: u64 = 64;
const PROBES: usize = 5;
const EVERY: Period = Period::milliseconds(50);
/// So long, on a clock that does not wait, do the probes ask.
const WATCHED: Duration = Duration::from_secs(10);

struct Nobody;

impl Observer for Nobody {
    fn line(&self, _: &Line) {}
    fn progress(&self, _: &str) {}
}

struct Yes;

#[async_trait]
impl Question for Yes {
    async fn ask(&self) -> Result<(), String> {
        Ok(())
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn recorder(folder: &Path) -> Recorder {
    Recorder::begin(folder, Clock::start(), Arc::new(Nobody)).expect("a timeline").0
}

fn planning(criterion: &mut Criterion) {
    let text = fs::read_to_string(DRILL).expect("the drill");
    let mut group = criterion.benchmark_group("plan");
    group.bench_function("parse a drill's text", |b| b.iter(|| node::parse(black_box(&text)).expect("a tree")));
    group.bench_function("read a drill and its scenario", |b| {
        b.iter(|| spec::load(black_box(Path::new(DRILL))).expect("a spec"));
    });
    group.bench_function("plan a drill", |b| b.iter(|| plan::load(black_box(Path::new(DRILL))).expect("a plan")));
    group.finish();
}

/// A mark as the clients write it: on disk before it is sent, and again when it is acknowledged.
async fn mark(recorder: &Recorder) {
    let number = recorder.number();
    let (subject, value) = (format!("run {number}"), format!("{number:016x}"));
    let mark = Mark { number, subject, operation: Operation::Create, parts: vec![Part::Row], value, at: None };
    recorder.sending(mark).await.expect("a disk");
    recorder.acknowledged(number, Some(format!("7/{number:032x}"))).await.expect("a disk");
}

fn marks(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let recorder = runtime.block_on(async { recorder(folder.path()) });
    let mut group = criterion.benchmark_group("ledger");
    group.bench_function("one mark, sent and acknowledged", |b| b.to_async(&runtime).iter(|| mark(&recorder)));
    group.throughput(Throughput::Elements(AT_ONCE));
    group.bench_function(format!("{AT_ONCE} marks at once"), |b| {
        b.to_async(&runtime).iter(|| join_all((0..AT_ONCE).map(|_| mark(&recorder))));
    });
    group.finish();
}

/// Real time for the ticks of all probes on a paused clock, which jumps from one tick to the next.
fn watched() -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let recorder = recorder(folder.path());
        let one = Watch { depth: Depth::Read, every: EVERY, timeout: Period::seconds(1) };
        let begin = Instant::now();
        let questions = (0..PROBES).map(|_| (one, Arc::new(Yes) as Arc<dyn Question>)).collect();
        let watching = watch(&recorder, questions, &(Arc::new(|| 0_u64) as _));
        tokio::time::sleep(WATCHED).await;
        drop(watching);
        recorder.append_durable(Fact::Ended).await.expect("a disk");
        begin.elapsed()
    })
}

fn ticks(criterion: &mut Criterion) {
    let ticks = PROBES as u64 * u64::try_from(WATCHED.as_nanos() / EVERY.0.as_nanos()).unwrap_or(u64::MAX);
    let mut group = criterion.benchmark_group("watch");
    group.sample_size(10).throughput(Throughput::Elements(ticks));
    group.bench_function(format!("{ticks} ticks of {PROBES} probes"), |b| {
        b.iter_custom(|times| (0..times).map(|_| watched()).sum());
    });
    group.finish();
}

criterion_group!(benches, planning, marks, ticks);
criterion_main!(benches);
