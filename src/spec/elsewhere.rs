//! A drill in another environment than it names, as said on the command line.
//!
//! Apart because what is said there stands in no file: its problems have a place of their own, `--environment`.

use super::Wrong;
use crate::environment::ENVIRONMENTS;
use crate::kind::pick;
use crate::node::{self, Node, Value};
use std::path::Path;

/// An environment as a user names it: `KIND` or `KIND: {…}`.
pub(super) fn named(text: &str) -> Result<Node, Wrong> {
    let wrong = |problems| Wrong::one(Path::new("--environment"), problems);
    let node = node::parse(text).map_err(|problem| wrong(vec![problem]))?;
    let mut problems = vec![];
    pick("environment", ENVIRONMENTS, &node, &mut problems);
    if problems.is_empty() { Ok(node) } else { Err(wrong(problems)) }
}

/// Puts a drill into another environment. Of the same kind, what the drill says of it stays but for what is said anew.
pub(super) fn move_to(drill: &mut Node, mut environment: Node) {
    if let (Some(kind), Some(written)) = (kind(&environment), drill.get("environment"))
        && self::kind(written).as_ref() == Some(&kind)
    {
        let is_map = |node: &&Node| matches!(node.value, Value::Map(_));
        let mut settings = written.get(&kind).filter(is_map).cloned().unwrap_or_else(|| written.empty());
        for (key, value) in environment.get(&kind).map(Node::entries).unwrap_or_default() {
            put(&mut settings, key.text().unwrap_or_default(), value.clone());
        }
        environment = environment.empty();
        put(&mut environment, &kind, settings);
    }
    put(drill, "environment", environment);
}

/// The kind that a node names, alone or with settings.
fn kind(node: &Node) -> Option<String> {
    match node.entries() {
        [(kind, _)] => kind.text().map(str::to_owned),
        _ => node.text().map(str::to_owned),
    }
}

/// Puts a value behind a key of a map, in place of what stands there.
fn put(map: &mut Node, key: &str, value: Node) {
    let Value::Map(entries) = &mut map.value else { return };
    match entries.iter_mut().find(|(k, _)| k.text() == Some(key)) {
        Some((_, old)) => *old = value,
        None => entries.push((Node { value: Value::Text(key.to_owned()), position: value.position }, value)),
    }
}
