//! The one registry mechanism: a kind is a YAML key with a sentence, an example, a schema and a reader.
//!
//! Each seam's `mod.rs` lists its kinds in one constant; keys, help, schema and tests all come from those lists.

use crate::node::{Node, Problem, Value, nearest};
use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// One kind of a seam: one file, and one line in the list of its `mod.rs`.
pub struct Kind<T: ?Sized> {
    /// The YAML key.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// YAML that a test parses and `lifeboat kinds` shows.
    pub example: &'static str,
    /// The JSON Schema of what stands behind the key.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads what stands behind the key.
    pub parse: fn(&Node, &mut Vec<Problem>) -> Option<Box<T>>,
}

/// A kind as chosen in a file: its name and node, to be written down again, and what was read.
pub struct Chosen<T: ?Sized> {
    /// The YAML key.
    pub name: &'static str,
    /// What stood behind the key.
    pub node: Node,
    /// What was read from it.
    pub it: Arc<T>,
}

impl<T: ?Sized> Clone for Chosen<T> {
    fn clone(&self) -> Self {
        Self { name: self.name, node: self.node.clone(), it: Arc::clone(&self.it) }
    }
}

impl<T: ?Sized> fmt::Debug for Chosen<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<T: ?Sized> Serialize for Chosen<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map([(self.name, &self.node)])
    }
}

impl<T: ?Sized> std::ops::Deref for Chosen<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.it
    }
}

/// Reads `kind: {…}` or the bare word `kind`, a kind of the list. `seam` names the list in problems.
pub fn pick<T: ?Sized>(
    seam: &str,
    kinds: &'static [Kind<T>],
    node: &Node,
    problems: &mut Vec<Problem>,
) -> Option<Chosen<T>> {
    pick_beside(seam, kinds, &[], node, problems)
}

/// As [`pick`], for a kind that stands beside the keys `common`, which are left to the caller.
pub fn pick_beside<T: ?Sized>(
    seam: &str,
    kinds: &'static [Kind<T>],
    common: &[&str],
    node: &Node,
    problems: &mut Vec<Problem>,
) -> Option<Chosen<T>> {
    if let Value::Text(_) = node.value {
        return find(seam, kinds, &[], node, &node.empty(), problems);
    }
    let rest: Vec<_> = node.entries().iter().filter(|(k, _)| !k.text().is_some_and(|k| common.contains(&k))).collect();
    match rest.as_slice() {
        [(key, value)] => find(seam, kinds, common, key, value, problems),
        [] => {
            let known = names(kinds, &[]).join(", ");
            let text = format!("expected a {seam}, found {}", node.told());
            problems.push(Problem::new(node, text).hint(format!("known: {known}")));
            None
        }
        [first, ..] => {
            let keys: Vec<_> = rest.iter().map(|(k, _)| k.text().map_or_else(|| k.told(), str::to_owned)).collect();
            let unknown = rest.iter().find(|(k, _)| !k.text().is_some_and(|k| kinds.iter().any(|it| it.name == k)));
            let at = unknown.map_or(&first.0, |(k, _)| k);
            let text = format!("expected one {seam}, found the keys {}", keys.join(", "));
            let near = nearest(at.text().unwrap_or_default(), names(kinds, common).into_iter());
            problems
                .push(Problem::new(at, text).hint(near.map(|n| format!("did you mean `{n}`?")).unwrap_or_default()));
            None
        }
    }
}

fn find<T: ?Sized>(
    seam: &str,
    kinds: &'static [Kind<T>],
    common: &[&str],
    key: &Node,
    value: &Node,
    problems: &mut Vec<Problem>,
) -> Option<Chosen<T>> {
    let Some(name) = key.text() else {
        let problem = Problem::new(key, format!("expected the name of a {seam}, found {}", key.told()));
        problems.push(problem.hint(format!("known: {}", names(kinds, &[]).join(", "))));
        return None;
    };
    if let Some(kind) = kinds.iter().find(|kind| kind.name == name) {
        let value = if matches!(value.value, Value::Null) { value.empty() } else { value.clone() };
        let before = problems.len();
        let it = (kind.parse)(&value, problems);
        for problem in &mut problems[before..] {
            problem.hint.get_or_insert_with(|| format!("`lifeboat kinds {name}` shows how it is written"));
        }
        let it = it?;
        return Some(Chosen { name: kind.name, node: value, it: Arc::from(it) });
    }
    let near = nearest(name, names(kinds, common).into_iter()).unwrap_or_default();
    let known = names(kinds, &[]).join(", ");
    problems.push(
        Problem::new(key, format!("unknown {seam} `{name}`")).hint(format!("did you mean `{near}`? known: {known}")),
    );
    None
}

fn names<'a, T: ?Sized>(kinds: &'static [Kind<T>], common: &[&'a str]) -> Vec<&'a str> {
    kinds.iter().map(|kind| kind.name).chain(common.iter().copied()).collect()
}
