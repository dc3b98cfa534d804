//! Text to a tree of nodes; what is not YAML is told in the words of those who write it.
//!
//! Apart because only here the YAML library is known. It stops at the first mistake: a file that is not YAML has no
//! second one worth showing.

use super::problem::Problem;
use super::{Node, Position, Value};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::{Budget, BudgetBreach};
use serde_saphyr::granit_parser::ErrorKind as Scan;
use serde_saphyr::localizer::ExternalMessageSource;
use serde_saphyr::{Error, Spanned};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// Parses a file's text.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Node, Problem> {
    let mut budget = Budget::default();
    budget.max_depth = DEPTH;
    let options = serde_saphyr::options! { budget: Some(budget) };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| mistake(text, &error))
}

/// Deeper than any drill is nested, and not so deep that a thread's stack ends before.
const DEPTH: usize = 32;

/// Parses a text that may hold several documents.
///
/// # Errors
/// The first mistake.
pub fn parse_all(text: &str) -> Result<Vec<Node>, Problem> {
    serde_saphyr::from_multiple::<Node>(text).map_err(|error| mistake(text, &error))
}

fn mistake(written: &str, error: &Error) -> Problem {
    let (text, hint) = said(error.without_snippet());
    let place = error.location().map(|at| Position { line: at.line(), column: at.column(), id: 0 });
    let place = place.map(|at| if text == TAB.0 { first_tab(written, at).unwrap_or(at) } else { at });
    Problem { position: place, text, hint: Some(hint) }
}

/// The first tab that indents a line, from a place on: the library tells of the word before it.
fn first_tab(written: &str, from: Position) -> Option<Position> {
    let indented = |line: &str| line.chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t');
    let lines = (1u64..).zip(written.lines()).skip_while(|(line, _)| *line < from.line);
    let mut tabs = lines.filter_map(|(line, text)| Some((line, indented(text)?)));
    tabs.next().map(|(line, column)| Position { line, column: column as u64 + 1, id: 0 })
}

/// What is wrong, and what to do about it.
fn said(error: &Error) -> (String, String) {
    let (text, hint) = match error {
        Error::ExternalMessage { source, .. } => match source.as_ref() {
            ExternalMessageSource::Parser(scan) => return syntax(scan.kind()),
            _ => NOT_YAML,
        },
        Error::AliasError { error, .. } => return said(error),
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_ref().map_or_else(|| "a key".to_owned(), |key| format!("the key `{key}`"));
            return (format!("{key} stands here twice"), "remove one of the two".into());
        }
        Error::UnsupportedTag { tag, .. } => {
            return (format!("the tag `{tag}` means nothing here"), "leave it out".into());
        }
        Error::NonFiniteFloat { value, .. } => {
            return (format!("`{value}` is no number that can be used"), "write a number, or put it in quotes".into());
        }
        Error::MultipleDocuments { .. } => (
            "a second document begins here, and one file holds one drill or one scenario",
            "put it into a file of its own, or remove the line `---`",
        ),
        Error::Eof { .. } => ENDS,
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } | Error::AliasReplayStackDepthExceeded { .. } => DEEP,
        Error::Budget { .. } => ("there is too much in it to be a drill or scenario", "is it the right file?"),
        Error::AliasReplayLimitExceeded { .. } | Error::AliasExpansionLimitExceeded { .. } => {
            ("its aliases stand for too much", "write out what is meant")
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => ("an alias stands inside of what it means", ALIAS),
        Error::UnknownAnchor { .. } => (UNKNOWN_ANCHOR, ALIAS),
        Error::MergeValueNotMapOrSeqOfMaps { .. } => ("`<<` stands before something that has no keys", ALIAS),
        _ => NOT_YAML,
    };
    (text.into(), hint.into())
}

const NOT_YAML: (&str, &str) =
    ("this is not YAML that can be read", "compare it with what `lifeboat new drill NAME` writes");
const ENDS: (&str, &str) = ("the file ends too early", "close each `[`, `{` and quote");
const DEEP: (&str, &str) = ("it is nested too deep", "no drill or scenario needs as many levels");
const TAB: (&str, &str) = ("a tab stands here", "indent with blanks");
const INDENTATION: (&str, &str) = ("the indentation is wrong", "keys of one level begin in one column");
const COLON: (&str, &str) = (
    "a `:` cannot stand here",
    "is a bracket open, or the line indented too far? a text that holds `: ` belongs in quotes",
);
const ESCAPE: (&str, &str) =
    ("after a `\\` in double quotes stands what it cannot escape", "use single quotes, or write `\\\\`");
const UNKNOWN_ANCHOR: &str = "an alias names what no anchor before it marks";
const ALIAS: &str = "`&name` marks keys and values, `*name` stands for them further down";

/// What is wrong with the text itself.
fn syntax(kind: &Scan) -> (String, String) {
    let (text, hint) = match kind {
        Scan::UnclosedFlowCollection { open } => {
            return (format!("`{open}` is not closed"), "close it on this line or further down".into());
        }
        Scan::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("`{open}` is closed by `{close}`"), "close each bracket with its own kind".into());
        }
        Scan::UnexpectedCharacter { character } => {
            return (format!("`{character}` cannot begin a value"), "put the text in quotes".into());
        }
        Scan::UnexpectedEofFlowSequence
        | Scan::UnexpectedEofFlowMapping
        | Scan::UnexpectedEofImplicitFlowMapping
        | Scan::UnexpectedEofBlockSequence
        | Scan::UnexpectedEofBlockMapping
        | Scan::UnexpectedEof => ENDS,
        Scan::RecursionLimitExceeded => DEEP,
        Scan::UnknownAnchor => (UNKNOWN_ANCHOR, ALIAS),
        Scan::ExpectedFlowMappingSeparator => ("a `,` or `}` is missing", "close each `{` and put `,` between keys"),
        Scan::ExpectedFlowSequenceSeparator => ("a `,` or `]` is missing", "close each `[` and put `,` between items"),
        Scan::MisplacedFlowCollectionEnd => ("this bracket closes nothing", "remove it, or open it before"),
        Scan::UnclosedQuotedScalar | Scan::DocumentIndicatorInQuotedScalar => {
            ("a quote is not closed", "close it with the same sign, `'` or `\"`")
        }
        Scan::InvalidQuotedScalarIndent => {
            ("a text in quotes goes on here", "close the quote further up, or indent this line")
        }
        Scan::InvalidTrailingSingleQuotedScalar | Scan::InvalidTrailingDoubleQuotedScalar => {
            ("something stands behind the closing quote", "put all of the text into the quotes")
        }
        Scan::TabNotAllowed
        | Scan::TabInBlockIndentation
        | Scan::TabInIndentation
        | Scan::TabAtBlockScalarStart
        | Scan::TabInPlainScalar => TAB,
        Scan::SimpleKeyExpected | Scan::InvalidSimpleKey | Scan::ExpectedBlockMappingKey => {
            ("here a key with its `:` is missing", "write `key: value`, each key on a line of its own")
        }
        Scan::CommentNotSeparated | Scan::CommentInterceptedScalar => {
            ("a comment cannot begin here", "put a blank before the `#`, or the text in quotes")
        }
        Scan::BlockSequenceEntryNotAllowed | Scan::BlockEntryInFlowCollection | Scan::ExpectedBlockSequenceEntry => {
            ("a `- ` cannot stand here", "put each item of a list on a line of its own, in one column")
        }
        other => indented(other),
    };
    (text.into(), hint.into())
}

/// What is wrong with columns, colons and quotes.
fn indented(kind: &Scan) -> (&'static str, &'static str) {
    match kind {
        Scan::InvalidIndentation
        | Scan::InvalidBlockScalarIndent
        | Scan::InvalidFlowScalarIndent
        | Scan::ZeroBlockScalarIndent
        | Scan::ExpectedDocumentStart => INDENTATION,
        Scan::MappingKeyNotAllowed
        | Scan::FlowMappingValueAdjacentCollection
        | Scan::InvalidMappingValueWhitespace
        | Scan::InvalidColonPlacement
        | Scan::MappingValueNotAllowed
        | Scan::ExpectedNodeContent => COLON,
        Scan::UnknownQuotedScalarEscape
        | Scan::InvalidQuotedScalarHexEscape
        | Scan::InvalidLowSurrogateHexEscape
        | Scan::InvalidLowSurrogate
        | Scan::MissingLowSurrogate
        | Scan::UnpairedLowSurrogate
        | Scan::InvalidUnicodeEscape => ESCAPE,
        _ => NOT_YAML,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let Spanned { value, referenced: at, .. } = Spanned::<Value>::deserialize(d)?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { value, position: Position { line: at.line(), column: at.column(), id } })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("YAML")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }
    fn visit_i64<E>(self, i: i64) -> Result<Value, E> {
        Ok(Value::Int(i))
    }
    #[allow(clippy::cast_precision_loss)] // no number of a file is as large as that
    fn visit_u64<E>(self, u: u64) -> Result<Value, E> {
        Ok(i64::try_from(u).map_or(Value::Float(u as f64), Value::Int))
    }
    #[allow(clippy::cast_precision_loss)]
    fn visit_i128<E>(self, i: i128) -> Result<Value, E> {
        Ok(Value::Float(i as f64))
    }
    #[allow(clippy::cast_precision_loss)]
    fn visit_u128<E>(self, u: u128) -> Result<Value, E> {
        Ok(Value::Float(u as f64))
    }
    fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
        Ok(Value::Float(x))
    }
    fn visit_str<E>(self, s: &str) -> Result<Value, E> {
        Ok(Value::Text(s.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = vec![];
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = vec![];
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}
