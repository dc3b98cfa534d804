//! `lifeboat points`: the recovery points of a protection, repository by repository.

use super::console::{out, say, width};
use super::{CommandResult, exit};
use crate::client::Error;
use crate::clock::wall;
use crate::engine::{LogReach, SealedConfiguration};
use crate::model::Period;
use crate::protect::{self, KeptPoints, PointDue};
use crate::report::columns::table;
use crate::report::words;
use crate::repository::StoredPoint;
use crate::spec::load_protection;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A log that was not received for so long is told.
const LOG_OVERDUE: SignedDuration = SignedDuration::from_mins(1);

/// What `points` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The protection's file
    file: PathBuf,
    /// Print the points as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let all = protect::points(&protection).await;
    if args.json {
        let told: Vec<_> = all.iter().map(value).collect();
        out(serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write the points", e))?)?;
    } else {
        tell(&all)?;
    }
    let overdue = protection.every.map_or(0, |every| all.iter().filter(|kept| tell_overdue(kept, every)).count());
    let whole = all.iter().all(|kept| kept.points.as_ref().is_ok_and(|list| list.unreadable.is_empty()));
    let overdue = overdue + all.iter().filter(|kept| tell_log(kept)).count();
    Ok(match (whole, overdue) {
        (false, _) => exit::FAILED,
        (true, 0) => exit::MET,
        (true, _) => exit::MISSED,
    })
}

/// Says that a point is due in a repository, and answers whether it is.
fn tell_overdue(kept: &KeptPoints, every: Period) -> bool {
    let name = &kept.repository.name;
    match kept.overdue(every, wall()) {
        None => return false,
        Some(PointDue::NoPoint) => say(format!("warning: {name}: there is no point, and one is due every {every}")),
        Some(PointDue::Newest(age)) => {
            let age = words::rough(age.as_seconds());
            say(format!("warning: {name}: the newest point is {age} old, and one is due every {every}"));
        }
    }
    true
}

/// Says what is wrong with the log of a repository's points, and answers whether anything is.
fn tell_log(kept: &KeptPoints) -> bool {
    let name = &kept.repository.name;
    for reach in &kept.reaches {
        if let Some(why) = &reach.flaw {
            say(format!("warning: {name}: {}: {why}", reach.point));
        }
    }
    let until = kept.reaches.iter().filter_map(|reach| reach.until).max();
    let late = until.map(|until| wall().duration_since(until)).filter(|age| *age > LOG_OVERDUE);
    if let Some(age) = late {
        let age = words::rough(age.as_secs_f64());
        say(format!("warning: {name}: the log was received {age} ago: does `lifeboat receive` run?"));
    }
    late.is_some() || kept.reaches.iter().any(|reach| reach.flaw.is_some())
}

fn tell(all: &[KeptPoints]) -> Result<(), Error> {
    let (mut rows, logs) = (vec![], all.iter().any(|kept| !kept.reaches.is_empty()));
    let configured = all.iter().filter_map(|kept| kept.points.as_ref().ok());
    let configured = configured.flat_map(|list| &list.points).any(SealedConfiguration::is_in);
    for kept in all {
        let name = &kept.repository.name;
        match &kept.points {
            Ok(list) => {
                rows.extend(list.points.iter().map(|point| {
                    let (size, added) = (words::bytes(point.bytes), words::bytes(point.added));
                    let mut row = vec![
                        protect::name(point).to_owned(),
                        name.clone(),
                        point.time.strftime("%F %T").to_string(),
                        size,
                        added,
                        words::time(point.took.as_secs_f64()),
                    ];
                    if logs {
                        let until = reach(kept, point).and_then(|reach| reach.until);
                        row.push(until.map_or("–".into(), |until| until.strftime("%F %T").to_string()));
                    }
                    if configured {
                        row.push(if SealedConfiguration::is_in(point) { "sealed" } else { "–" }.to_owned());
                    }
                    row
                }));
                list.unreadable.iter().for_each(|(file, why)| say(format!("error: {name}: {file}: {why}")));
            }
            Err(error) => say(format!("error: {name}: {error}")),
        }
    }
    if rows.is_empty() {
        say("there are no points");
        return Ok(());
    }
    let mut heads = vec!["point", "repository", "taken (UTC)", "size", "added", "took"];
    heads.extend(logs.then_some("log until (UTC)"));
    heads.extend(configured.then_some("configuration"));
    out(table(&heads, rows, width()))
}

/// How far the log reaches from a point.
fn reach<'a>(kept: &'a KeptPoints, point: &StoredPoint) -> Option<&'a LogReach> {
    kept.reaches.iter().find(|reach| reach.point == protect::name(point))
}

fn value(kept: &KeptPoints) -> Value {
    let (points, error) = (kept.points.as_ref().ok(), kept.points.as_ref().err().map(ToString::to_string));
    let told = points.map(|list| {
        let told = list.points.iter().map(|point| {
            json!({
                "point": protect::name(point), "snapshot": point.id, "taken_at": point.time,
                "files": point.files, "bytes": point.bytes, "added": point.added,
                "seconds": point.took.as_secs_f64(), "log": reach(kept, point),
                "configuration": SealedConfiguration::is_in(point),
            })
        });
        told.collect::<Vec<_>>()
    });
    let why = |(file, why): &(String, Error)| format!("{file}: {why}");
    let unreadable = points.map(|list| list.unreadable.iter().map(why).collect::<Vec<_>>());
    json!({
        "repository": kept.repository.name, "location": kept.repository.kind.location(),
        "points": told, "unreadable": unreadable, "error": error,
    })
}
