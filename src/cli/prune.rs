//! `lifeboat prune`: removes the points of a protection whose time is over.

use super::console::{out, say, width};
use super::failure::Failure;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::model::Span;
use crate::protect::{self, PrunedPoints};
use crate::report::columns::table;
use crate::report::words;
use crate::spec::load_protection;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What `prune` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The protection's file
    file: PathBuf,
    /// Show what would go; change nothing
    #[arg(long)]
    dry_run: bool,
    /// How long what no point needs stays for those who still read it
    #[arg(long, value_name = "TIME", default_value = "1d")]
    readers: Span,
    /// Print what went as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(args: &Args) -> CommandResult {
    let protection = load_protection(&args.file)?;
    let Some(keep) = &protection.keep else {
        let hint = "add `keep: { incremental: 7d, full: 30d }` to it".to_owned();
        return Err(Failure::Usage("the protection does not say for how long points are kept".into(), Some(hint)));
    };
    let (mut rows, mut lines, mut told, mut code) = (vec![], vec![], vec![], exit::MET);
    for repository in &protection.repositories {
        let name = repository.name.as_str();
        let pruned = protect::prune(&protection, keep, repository, args.readers.0, args.dry_run).await;
        match &pruned {
            Ok(pruned) => {
                rows.extend(points(name, pruned));
                lines.push(sentence(name, pruned, args.dry_run));
            }
            Err(error) => {
                code = exit::FAILED;
                say(format!("error: {name}: {error}"));
            }
        }
        told.push(value(name, &pruned));
    }
    if args.json {
        out(serde_json::to_string_pretty(&told).map_err(|e| Error::caused_by("cannot write what went", e))?)?;
        return Ok(code);
    }
    if !rows.is_empty() {
        out(table(&["point", "repository", "taken (UTC)", "stays as"], rows, width()))?;
    }
    for line in lines {
        out(line)?;
    }
    Ok(code)
}

fn points<'a>(repository: &'a str, pruned: &'a PrunedPoints) -> impl Iterator<Item = Vec<String>> + 'a {
    pruned.points.iter().map(move |(point, why)| {
        let why = why.map_or("goes".to_owned(), |why| why.to_string());
        vec![protect::name(point).to_owned(), repository.to_owned(), point.time.strftime("%F %T").to_string(), why]
    })
}

fn sentence(repository: &str, done: &PrunedPoints, dry_run: bool) -> String {
    let gone = done.points.iter().filter(|(_, why)| why.is_none()).count() as u64;
    let (pruned, now, later) = (&done.pruned, words::bytes(done.pruned.bytes), words::bytes(done.pruned.marked));
    let verb = if dry_run { "would go" } else { "went" };
    let rest = match pruned.marked {
        0 => String::new(),
        _ => format!("; {later} go with a prune once nobody reads them any more"),
    };
    format!(
        "{repository}: {} and {now} {verb}, {} stay{rest}",
        words::things(gone, "point"),
        words::bytes(pruned.needed)
    )
}

fn value(repository: &str, pruned: &Result<PrunedPoints, Error>) -> Value {
    let (done, error) = (pruned.as_ref().ok(), pruned.as_ref().err().map(ToString::to_string));
    let points = done.map(|done| {
        let told = done.points.iter().map(|(point, why)| {
            json!({ "point": protect::name(point), "taken_at": point.time, "stays_as": why.map(|why| why.to_string()) })
        });
        told.collect::<Vec<_>>()
    });
    let of = |figure: fn(&PrunedPoints) -> u64| done.map(figure);
    json!({
        "repository": repository, "points": points, "error": error,
        "removed_files": of(|it| it.pruned.files), "removed_bytes": of(|it| it.pruned.bytes),
        "marked_bytes": of(|it| it.pruned.marked), "moved_bytes": of(|it| it.pruned.moved),
        "needed_bytes": of(|it| it.pruned.needed),
    })
}
