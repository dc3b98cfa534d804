//! What the check `contents` costs a database of 3 million metrics: the time of its read, and what point reads feel of it.
//!
//! Apart from the others because it needs real servers: it makes a local platform of its own and fills it.

#![allow(clippy::disallowed_methods)] // reads the clock itself

#[path = "support/nobody.rs"]
mod nobody;

use lifeboat::check::{CHECKS, Check};
use lifeboat::client::Error;
use lifeboat::environment::{Environment, Platform, RunContext, local};
use lifeboat::kind::pick;
use lifeboat::node::parse;
use lifeboat::workload::seed;
use nobody::Nobody;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

/// So often is it read.
const TIMES: usize = 5;
/// So long are point reads timed without it.
const ALONE: Duration = Duration::from_secs(20);

const FILL: &str = "INSERT INTO metrics SELECT 'loss', random(), r.start_time + s, r.run_uuid, s, false \
    FROM runs r, generate_series(1, 3000000 / (SELECT count(*) FROM runs)) s";
/// One row by its key, as MLflow asks for a run's metric.
const POINT: &str = "SELECT value FROM latest_metrics WHERE key = 'metric-01' AND run_uuid = $1";

#[tokio::main]
async fn main() {
    // `cargo test --benches` starts it too, and has no minutes for it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let run = RunContext { run: format!("bench-{}", std::process::id()), folder: folder.path().into() };
    let environment: Box<dyn Environment> =
        (local::KIND.parse)(&parse("{}").expect("a tree"), &mut vec![]).expect("an environment");
    let platform = environment.provision(&run, Arc::new(Nobody)).await.expect("a platform");
    let measured = measure(&*platform).await;
    assert_eq!(platform.remove().await, Vec::<String>::new());
    measured.expect("an answer");
}

async fn measure(platform: &dyn Platform) -> Result<(), Error> {
    seed::plant(platform, 0.1).await?;
    platform.components()?.stop("mlflow").await?;
    let sql = platform.sql()?;
    let client = sql.connect(sql.database()).await?;
    let asked = |error| Error::caused_by("the database", error);
    for statement in [FILL, "VACUUM ANALYZE metrics", "CHECKPOINT"] {
        client.batch_execute(statement).await.map_err(asked)?;
    }
    let runs = client.query("SELECT run_uuid FROM runs", &[]).await.map_err(asked)?;
    let runs: Vec<String> = runs.iter().map(|row| row.get(0)).collect();
    let alone = points(&client, &runs, tokio::time::sleep(ALONE)).await?;
    let check = pick("check", CHECKS, &parse("contents").expect("a tree"), &mut vec![]).expect("the check").it;
    let (mut seconds, mut beside) = (vec![], vec![]);
    for _ in 0..TIMES {
        let read = read(&*check, platform, &mut seconds);
        beside.extend(points(&client, &runs, read).await?);
    }
    seconds.sort_by(f64::total_cmp);
    println!("contents of 3 million metrics: median {:.2} s, longest {:.2} s", seconds[TIMES / 2], seconds[TIMES - 1]);
    for (when, times) in [("without it", alone), ("beside it", beside)] {
        println!("point reads {when}: {} reads, p99 {:.2} ms", times.len(), percentile_99(times));
    }
    Ok(())
}

async fn read(check: &dyn Check, platform: &dyn Platform, seconds: &mut Vec<f64>) {
    let begin = Instant::now();
    check.plant(platform, "bench").await.expect("the check reads");
    seconds.push(begin.elapsed().as_secs_f64());
}

/// The milliseconds of point reads, one after another, each of another run, until the work is done.
async fn points(client: &Client, runs: &[String], work: impl Future<Output = ()>) -> Result<Vec<f64>, Error> {
    let (mut times, mut work) = (vec![], std::pin::pin!(work));
    for run in runs.iter().cycle() {
        let (begin, parameters): (_, [&(dyn ToSql + Sync); 1]) = (Instant::now(), [run]);
        let mut asked = std::pin::pin!(client.query(POINT, &parameters));
        let answer = tokio::select! {
            answer = &mut asked => answer,
            () = &mut work => return Ok(times),
        };
        answer.map_err(|error| Error::caused_by("the database", error))?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}

fn percentile_99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}
