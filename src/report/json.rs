//! `report.json`: the report for programs, with a published schema.
//!
//! Apart from the others because programs rely on its fields. Nothing is rounded here.

use super::Format;
use crate::client::Error;
use crate::model::report::Report;

/// The report for programs.
pub const FORMAT: Format = Format {
    name: "json",
    file: "report.json",
    about: "The whole report for programs; see `lifeboat schema`.",
    render,
};

/// The JSON Schema of the report.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Report).to_value()
}

/// The report as bytes.
///
/// # Errors
/// When it cannot be written in this format.
pub fn render(report: &Report) -> Result<Vec<u8>, Error> {
    let what = || format!("cannot write the report of `{}`", report.run);
    let mut bytes = serde_json::to_vec_pretty(report).map_err(|e| Error::caused_by(what(), e))?;
    bytes.push(b'\n');
    Ok(bytes)
}
