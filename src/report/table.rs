//! The report on a terminal: the verdict first, then measurements, losses, checks and steps, within the terminal's width.
//!
//! Apart from the formats because it is not a file: it may leave out what a file has.

use super::columns::{NARROWEST, table, wrapped};
use super::words::{self, count, promised, time, time_or_dash, verdict, with_band};
use crate::model::Verdict;
use crate::model::report::{Measurement, Report};

/// The number of losses that are named here; the files name all.
const LOSSES: usize = 10;

/// The report as lines of at most `width` characters.
pub fn render(report: &Report, width: usize) -> String {
    let width = width.max(NARROWEST);
    let mut blocks = vec![head(report, width), objectives(report, width), writes(report, width)];
    blocks.extend([checks(report, width), steps(report, width)]);
    let skipped = report.skipped.iter().map(|step| format!("{}: {}", step.id, step.reason));
    blocks.push(list("Skipped steps", skipped, width));
    blocks.push(list("Caveats", report.caveats.iter().cloned(), width));
    blocks.push(losses(report, width));
    blocks.push(list("Left behind", report.left.iter().cloned(), width));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n") + "\n"
}

fn head(report: &Report, width: usize) -> String {
    let took = time(report.seconds);
    let mut lines = vec![format!("{}  {} ({took}, run {})", report.verdict, report.drill, report.run)];
    for judgement in report.judgements.iter().filter(|judgement| judgement.verdict != Verdict::Met) {
        let reason = judgement.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("  {} {}{reason}", judgement.what, judgement.verdict));
    }
    let text = lines.iter().map(|line| wrapped(line, "    ", width)).collect::<Vec<_>>().join("\n");
    let word = report.verdict.to_string(); // it begins the first line; only its colour is new, so that lines still fit
    text.replacen(&word, &words::painted(&word.to_uppercase()), 1)
}

fn objectives(report: &Report, width: usize) -> String {
    let row = |what: String, m: &Measurement| vec![what, with_band(m), promised(m.objective), verdict(m.verdict)];
    let rta = report.measurements.rta.iter().map(|(depth, m)| row(format!("recovery time, {depth}"), m));
    let rows = rta.chain([row("recovery point".into(), &report.measurements.rpa.strict)]).collect();
    table(&["what", "actual", "objective", "verdict"], rows, width)
}

fn writes(report: &Report, width: usize) -> String {
    let w = &report.writes;
    if w.sent == 0 {
        return String::new();
    }
    let counts = [Some(w.acknowledged), w.survived, w.lost, w.half, w.corrupted, w.resurrected, Some(w.indeterminate)];
    let columns = ["writes", "survived", "lost", "half", "corrupted", "resurrected", "indeterminate"];
    let counted = table(&columns, vec![counts.into_iter().map(count).collect()], width);
    let took = w.times.as_ref().map(|times| wrapped(&words::write_times(times), "", width));
    [Some(counted), took].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn checks(report: &Report, width: usize) -> String {
    let row = |check: &crate::model::report::CheckReport| {
        vec![check.name.clone(), check.verdict.to_string(), check.reason.clone().unwrap_or_default()]
    };
    table(&["check", "verdict", "why"], report.checks.iter().map(row).collect(), width)
}

fn steps(report: &Report, width: usize) -> String {
    let row = |step: &crate::model::report::StepReport| {
        let took = time_or_dash(step.end.map(|end| end - step.begin));
        vec![step.id.clone(), took, step.verdict.to_string(), step.reason.clone().unwrap_or_default()]
    };
    table(&["step", "took", "verdict", "why"], report.steps.iter().map(row).collect(), width)
}

fn losses(report: &Report, width: usize) -> String {
    let named = report.losses.iter().take(LOSSES);
    let mut lines: Vec<String> =
        named.map(|loss| format!("{} {}", format!("{:?}", loss.kind).to_lowercase(), loss.name)).collect();
    if let Some(more) = report.losses.len().checked_sub(LOSSES).filter(|more| *more > 0) {
        lines.push(format!("and {more} more, see report.md"));
    }
    list("Losses", lines.into_iter(), width)
}

/// A list with a title, or nothing if it is empty.
fn list(title: &str, items: impl Iterator<Item = String>, width: usize) -> String {
    let items: Vec<_> = items.map(|item| wrapped(&format!("- {item}"), "  ", width)).collect();
    if items.is_empty() { String::new() } else { format!("{title}\n{}", items.join("\n")) }
}
