//! `report.md`: the report to read and to keep as evidence, with every loss by name.
//!
//! Apart from the terminal's table because a file has no width and names everything.

use super::Format;
use super::words::{self, count, exact, promised, verdict, with_band};
use crate::client::Error;
use crate::model::report::{Measurement, Report};
use std::fmt::Write;

/// The report to read.
pub const FORMAT: Format =
    Format { name: "markdown", file: "report.md", about: "The report to read, with every loss by name.", render };

/// The report as bytes.
///
/// # Errors
/// When it cannot be written in this format.
pub fn render(report: &Report) -> Result<Vec<u8>, Error> {
    let mut text = head(report);
    for part in [objectives, judgements, writes, checks, steps, skipped, course, backups, notes, caveats, losses] {
        let part = part(report);
        if !part.is_empty() {
            text.push('\n');
            text.push_str(&part);
        }
    }
    Ok(text.into_bytes())
}

fn head(report: &Report) -> String {
    let Report { drill, scenario, about, run, environment, began, seconds, plan, version, .. } = report;
    let (began, took) = (words::date(began), words::time(*seconds));
    let mut text = format!("# {drill}: {}\n\n", report.verdict);
    if !about.is_empty() {
        let _ = write!(text, "{about}\n\n"); // writing to a string cannot fail
    }
    let _ = writeln!(text, "Run `{run}` of scenario `{scenario}` on `{environment}`, begun {began} UTC, {took}.");
    let _ = writeln!(text, "Plan `{plan}`, Lifeboat {version}.");
    if !report.left.is_empty() {
        let _ = writeln!(text, "\n**Left behind** (`lifeboat cleanup {run}`):\n");
        text.extend(report.left.iter().map(|left| format!("- {left}\n")));
    }
    text
}

fn objectives(report: &Report) -> String {
    let row = |what: String, m: &Measurement| {
        vec![what, with_band(m), promised(m.objective), verdict(m.verdict), m.reason.clone().unwrap_or_default()]
    };
    let rta = report.measurements.rta.iter().map(|(depth, m)| row(format!("Recovery time at `{depth}`"), m));
    let rpa = &report.measurements.rpa;
    let rows: Vec<_> = rta.chain([row("Recovery point".into(), &rpa.strict)]).collect();
    let mut text = section("Objectives", &["What", "Actual (band)", "Objective", "Verdict", "Why"], &rows);
    if let Some(newest) = rpa.newest_survivor {
        let _ = writeln!(text, "\nThe newest surviving write is {} older than the disaster.", words::time(newest));
    }
    text
}

fn judgements(report: &Report) -> String {
    let row = |j: &crate::model::report::Judgement| {
        vec![j.what.clone(), j.verdict.to_string(), j.reason.clone().unwrap_or_default()]
    };
    section("Judgements", &["What", "Verdict", "Why"], &report.judgements.iter().map(row).collect::<Vec<_>>())
}

fn writes(report: &Report) -> String {
    let w = &report.writes;
    if w.sent == 0 {
        return String::new();
    }
    let counts = [Some(w.sent), Some(w.acknowledged), w.survived, w.lost, w.half, w.corrupted, w.resurrected];
    let row = counts.into_iter().chain([Some(w.indeterminate)]).map(count).collect();
    let columns =
        ["Sent", "Acknowledged", "Survived", "Lost", "Half there", "Corrupted", "Resurrected", "Indeterminate"];
    let mut text = section("Writes", &columns, &[row]);
    if let Some(times) = &w.times {
        let _ = writeln!(text, "\n{}", words::write_times(times));
    }
    text
}

fn checks(report: &Report) -> String {
    let row = |c: &crate::model::report::CheckReport| {
        vec![c.name.clone(), c.verdict.to_string(), c.reason.clone().unwrap_or_default(), figures(&c.figures)]
    };
    section("Checks", &["Check", "Verdict", "Why", "Figures"], &report.checks.iter().map(row).collect::<Vec<_>>())
}

fn steps(report: &Report) -> String {
    let row = |s: &crate::model::report::StepReport| {
        let took = s.end.map(|end| end - s.begin);
        let (why, figures) = (s.reason.clone().unwrap_or_default(), figures(&s.figures));
        vec![
            s.id.clone(),
            s.kind.clone(),
            exact(s.begin),
            took.map_or_else(|| "–".to_owned(), exact),
            s.verdict.to_string(),
            why,
            figures,
        ]
    };
    let columns = ["Step", "Kind", "Began", "Took", "Verdict", "Why", "Figures"];
    section("Steps", &columns, &report.steps.iter().map(row).collect::<Vec<_>>())
}

fn skipped(report: &Report) -> String {
    let rows: Vec<_> = report.skipped.iter().map(|s| vec![s.id.clone(), s.reason.clone()]).collect();
    section("Skipped steps", &["Step", "Why"], &rows)
}

/// The course of the run: phases, moments, probes.
fn course(report: &Report) -> String {
    let phases: Vec<_> =
        report.phases.iter().map(|p| vec![p.name.clone(), exact(p.begin), exact(p.end - p.begin)]).collect();
    let mut moments: Vec<_> = report.moments.iter().collect();
    moments.sort_by(|a, b| a.1.total_cmp(b.1));
    let moments: Vec<_> = moments.iter().map(|(name, at)| vec![name.replace('_', " "), exact(**at)]).collect();
    let probe = |p: &crate::model::report::ProbeFigures| {
        let ms = |ms: f64| format!("{ms:.1} ms");
        let answers = [p.served, p.failed, p.unasked].map(|n| n.to_string());
        let baseline = p.baseline_p99_ms.map_or_else(|| "–".to_owned(), ms);
        [vec![p.depth.to_string(), promised(Some(p.every))], answers.to_vec(), vec![ms(p.late_p99_ms), baseline]]
            .concat()
    };
    let probes: Vec<_> = report.probes.iter().map(probe).collect();
    let columns = ["Probe", "Every", "Served", "Failed", "Unasked", "Late (p99)", "Answer before the fault (p99)"];
    [
        section("Phases", &["Phase", "Began", "Took"], &phases),
        section("Moments", &["Moment", "At"], &moments),
        section("Probes", &columns, &probes),
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join("\n")
}

fn backups(report: &Report) -> String {
    let row = |p: &crate::model::RecoveryPoint| {
        let bytes = p.bytes.map_or_else(|| "–".to_owned(), words::bytes);
        vec![p.id.clone(), exact(p.snapshot.seconds()), words::date(&p.taken_at.to_string()), bytes]
    };
    let rows: Vec<_> = report.points.iter().map(row).collect();
    section("Recovery points", &["Point", "Snapshot", "Wall time (UTC)", "Bytes"], &rows)
}

fn notes(report: &Report) -> String {
    let rows: Vec<_> = report.notes.iter().map(|note| vec![exact(note.at), note.text.clone()]).collect();
    section("Notes", &["At", "What"], &rows)
}

fn caveats(report: &Report) -> String {
    if report.caveats.is_empty() {
        return String::new();
    }
    let mut text = "## Caveats\n\n".to_owned();
    text.extend(report.caveats.iter().map(|caveat| format!("- {caveat}\n")));
    text
}

fn losses(report: &Report) -> String {
    let row = |loss: &crate::model::report::Loss| {
        vec![format!("{:?}", loss.kind).to_lowercase(), loss.name.clone(), exact(loss.at)]
    };
    let rows: Vec<_> = report.losses.iter().map(row).collect();
    section("Losses", &["Kind", "Name", "Acknowledged at"], &rows)
}

fn figures(figures: &[(String, String)]) -> String {
    figures.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// A headed table, or nothing if it has no rows.
fn section(title: &str, columns: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("## {title}\n\n| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}
