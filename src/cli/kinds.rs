//! `lifeboat kinds`: what files may name, seam by seam; or one of them in full.

use super::console::{out, width};
use super::settings::settings;
use super::{CommandResult, Failure, exit};
use crate::client::Error;
use crate::node::nearest;
use crate::report::columns::{table, wrapped};
use crate::spec::catalogue::{Listed, catalogue};
use crate::spec::schema::{self, generator, whole};
use serde_json::Value;

/// What `kinds` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One kind, by its key; without it all are listed
    name: Option<String>,
    /// Print JSON: each kind with its sentence, its example and its JSON Schema
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> CommandResult {
    let all = catalogue();
    let found: Vec<_> = all.iter().filter(|kind| args.name.as_ref().is_none_or(|name| kind.name == name)).collect();
    if let Some(name) = args.name.as_ref().filter(|_| found.is_empty()) {
        let near = nearest(name, all.iter().map(|kind| kind.name));
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let hint = Some(format!("{near}`lifeboat kinds` lists all"));
        return Err(Failure::Usage(format!("there is no kind `{name}`"), hint));
    }
    if args.json {
        let kinds = named(schema::kinds(), args.name.as_deref());
        out(serde_json::to_string_pretty(&kinds).map_err(|e| Error::caused_by("cannot write the schema", e))?)?;
    } else if args.name.is_some() {
        out(found.into_iter().map(full).collect::<Vec<_>>().join("\n\n"))?;
    } else {
        let row = |kind: &&Listed| [kind.seam, kind.name, kind.about].map(str::to_owned).to_vec();
        out(table(&["seam", "name", "about"], found.iter().map(row).collect(), width()))?;
    }
    Ok(exit::MET)
}

/// Of all kinds by seam and name, those of one name.
fn named(mut seams: Value, name: Option<&str>) -> Value {
    if let (Some(seams), Some(name)) = (seams.as_object_mut(), name) {
        for kinds in seams.values_mut().filter_map(Value::as_object_mut) {
            kinds.retain(|kind, _| kind == name);
        }
        seams.retain(|_, kinds| kinds.as_object().is_some_and(|kinds| !kinds.is_empty()));
    }
    seams
}

/// A kind with its keys, its example, what may stand beside it and what it puts out.
fn full(kind: &Listed) -> String {
    let mut g = generator();
    let schema = whole((kind.schema)(&mut g), &mut g);
    let rows = settings(&schema).into_iter().map(|it| vec![it.key, it.default, it.meaning]).collect();
    let keys = match table(&["key", "default", "meaning"], rows, width()) {
        keys if keys.is_empty() => "It has no keys.".to_owned(),
        keys => keys,
    };
    let head = wrapped(&format!("{} {}: {}", kind.seam, kind.name, kind.about), "  ", width());
    let mut parts = vec![head, keys, format!("Example:\n{}", indent(kind.example))];
    for (what, names) in [("Keys beside it", kind.beside), ("Outputs for later steps", kind.outputs())] {
        if !names.is_empty() {
            parts.push(wrapped(&format!("{what}: {}", names.join(", ")), "  ", width()));
        }
    }
    parts.join("\n\n")
}

fn indent(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
