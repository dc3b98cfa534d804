//! Tables of text: the one place that builds them, for reports and for commands.
//!
//! Apart so that all tables keep the same rules: a table fits its width, the longest column gives way first and wraps
//! between words, a long word is broken last, no line ends in blanks, and a verdict has its colour.

use super::words;
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Rows};
use tabled::settings::style::HorizontalLine;
use tabled::settings::{Color, Modify, Padding, Style};

/// No table is narrower, however small the terminal.
pub const NARROWEST: usize = 40;
/// The columns whose cells are verdicts.
const VERDICTS: &[&str] = &["verdict", "expected"];
/// The blanks between two columns.
const GAP: usize = 2;
/// No column is made narrower.
const THINNEST: usize = 6;

/// A table as lines of at most `width` characters, with a line under the head; nothing if it has no rows.
pub fn table(columns: &[&str], rows: Vec<Vec<String>>, width: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let colours = verdicts(columns, &rows);
    let rows: Vec<Vec<String>> =
        std::iter::once(columns.iter().map(|&name| name.to_owned()).collect()).chain(rows).collect();
    let widths = widths(&rows, width.max(NARROWEST));
    let mut builder = Builder::default();
    for row in rows {
        builder.push_record(row.iter().zip(&widths).map(|(cell, width)| wrapped(cell, "", *width)));
    }
    let mut table = builder.build();
    let line = HorizontalLine::new('─').intersection('─');
    table.with(Style::blank().horizontals([(1, line)]));
    table.with(Padding::new(0, 1, 0, 0));
    table.with(Modify::new(Columns::last()).with(Padding::zero()));
    for (row, column, colour) in colours {
        table.with(Modify::new((row, column)).with(colour));
    }
    table.with(Modify::new(Rows::first()).with(Color::BOLD));
    table.to_string().lines().map(trimmed).collect::<Vec<_>>().join("\n")
}

/// How wide each column may be. The widest one gives way while it is wider than its longest word; when all words are
/// as long as their columns, the widest one gives way all the same.
fn widths(rows: &[Vec<String>], width: usize) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let longest = |column: usize, length: fn(&str) -> usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| length(cell)).max().unwrap_or(0)
    };
    let word = |cell: &str| cell.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
    let mut widths: Vec<_> = (0..columns).map(|column| longest(column, |cell| cell.chars().count())).collect();
    let words: Vec<_> = (0..columns).map(|column| longest(column, word)).collect();
    let room = width.saturating_sub(GAP * columns.saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let widest = |least: &dyn Fn(usize) -> usize| {
            (0..columns).filter(|column| widths[*column] > least(*column)).max_by_key(|column| widths[*column])
        };
        let gives_way = widest(&|column| words[column].max(THINNEST)).or_else(|| widest(&|_| THINNEST));
        let Some(column) = gives_way else { break };
        widths[column] -= 1;
    }
    widths
}

/// A text over several lines of at most `width` characters; the later ones are indented. A word that is longer than a
/// line is broken.
pub fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let lead: String = text.chars().take_while(|c| *c == ' ').collect();
    let (mut lines, mut line, mut empty) = (vec![], lead, true);
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if !empty && line.chars().count() + 1 + word.len() > width {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            empty = true;
        }
        while empty && line.chars().count() + word.len() > width && width > indent.len() + 1 {
            let rest = word.split_off(width.saturating_sub(line.chars().count()).max(1));
            line.extend(word);
            word = rest;
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        }
        if !empty {
            line.push(' ');
        }
        line.extend(word);
        empty = false;
    }
    lines.push(line);
    lines.join("\n")
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

/// A line without blanks at its end, those between colours included.
fn trimmed(line: &str) -> String {
    let (mut text, mut colours) = (line.trim_end(), String::new());
    while let Some(start) = text.rfind('\u{1b}').filter(|start| is_colour(&text[*start..])) {
        colours.insert_str(0, &text[start..]);
        text = text[..start].trim_end();
    }
    format!("{text}{colours}")
}

/// Is it a colour's code, and nothing else?
fn is_colour(text: &str) -> bool {
    let code = text.strip_prefix("\u{1b}[").and_then(|text| text.strip_suffix('m'));
    code.is_some_and(|code| code.chars().all(|c| c.is_ascii_digit() || c == ';'))
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
    fn a_name_stays_whole_while_other_columns_have_words_to_wrap() {
        let row = ["database-drop-20260304T050607-0a1b", "at least 5m3s at read", "2026-03-04 05:06:07"];
        let text = plain(&table(&["run", "RTA", "began"], vec![row.map(str::to_owned).to_vec()], 60));
        assert!(text.contains("database-drop-20260304T050607-0a1b  at least"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert_eq!(wrapped("a abcdefgh", "", 4), "a\nabcd\nefgh");
    }

    #[test]
    fn a_verdict_has_its_colour_and_a_word_elsewhere_has_none() {
        let rows = vec![vec!["met".to_owned(), "missed".to_owned()]];
        let text = table(&["check", "verdict"], rows, 80);
        assert!(text.contains("\u{1b}[31mmissed") && !text.contains("\u{1b}[32m"), "{text:?}");
    }
}
