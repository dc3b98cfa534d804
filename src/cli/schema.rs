//! `lifeboat schema`: JSON Schemas, for editors and other programs.

use super::console::out;
use super::{CommandResult, exit};
use crate::client::Error;
use crate::spec::schema;
use serde_json::json;

/// What `schema` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Of what; without it one object holds the schemas of drill, scenario, protection and report
    of: Option<Of>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Of {
    Drill,
    Scenario,
    Protection,
    Report,
    Kinds,
}

pub(super) fn main(args: &Args) -> CommandResult {
    let value = match args.of {
        Some(Of::Drill) => schema::drill().to_value(),
        Some(Of::Scenario) => schema::scenario().to_value(),
        Some(Of::Protection) => schema::protection().to_value(),
        Some(Of::Report) => schema::report().to_value(),
        Some(Of::Kinds) => schema::kinds(),
        None => json!({ "drill": schema::drill(), "scenario": schema::scenario(), "protection": schema::protection(),
            "report": schema::report() }),
    };
    out(serde_json::to_string_pretty(&value).map_err(|e| Error::caused_by("cannot write the schema", e))?)?;
    Ok(exit::MET)
}
