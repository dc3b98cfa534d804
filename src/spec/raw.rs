//! Places in a file that belong to a kind: passed over when the keys around them are read.
//!
//! Apart because a file's own keys and its kinds are read in separate passes over the same tree, so that both
//! report all of their problems; the schema of such a place comes from the seam's list.

use crate::kind::Kind;
use crate::node::parse;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde_json::{Map, Value, json};

/// Anything at all; its kind reads it later from its node.
#[derive(Debug)]
pub struct Raw;

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Ok(Self)
    }
}

/// The schema of a place where one kind of the list stands, with the keys of `Common` beside it.
pub fn one_of<T: ?Sized, Common: JsonSchema>(kinds: &'static [Kind<T>], g: &mut SchemaGenerator) -> Schema {
    let common = g.root_schema_for::<Common>(); // its own keys are inlined; what they refer to is defined below
    let common = common.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    g.subschema_for::<crate::model::Span>();
    let mut choices: Vec<Value> = kinds.iter().map(|kind| choice(kind, &common, g)).collect();
    let words: Vec<_> = kinds.iter().filter(|kind| stands_alone(kind)).map(|kind| kind.name).collect();
    if !words.is_empty() {
        choices.push(json!({ "type": "string", "enum": words }));
    }
    json_schema!({ "oneOf": choices })
}

/// No keys beside a kind.
#[derive(JsonSchema)]
pub struct Alone {}

/// Can the kind's bare word stand for it?
pub fn stands_alone<T: ?Sized>(kind: &Kind<T>) -> bool {
    parse("{}").is_ok_and(|node| (kind.parse)(&node, &mut vec![]).is_some())
}

fn choice<T: ?Sized>(kind: &Kind<T>, common: &Map<String, Value>, g: &mut SchemaGenerator) -> Value {
    let mut properties = common.clone();
    properties.insert(kind.name.to_owned(), (kind.schema)(g).to_value());
    json!({
        "type": "object",
        "description": kind.about,
        "properties": properties,
        "required": [kind.name],
        "additionalProperties": false,
    })
}
