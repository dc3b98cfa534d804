//! One thing wrong with a file: where, what, and what to do about it, in the words of those who write files.
//!
//! Apart because types say what they expect in the words of the language; here those words are replaced.

use super::{Node, Position};
use serde::de::{self, Expected, Unexpected};
use std::fmt;

/// One thing wrong with a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Where; unknown for a problem of the whole file.
    pub position: Option<Position>,
    /// What is wrong, in one sentence without a full stop.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at a node.
    pub fn new(node: &Node, text: impl Into<String>) -> Self {
        Self { position: Some(node.position), text: text.into(), hint: None }
    }

    /// A problem of the whole file.
    pub fn whole(text: impl Into<String>) -> Self {
        Self { position: None, text: text.into(), hint: None }
    }

    /// The same, with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same at a place, if it has none yet.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position.get_or_insert(position);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    /// What stands behind the first semicolon is the hint.
    fn custom<T: fmt::Display>(text: T) -> Self {
        let text = text.to_string();
        match text.split_once("; ") {
            Some((text, hint)) => Self::whole(text).hint(hint),
            None => Self::whole(text),
        }
    }

    fn invalid_type(unexpected: Unexpected, expected: &dyn Expected) -> Self {
        mismatch(&found(unexpected), &expected.to_string())
    }

    fn invalid_value(unexpected: Unexpected, expected: &dyn Expected) -> Self {
        mismatch(&found(unexpected), &expected.to_string())
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        mismatch(&format!("{length} of them"), &expected.to_string())
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        unknown("word", name, known)
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        unknown("key", name, known)
    }

    fn missing_field(name: &'static str) -> Self {
        Self::whole(format!("the key `{name}` is missing")).hint(format!("add `{name}: …`"))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::whole(format!("the key `{name}` stands here twice")).hint("remove one of the two")
    }
}

/// The known word that looks most like `name`.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)))
}

/// A text of a file for a message: in backticks, on one line, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(40).collect();
    let rest = if short.len() < text.trim_end().len() { "…" } else { "" };
    format!("`{short}{rest}`")
}

/// Something else stands where one word of a list is expected.
pub(super) fn expected_word(known: &[&str], found: impl fmt::Display) -> Problem {
    Problem::whole(format!("expected a word, found {found}")).hint(format!("known: {}", known.join(", ")))
}

/// A number for a message: as it is written, unless it is very long.
pub(super) fn number(n: f64) -> String {
    if n == 0.0 || (1e-6..1e15).contains(&n.abs()) { n.to_string() } else { format!("{n:e}") }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Problem {
    let problem = Problem::whole(format!("unknown {what} `{name}`"));
    match nearest(name, known.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`? known: {}", known.join(", "))),
        None => problem.hint(format!("no {what} stands here")),
    }
}

fn found(unexpected: Unexpected) -> String {
    match unexpected {
        Unexpected::Bool(b) => format!("`{b}`"),
        Unexpected::Unsigned(n) => format!("the number {n}"),
        Unexpected::Signed(n) => format!("the number {n}"),
        Unexpected::Float(n) => format!("the number {}", number(n)),
        Unexpected::Char(c) => format!("`{c}`"),
        Unexpected::Str(text) => quoted(text),
        Unexpected::Unit | Unexpected::Option => "nothing".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "keys and values".into(),
        _ => "something else".into(),
    }
}

/// Something else stands where a type expects something.
fn mismatch(found: &str, expected: &str) -> Problem {
    let (words, hint) = match expected {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => ("a whole number, 0 or more", "such as 3"),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => ("a whole number", "such as 3"),
        "f32" | "f64" => ("a number", "such as 0.5"),
        "a boolean" => ("`true` or `false`", "write one of the two"),
        "a string" | "a borrowed string" | "string" | "a character" => ("a text", "put the text in quotes"),
        "field identifier" => ("a key", "a key is a word"),
        "variant identifier" => ("a word", "leave out all else"),
        "path string" => ("a path", "put it in quotes"),
        "unit" => ("nothing", "leave the value out"),
        "a sequence" => ("a list", LIST),
        _ if expected.starts_with("an array of") || expected.starts_with("a tuple of") => ("a list", LIST),
        "a map" => ("keys and values", KEYS),
        _ if expected.starts_with("struct ") || expected.starts_with("tuple ") => ("keys and values", KEYS),
        _ if expected.starts_with("enum") => ("a word or a single key", KEYS),
        own => {
            let own = own.trim_start_matches("expected ");
            let is_type = own.starts_with(char::is_uppercase) && own.chars().all(char::is_alphanumeric);
            let own = if is_type { format!("the keys of a `{own}`") } else { own.to_owned() };
            return Problem::whole(format!("expected {own}, found {found}")).hint(KEYS);
        }
    };
    Problem::whole(format!("expected {words}, found {found}")).hint(hint)
}

const LIST: &str = "write `[a, b]`, or each item on a line of its own behind `- `";
const KEYS: &str = "write lines such as `key: value`, or `{ key: value }`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_a_short_one_is_not() {
        assert_eq!(quoted("often"), "`often`");
        assert_eq!(quoted("one\ntwo"), "`one…`");
        assert_eq!(quoted(&"x".repeat(50)), format!("`{}…`", "x".repeat(40)));
    }

    #[test]
    fn what_stands_behind_a_semicolon_is_the_hint() {
        let problem: Problem = de::Error::custom("no unit; did you mean `60s`?");
        assert_eq!((problem.text.as_str(), problem.hint.as_deref()), ("no unit", Some("did you mean `60s`?")));
    }
}
