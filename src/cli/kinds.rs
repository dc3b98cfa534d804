//! `lifeboat kinds`: what files may name, seam by seam; or one of them in full.

use super::console::out;
use super::{Answer, Failure, exit};
use crate::node::nearest;
use crate::spec::catalogue::{Listed, catalogue};
use crate::spec::schema::{generator, whole};
use tabled::builder::Builder;
use tabled::settings::Style;

/// What `kinds` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One kind, by its key; without it all are listed
    name: Option<String>,
}

pub(super) fn main(args: &Args) -> Answer {
    let all = catalogue();
    let Some(name) = &args.name else {
        let mut table = Builder::default();
        table.push_record(["seam", "name", "about"]);
        for kind in &all {
            table.push_record([kind.seam, kind.name, kind.about]);
        }
        out(table.build().with(Style::blank()).to_string());
        return Ok(exit::MET);
    };
    let found: Vec<_> = all.iter().filter(|kind| kind.name == name).collect();
    if found.is_empty() {
        let near = nearest(name, all.iter().map(|kind| kind.name));
        let hint = near.map(|near| format!("did you mean `{near}`? `lifeboat kinds` lists all"));
        return Err(Failure::Usage(format!("there is no kind `{name}`"), hint));
    }
    out(found.into_iter().map(full).collect::<Vec<_>>().join("\n\n"));
    Ok(exit::MET)
}

fn full(kind: &Listed) -> String {
    let mut g = generator();
    let schema = whole((kind.schema)(&mut g), &mut g);
    let schema = serde_json::to_string_pretty(&schema).unwrap_or_default();
    let named = |what: &str, names: &[&str]| match names {
        [] => String::new(),
        names => format!("{what}: {}\n\n", names.join(", ")),
    };
    let (beside, outputs) = (named("beside it", kind.beside), named("outputs", kind.outputs()));
    let head = format!("{} `{}`: {}\n\nexample:\n{}", kind.seam, kind.name, kind.about, indent(kind.example));
    format!("{head}\n\n{beside}{outputs}schema:\n{schema}")
}

fn indent(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
