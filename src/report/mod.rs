//! The seam of report formats: a report becomes bytes, and nothing else happens.
//!
//! Rules. A format is pure and computes no number of its own. It never shows unknown as met. Every file names all losses;
//! only the terminal may shorten the list, and says so.

pub mod columns;
pub mod json;
pub mod markdown;
pub mod table;
pub mod words;

use crate::client::Error;
use crate::model::report::Report;

/// Every format that is written into a run's folder, in the order of the documentation.
pub const REPORTS: &[Format] = &[json::FORMAT, markdown::FORMAT];

/// A file format for reports.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// The file it goes into, in the run's folder.
    pub file: &'static str,
    /// One sentence that describes it.
    pub about: &'static str,
    /// Renders a report.
    pub render: fn(&Report) -> Result<Vec<u8>, Error>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::report::{Loss, Measurement, SCHEMA, Skipped};
    use crate::model::{Depth, MarkState, Verdict};

    fn report() -> Report {
        let mut report = crate::measure::measure(&[]);
        let rta = Measurement {
            seconds: Some(3.21),
            low: Some(3.16),
            high: Some(3.26),
            objective: Some(120.0),
            verdict: Some(Verdict::Met),
            reason: None,
        };
        report.drill = "database-drop".into();
        report.measurements.rta.insert(Depth::Read, rta);
        let loss = |n| Loss { kind: MarkState::Lost, name: format!("run {n} | odd, mark {n}"), at: 1.5 };
        report.losses = (1..=25).map(loss).collect();
        report
    }

    #[test]
    fn the_published_schema_and_the_json_name_the_same_fields() {
        let value: serde_json::Value = serde_json::from_slice(&(json::FORMAT.render)(&report()).unwrap()).unwrap();
        let schema = json::schema();
        let properties = schema["properties"].as_object().unwrap();
        assert!(value.as_object().unwrap().keys().all(|key| properties.contains_key(key)));
        assert_eq!(value["schema"], SCHEMA);
        assert_eq!(value["measurements"]["rta"]["read"]["verdict"], "met");
        assert!(value["measurements"]["rpa"]["seconds"].is_null());
    }

    #[test]
    fn json_is_read_back_as_it_was_and_ends_with_a_newline() {
        let bytes = (json::FORMAT.render)(&report()).unwrap();
        assert_eq!(bytes.last(), Some(&b'\n'));
        assert_eq!(serde_json::from_slice::<Report>(&bytes).unwrap(), report());
    }

    #[test]
    fn markdown_names_every_loss() {
        let text = String::from_utf8((markdown::FORMAT.render)(&report()).unwrap()).unwrap();
        assert!((1..=25).all(|n| text.contains(&format!("mark {n} |"))), "{text}");
        assert!(text.contains("run 7 \\| odd"), "a pipe in a name does not break the table");
    }

    #[test]
    fn a_skipped_step_is_shown_with_its_reason() {
        let mut report = report();
        assert!(!table::render(&report, 100).contains("Skipped"), "no headline over nothing");
        report.skipped.push(Skipped { id: "restore-postgres".into(), reason: "nothing before it failed".into() });
        let text = String::from_utf8((markdown::FORMAT.render)(&report).unwrap()).unwrap();
        assert!(text.contains("| restore-postgres | nothing before it failed |"), "{text}");
        assert!(table::render(&report, 100).contains("- restore-postgres: nothing before it failed"));
        let json: serde_json::Value = serde_json::from_slice(&(json::FORMAT.render)(&report).unwrap()).unwrap();
        assert_eq!(json["skipped"][0]["id"], "restore-postgres");
    }

    #[test]
    fn the_console_begins_with_the_verdict_and_names_ten_losses_and_the_rest_by_number() {
        let text = anstream::adapter::strip_str(&table::render(&report(), 100)).to_string();
        assert!(text.lines().next().unwrap().contains("UNKNOWN"), "{text}");
        assert!(text.contains("3.21 s (3.16 to 3.26)") && text.contains("and 15 more, see report.md"), "{text}");
        assert!(text.contains("mark 10") && !text.contains("mark 11"));
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn every_format_has_its_own_name_and_file() {
        for (i, a) in REPORTS.iter().enumerate() {
            assert!(REPORTS[i + 1..].iter().all(|b| a.name != b.name && a.file != b.file));
        }
    }
}
