//! YAML as a tree of nodes that know their line and column, read into types with every problem collected.
//!
//! Apart because an ordinary deserialiser stops at the first problem, and one behind a trait object puts it at
//! the wrong place. Here each kind is read from its own node; a problem is noted, the offending entry taken
//! out, and the reading tried again, so that one look at a file shows all that is wrong with it.

pub mod file;
mod parse;
mod problem;
mod reader;

pub use parse::{parse, parse_all};
pub use problem::{Problem, nearest};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where a node stands in its file. A map and its first key share line and column, so each has a number too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    id: u32,
}

/// A value of a YAML file with its line and column.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub position: Position,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A word or a text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order written.
    Map(Vec<(Node, Node)>),
}

/// Reads a node into a type; every problem found goes onto `problems`, each with line and column.
pub fn read<T: DeserializeOwned>(node: &Node, problems: &mut Vec<Problem>) -> Option<T> {
    let (mut node, mut damaged) = (node.clone(), vec![]);
    loop {
        let problem = match T::deserialize(&node) {
            Ok(value) => return damaged.is_empty().then_some(value),
            Err(problem) => problem.at(node.position),
        };
        let at = problem.position;
        if !at.is_some_and(|at| damaged.contains(&at.id)) {
            problems.push(problem); // a key missing where one was taken out is our own doing
        }
        damaged.push(at.and_then(|at| node.remove(at.id))?);
    }
}

impl Node {
    /// The value of a map's key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v)
    }

    /// The node behind keys of maps inside each other, or the deepest that is there.
    pub fn at(&self, keys: &[&str]) -> &Node {
        keys.iter().try_fold(self, |node, key| node.get(key).ok_or(node)).unwrap_or_else(|deepest| deepest)
    }

    /// Does nothing stand here?
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What stands here, for messages.
    pub fn told(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(b) => format!("`{b}`"),
            Value::Int(n) => format!("the number {n}"),
            Value::Float(n) => format!("the number {}", problem::number(*n)),
            Value::Text(text) => problem::quoted(text),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "keys and values".into(),
        }
    }

    /// The text of a text node.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[(Node, Node)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// A map without the keys of which `keep` says no.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Node {
        let entries = self.entries().iter().filter(|(k, _)| k.text().is_some_and(&keep)).cloned().collect();
        Node { value: Value::Map(entries), position: self.position }
    }

    /// An empty map that stands where `self` does.
    #[must_use]
    pub fn empty(&self) -> Node {
        Node { value: Value::Map(vec![]), position: self.position }
    }

    /// Takes out the entry whose key or value is `id`; answers the number of the map or list that held it.
    fn remove(&mut self, id: u32) -> Option<u32> {
        let own = self.position.id;
        match &mut self.value {
            Value::Map(entries) => {
                let before = entries.len();
                entries.retain(|(k, v)| k.position.id != id && v.position.id != id);
                if entries.len() < before { Some(own) } else { entries.iter_mut().find_map(|(_, v)| v.remove(id)) }
            }
            Value::List(items) => {
                let before = items.len();
                items.retain(|v| v.position.id != id);
                if items.len() < before { Some(own) } else { items.iter_mut().find_map(|v| v.remove(id)) }
            }
            _ => None,
        }
    }
}

impl Serialize for Node {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => s.serialize_unit(),
            Value::Bool(b) => s.serialize_bool(*b),
            Value::Int(i) => s.serialize_i64(*i),
            Value::Float(x) => s.serialize_f64(*x),
            Value::Text(t) => s.serialize_str(t),
            Value::List(items) => s.collect_seq(items),
            Value::Map(entries) => s.collect_map(entries.iter().map(|(k, v)| (k, v))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        name: String,
        count: u32,
        #[serde(default)]
        tags: Vec<String>,
    }

    #[test]
    fn every_problem_of_a_file_is_found_at_its_place() {
        let node = parse("name: 3\ncuont: 1\ntags: [a, 7]\n").unwrap();
        let mut problems = vec![];
        assert!(read::<Sample>(&node, &mut problems).is_none());
        let lines: Vec<_> = problems.iter().filter_map(|p| p.position.map(|at| (at.line, at.column))).collect();
        assert_eq!(lines, [(1, 7), (2, 1), (3, 11)], "{problems:?}");
        assert!(problems[1].to_string().contains("did you mean `count`?"), "{}", problems[1]);
    }

    #[test]
    fn a_good_file_is_read_without_a_problem() {
        let mut problems = vec![];
        let sample: Sample = read(&parse("{ name: a, count: 2 }").unwrap(), &mut problems).unwrap();
        assert_eq!((sample.name.as_str(), sample.count, problems.len()), ("a", 2, 0));
    }

    #[test]
    fn a_broken_file_names_the_line() {
        let problem = parse("a: 1\nb: [1, 2\n").unwrap_err();
        assert!(problem.position.is_some_and(|at| at.line >= 2), "{problem:?}");
    }
}
