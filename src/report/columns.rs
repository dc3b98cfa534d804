//! Tables of text: the one place that builds them, for reports and for commands.
//!
//! Apart so that all tables keep the same rules: a table fits its width, the longest column gives way first and wraps
//! between words, no line ends in blanks, and a verdict has its colour.

use super::words;
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::peaker::PriorityMax;
use tabled::settings::style::HorizontalLine;
use tabled::settings::{Color, Modify, Padding, Style, Width};

/// No table is narrower, however small the terminal.
pub const NARROWEST: usize = 40;
/// The columns whose cells are verdicts.
const VERDICTS: &[&str] = &["verdict", "expected"];

/// A table as lines of at most `width` characters, with a line under the head; nothing if it has no rows.
pub fn table(columns: &[&str], rows: Vec<Vec<String>>, width: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let colours = verdicts(columns, &rows);
    let mut builder = Builder::default();
    builder.push_record(columns.iter().copied());
    rows.into_iter().for_each(|row| builder.push_record(row));
    let mut table = builder.build();
    let line = HorizontalLine::new('─').intersection('─');
    table.with(Style::blank().horizontals([(1, line)]));
    table.with(Padding::new(0, 1, 0, 0));
    table.with(Modify::new(Columns::last()).with(Padding::zero()));
    table.with(Width::wrap(width.max(NARROWEST)).keep_words(true).priority(PriorityMax::right()));
    for (row, column, colour) in colours {
        table.with(Modify::new((row, column)).with(colour));
    }
    table.with(Modify::new(Rows::first()).with(Color::BOLD));
    table.to_string().lines().map(trimmed).collect::<Vec<_>>().join("\n")
}

/// The cells that are verdicts, with their colours.
fn verdicts(columns: &[&str], rows: &[Vec<String>]) -> Vec<(usize, usize, Color)> {
    let is_verdict = |column: &usize| VERDICTS.contains(&columns[*column]);
    let mut found = vec![];
    for (n, row) in rows.iter().enumerate() {
        let cells = (0..row.len().min(columns.len())).filter(is_verdict);
        found.extend(cells.filter_map(|column| Some((n + 1, column, words::colour(&row[column])?))));
    }
    let colour = |colour: anstyle::AnsiColor| match colour {
        anstyle::AnsiColor::Green => Color::FG_GREEN,
        anstyle::AnsiColor::Red => Color::FG_RED,
        _ => Color::FG_YELLOW,
    };
    found.into_iter().map(|(row, column, c)| (row, column, colour(c))).collect()
}

/// A line without blanks at its end, those before a closing colour included.
fn trimmed(line: &str) -> String {
    let line = line.trim_end();
    match line.strip_suffix('m').and_then(|line| line.rsplit_once('\u{1b}')) {
        Some((text, code)) if text.ends_with(' ') => format!("{}\u{1b}{code}m", text.trim_end()),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_long_reason_gives_way_and_the_others_keep_their_width() {
        let why = "the service was not back and stable within the limit, ".repeat(6);
        let row = ["restore-postgres", "13.1 s", "missed", &why].map(str::to_owned).to_vec();
        let text = plain(&table(&["step", "took", "verdict", "why"], vec![row], 80));
        assert!(text.lines().all(|line| line.chars().count() <= 80 && line.trim_end() == line), "{text}");
        assert!(text.lines().nth(2).is_some_and(|l| l.starts_with("restore-postgres  13.1 s  missed   the")), "{text}");
    }

    #[test]
    fn a_verdict_has_its_colour_and_a_word_elsewhere_has_none() {
        let rows = vec![vec!["met".to_owned(), "missed".to_owned()]];
        let text = table(&["check", "verdict"], rows, 80);
        assert!(text.contains("\u{1b}[31mmissed") && !text.contains("\u{1b}[32m"), "{text:?}");
    }
}
