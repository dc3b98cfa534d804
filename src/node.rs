//! YAML as a tree of nodes that know their place, read into types with every problem collected.
//!
//! Apart because an ordinary deserialiser stops at the first problem, and one behind a trait object puts it at
//! the wrong place. Here each kind is read from its own node; a problem is noted, the offending entry taken
//! out, and the reading tried again, so that one look at a file shows all that is wrong with it.

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};
use serde_saphyr::Spanned;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a node stands in its file. A map and its first key share line and column, so each has a number too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    id: u32,
}

/// A value of a YAML file with its place.
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

    fn at(mut self, position: Position) -> Self {
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
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::whole(text.to_string())
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        let problem = Self::whole(format!("unknown key `{name}`"));
        match nearest(name, known.iter().copied()) {
            Some(near) => problem.hint(format!("did you mean `{near}`? known: {}", known.join(", "))),
            None => problem.hint("no key stands here"),
        }
    }

    fn missing_field(name: &'static str) -> Self {
        Self::whole(format!("the key `{name}` is missing"))
    }
}

/// The known word that looks most like `name`.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)))
}

/// Parses a file's text.
///
/// # Errors
/// The first syntax error; a file that is not YAML has no second one worth showing.
pub fn parse(text: &str) -> Result<Node, Problem> {
    serde_saphyr::from_str::<Node>(text).map_err(|error| {
        let position = error.location().map(|l| Position { line: l.line(), column: l.column(), id: 0 });
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Problem { position, text, hint: None }
    })
}

/// Reads a node into a type; every problem found goes onto `problems`, each at its place.
pub fn read<T: DeserializeOwned>(node: &Node, problems: &mut Vec<Problem>) -> Option<T> {
    let (mut node, mut wounded) = (node.clone(), vec![]);
    loop {
        let problem = match T::deserialize(&node) {
            Ok(value) => return wounded.is_empty().then_some(value),
            Err(problem) => problem.at(node.position),
        };
        let at = problem.position;
        if !at.is_some_and(|at| wounded.contains(&at.id)) {
            problems.push(problem); // a key missing where one was taken out is our own doing
        }
        wounded.push(at.and_then(|at| node.remove(at.id))?);
    }
}

impl Node {
    /// The value of a map's key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v)
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
    fn visit_u64<E: de::Error>(self, u: u64) -> Result<Value, E> {
        i64::try_from(u).map(Value::Int).map_err(E::custom)
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

// The tree as a deserialiser: the innermost node that fails gives the place.

impl<'de> IntoDeserializer<'de, Problem> for &'de Node {
    type Deserializer = &'de Node;
    fn into_deserializer(self) -> &'de Node {
        self
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(i) => visitor.visit_i64(*i),
            Value::Float(x) => visitor.visit_f64(*x),
            Value::Text(s) => visitor.visit_borrowed_str(s),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries(entries.iter(), None)),
        }
        .map_err(|p| p.at(self.position))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if matches!(self.value, Value::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match &self.value {
            Value::Text(s) => visitor.visit_enum(s.as_str().into_deserializer()),
            Value::Map(entries) => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Entries(entries.iter(), None)))
            }
            _ => Err(de::Error::custom("expected a word or a single key")),
        }
        .map_err(|p: Problem| p.at(self.position))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Entries<'de>(std::slice::Iter<'de, (Node, Node)>, Option<&'de Node>);

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let Some((key, value)) = self.0.next() else { return Ok(None) };
        self.1 = Some(value);
        seed.deserialize(key).map(Some).map_err(|p| p.at(key.position))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let value = self.1.take().ok_or_else(|| de::Error::custom("a value before its key"))?;
        seed.deserialize(value).map_err(|p: Problem| p.at(value.position))
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        self.0.next().map(|node| seed.deserialize(node).map_err(|p| p.at(node.position))).transpose()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
