//! How long judging takes: a timeline of a million facts, most of them answers and marks.

use criterion::{Criterion, criterion_group, criterion_main};
use lifeboat::clock::Moment;
use lifeboat::measure::measure;
use lifeboat::model::ledger::Act;
use lifeboat::model::{
    Answer, Answered, Depth, Fact, Fate, Finding, Line, Mark, Objectives, Part, Phase, Span, Terms, Watch,
};
use std::hint::black_box;

const FACTS: u64 = 1_000_000;

fn terms() -> Terms {
    let watch = |depth| Watch { depth, every: Span::milliseconds(100), timeout: Span::seconds(1) };
    Terms {
        drill: "bench".into(),
        scenario: "bench".into(),
        about: String::new(),
        environment: "simulated".into(),
        objectives: Objectives { rto: Some(Span::seconds(120)), rpo: Some(Span::seconds(10)), at: Some(Depth::Read) },
        probes: vec![watch(Depth::Read), watch(Depth::Write)],
        checks: vec!["smoke".into()],
        stable: Span::seconds(5),
        streak: 3,
        recovery: Span::seconds(600),
        workload: true,
    }
}

/// Six facts per tick of 100 ms; the fault bites at a third and the service is back 60 s later.
fn timeline() -> Vec<Line> {
    let mut facts = vec![];
    let plan = String::new();
    facts.push((0, Fact::Began { run: "bench".into(), version: "0".into(), plan, terms: terms() }));
    let ticks = FACTS / 6;
    let bite = ticks / 3;
    for tick in 0..ticks {
        let at = tick * 100_000_000;
        if tick == bite {
            facts.push((at, Fact::Phase(Phase::Disaster)));
            facts.push((at, Fact::Injecting { fault: 0 }));
            facts.push((at, Fact::Confirmed { fault: 0, finding: Finding::met() }));
        }
        let down = tick > bite && tick < bite + 600;
        for probe in 0..2 {
            let answer = if down { Answer::Failed("connection refused".into()) } else { Answer::Served };
            let (asked, ended) = (Moment(at), Moment(at + 5_000_000));
            facts.push((at, Fact::Answered(Answered { probe, due: asked, asked, ended, answer })));
        }
        let (number, subject, value) = (tick + 1, format!("run {tick}"), format!("{tick}"));
        let mark = Mark { number, subject, act: Act::Create, parts: vec![Part::Row], value, at: None };
        facts.push((at, Fact::Sending(mark)));
        facts.push((at, Fact::Acknowledged { mark: number, at: Some(format!("{tick:032x}")) }));
        let fate = if tick + 50 > bite && tick < bite { Fate::Lost } else { Fate::Survived };
        facts.push((at, Fact::Fate { mark: number, fate }));
        facts.push((at, Fact::Note("tick".into())));
    }
    facts.push((ticks * 100_000_000, Fact::Ended));
    let wall = jiff::Timestamp::UNIX_EPOCH;
    let line = |(number, (at, fact))| Line { schema: 1, number, at: Moment(at), wall, before: String::new(), fact };
    (0..).zip(facts).map(line).collect()
}

fn bench(criterion: &mut Criterion) {
    let lines = timeline();
    let mut group = criterion.benchmark_group("measure");
    group.sample_size(10);
    group.bench_function("a million facts", |bencher| bencher.iter(|| measure(black_box(&lines))));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
